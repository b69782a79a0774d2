package audit

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"sync"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
)

const (
	// maxRecord is the size of a record as it stands in the journal, before sealing. The SQL of a
	// request and a frame of an answer are far below it.
	maxRecord = 32 << 20
	// maxText is the size of a record's text, and of a frame's bytes, before they are compressed. A
	// reader opens nothing that says it is larger.
	maxText = 64 << 20
	// smallText is not worth the time to compress it: most refusals are smaller.
	smallText = 3 << 9
)

// A record is sealed as its text: the length of an envelope in four bytes, the envelope as JSON,
// and the body of a Frame, compressed by S2 where that pays. Frames are much and are waited for,
// and S2 is three times as fast as zstd.
//
// Where it pays, the text of what a client can make long stands as a zstd frame of it. A reader
// knows that by the magic number: as a length it would be more than maxRecord.
type envelope struct {
	Kind     string          `json:"kind"`
	Record   json.RawMessage `json:"record"`
	Encoding string          `json:"encoding,omitempty"` // of the body: "" for as it is, or "s2"
}

// bytes are the envelope as JSON. encoding/json would read the whole record again, to compact what
// is compact. The kind and the encoding are words of this package.
func (e envelope) bytes() []byte {
	b := make([]byte, 0, len(`{"kind":"","record":,"encoding":""}`)+len(e.Kind)+len(e.Record)+len(e.Encoding))
	b = append(append(append(b, `{"kind":"`...), e.Kind...), `","record":`...)
	b = append(b, e.Record...)
	if e.Encoding != "" {
		b = append(append(append(b, `,"encoding":"`...), e.Encoding...), '"')
	}
	return append(b, '}')
}

var zstdMagic = []byte{0x28, 0xb5, 0x2f, 0xfd}

// zstd coders are made with the first use, and are shared: they work on whole texts.
var (
	zip = sync.OnceValues(func() (*zstd.Encoder, error) {
		return zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(runtime.GOMAXPROCS(0)),
			zstd.WithWindowSize(1<<20), zstd.WithLowerEncoderMem(true), zstd.WithEncoderCRC(false))
	})
	unzip = sync.OnceValues(func() (*zstd.Decoder, error) {
		return zstd.NewReader(nil, zstd.WithDecoderConcurrency(runtime.GOMAXPROCS(0)), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxMemory(maxRecord+4))
	})
)

// pays says whether a text is worth its compressed form: opening it takes time too.
func pays(compressed, plain int) bool { return compressed < plain-plain/8 }

// compressible says whether a kind of record is compressed. Approvals, sessions and budgets are
// not: they are small, and a Follower tells by their first bytes that they are what it looks for.
func compressible(r Record) bool {
	switch r.(type) {
	case Asked, Decision, Outcome:
		return true
	default:
		return false
	}
}

// encode is a record as it is sealed.
func encode(r Record) ([]byte, error) {
	record, err := json.Marshal(bounded(r))
	if err != nil {
		return nil, fmt.Errorf("encode %s record: %w", r.kind(), err)
	}
	e := envelope{Kind: r.kind(), Record: record}
	var body []byte
	if frame, ok := r.(Frame); ok && len(frame.Bytes) > 0 {
		if len(frame.Bytes) > maxText {
			return nil, fmt.Errorf("encode frame record: %d bytes, more than %d", len(frame.Bytes), maxText)
		}
		body = frame.Bytes
		if small := s2.Encode(nil, body); pays(len(small), len(body)) {
			e.Encoding, body = "s2", small
		}
	}
	head := e.bytes()
	if len(head) > maxRecord {
		return nil, fmt.Errorf("encode %s record: %d bytes, more than %d", r.kind(), len(head), maxRecord)
	}
	text := make([]byte, 0, 4+len(head)+len(body))
	text = binary.BigEndian.AppendUint32(text, uint32(len(head))) //nolint:gosec // G115: at most maxRecord, above
	text = append(append(text, head...), body...)
	if compressible(r) && len(text) >= smallText {
		z, err := zip()
		if err != nil {
			return nil, fmt.Errorf("encode %s record: %w", r.kind(), err)
		}
		if small := z.EncodeAll(text, make([]byte, 0, len(text))); pays(len(small), len(text)) {
			text = small
		}
	}
	if len(text) > maxRecord+4 {
		return nil, fmt.Errorf("encode %s record: %d bytes, more than %d", r.kind(), len(text), maxRecord)
	}
	return text, nil
}

// decode reverses encode. Whatever it is given, what it opens is bounded by maxRecord and maxText.
func decode(text []byte) (Record, error) {
	text, err := plain(text)
	if err != nil {
		return nil, err
	}
	if len(text) < 4 {
		return nil, errors.New("decode record: too short")
	}
	size := int(binary.BigEndian.Uint32(text))
	if size > len(text)-4 {
		return nil, errors.New("decode record: head is cut")
	}
	var e envelope
	if err := json.Unmarshal(text[4:4+size], &e); err != nil {
		return nil, fmt.Errorf("decode record: %w", err)
	}
	body := text[4+size:]
	switch e.Kind {
	case "asked":
		return decodeAs[Asked](e)
	case "decision":
		return decodeAs[Decision](e)
	case "outcome":
		return decodeAs[Outcome](e)
	case "approval":
		return decodeAs[Approval](e)
	case "seen":
		return decodeAs[Seen](e)
	case "reopened":
		return decodeAs[Reopened](e)
	case "session":
		return decodeAs[Session](e)
	case "unauthenticated":
		return decodeAs[Unauthenticated](e)
	case "unrecorded":
		return decodeAs[Unrecorded](e)
	case "budget":
		return decodeAs[Budget](e)
	case "frame":
		return decodeFrame(e, body)
	default:
		return nil, fmt.Errorf("decode record: unknown kind %q", e.Kind)
	}
}

// plain is a record's text without compression.
func plain(text []byte) ([]byte, error) {
	if !bytes.HasPrefix(text, zstdMagic) {
		return text, nil
	}
	z, err := unzip()
	if err != nil {
		return nil, fmt.Errorf("decode record: %w", err)
	}
	if text, err = z.DecodeAll(text, nil); err != nil {
		return nil, fmt.Errorf("decode record: %w", err)
	}
	return text, nil
}

func decodeAs[T Record](e envelope) (Record, error) {
	var r T
	if err := json.Unmarshal(e.Record, &r); err != nil {
		return nil, fmt.Errorf("decode %s record: %w", e.Kind, err)
	}
	return r, nil
}

func decodeFrame(e envelope, body []byte) (Record, error) {
	var frame Frame
	if err := json.Unmarshal(e.Record, &frame); err != nil {
		return nil, fmt.Errorf("decode frame record: %w", err)
	}
	if frame.Same != nil && len(body) > 0 {
		return nil, errors.New("decode frame record: it has bytes, and says that they stand elsewhere")
	}
	switch {
	case e.Encoding == "" && len(body) == 0:
		return frame, nil
	case e.Encoding == "":
		frame.Bytes = bytes.Clone(body) // the reader uses its buffer again
		return frame, nil
	case e.Encoding != "s2":
		return nil, fmt.Errorf("decode frame record: unknown encoding %q", e.Encoding)
	}
	size, err := s2.DecodedLen(body)
	if err != nil || size > maxText {
		return nil, fmt.Errorf("decode frame record: body of %d bytes: %w", size, errors.Join(err, errTooLarge))
	}
	if frame.Bytes, err = s2.Decode(nil, body); err != nil {
		return nil, fmt.Errorf("decode frame record: %w", err)
	}
	return frame, nil
}

var errTooLarge = fmt.Errorf("more than %d are never written", maxText)
