package audit

import (
	"context"
	"errors"
)

// Appender is the journal as a Recording needs it: AppendAll returns when the records are durable.
type Appender interface {
	AppendAll(ctx context.Context, records ...Record) (Position, error)
}

// Recording is the record of one answer's body, piece by piece: its frames, or where a page that is
// in the journal already comes once more, the reference to it. It is for one goroutine.
type Recording struct {
	decision string
	pages    *Pages
	key      Hash

	same   *page // that the answer may be; nil where there is none, or it is another
	refers bool  // the reference is in the journal

	sum    PageSum
	bytes  uint64 // recorded: so many may be let out
	frames uint64
	took   int64
	first  Position // of the first frame
	whole  bool     // all of it stands in frames of one file
}

// Bytes is how much of the answer is recorded.
func (r *Recording) Bytes() uint64 { return r.bytes }

// Frames is in how many records it is.
func (r *Recording) Frames() uint64 { return r.frames }

// Took is how many bytes of the disk they have, the outcome with them.
func (r *Recording) Took() int64 { return r.took }

// Ready is how much of what is pending may be recorded now. What may turn out to be a page that is
// in the journal already is compared in whole blocks, and a block that has begun waits for its end,
// or the answer's.
func (r *Recording) Ready(pending []byte) int {
	if r.same == nil {
		return len(pending)
	}
	return len(pending) - min(len(pending), int((r.bytes+uint64(len(pending)))%pageBlock))
}

// Append makes the next piece durable, and with the last one the outcome. After an error nothing of
// the piece may be let out.
func (r *Recording) Append(ctx context.Context, j Appender, piece []byte, outcome ...Outcome) error {
	if r.isSame(piece, len(outcome) > 0) {
		err := r.refer(ctx, j, uint64(len(piece)), outcome)
		if !errors.Is(err, ErrMoved) {
			return err
		}
	}
	var records []Record
	if len(piece) > 0 {
		f := Frame{Decision: r.decision, Seq: r.frames, Bytes: piece}
		if r.refers && r.same != nil {
			f.At = r.bytes
		}
		records = append(records, f)
	}
	r.same = nil
	for _, o := range outcome {
		records = append(records, o)
	}
	if len(records) == 0 {
		return nil
	}
	at, err := j.AppendAll(ctx, records...)
	if err != nil {
		return err
	}
	r.took += at.Took
	if len(piece) > 0 {
		if r.frames == 0 {
			r.first = at
			r.first.Seq -= uint64(len(records) - 1) //nolint:gosec // G115: there is one at least; they stand in a row
		}
		r.whole = r.whole && at.File == r.first.File
		r.frames++
		r.bytes += uint64(len(piece))
	}
	if len(outcome) > 0 {
		r.remember(outcome[0])
	}
	return nil
}

// isSame takes the piece into the sum, and says whether the answer is still the same as the page
// that it may be; with the last piece, whether it is that page.
func (r *Recording) isSame(piece []byte, last bool) bool {
	from := len(r.sum.kept)
	r.sum.Write(piece)
	digest := ""
	if last {
		digest = r.sum.digest()
	}
	if r.same == nil || r.sum.bytes > r.same.same.Bytes {
		return false
	}
	for i := from; i < len(r.sum.kept); i++ {
		if i >= len(r.same.blocks) || r.sum.kept[i] != r.same.blocks[i] {
			return false
		}
	}
	return !last || r.sum.bytes == r.same.same.Bytes && digest == r.same.same.Digest
}

// refer records, once, that the answer is the page.
func (r *Recording) refer(ctx context.Context, j Appender, piece uint64, outcome []Outcome) error {
	var records []Record
	if !r.refers {
		same := r.same.same
		records = append(records, Frame{Decision: r.decision, Seq: r.frames, Same: &same})
	}
	for _, o := range outcome {
		records = append(records, o)
	}
	if len(records) > 0 {
		at, err := j.AppendAll(ctx, records...)
		if err != nil {
			return err
		}
		r.took += at.Took
	}
	if !r.refers {
		r.refers, r.whole = true, false
		r.frames++
	}
	r.bytes += piece
	return nil
}

// remember keeps what a page was that was let out whole.
func (r *Recording) remember(o Outcome) {
	if o.State != StateComplete || !r.whole || r.bytes < minPage || r.bytes > maxPage {
		return
	}
	r.pages.known().Add(r.key, page{
		same:   Same{r.first.File, r.first.Seq, r.decision, r.bytes, r.sum.digest()},
		blocks: r.sum.kept,
	})
}
