package audit

import (
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"time"
)

// A journal file, numbers big-endian:
//
//	header  magic 8 | id 16 | created, Unix ns 8 | key id 8 |
//	        chain of the file before, 32 zeros if none | CRC-32C of all that 4
//	frame   mark 4 | kind 1 | number 8 | length of body 4 | CRC-32C of body 4 | chain 32 |
//	        CRC-32C of the file's id and all that 4 | body
//
// A head is believed only once its checksum fits, and its length with it. The mark lets a reader
// who has met damage find the next frame, so that damage hides nothing behind it.
//
// The chain of a header is its SHA-256; that of a frame is SHA-256(chain before | kind | number |
// length | body). Frames are numbered from 0. A record's body is sealed with the number as nonce
// under a key of the file, so it opens only where it was written. The bodies of the other two kinds
// are clear text and a tag over it, so that who has no key can read how files ended.
const (
	magic      = "BQGATEJ2"
	headerSize = 8 + 16 + 8 + 8 + 32 + 4
	frameMark  = "bqF\xa7"
	frameHead  = 4 + 1 + 8 + 4 + 4 + sha256.Size + 4
	tagSize    = 16
	maxSealed  = maxRecord + 4 + tagSize
)

// What a frame holds.
const (
	frameRecord = 1 // a sealed record
	frameEnd    = 2 // the last frame of a file that was ended in order: Unix ns 8
	frameFound  = 3 // how earlier files ended, in JSON: the first frame of a process
)

// endSize is the size of the frame that ends a file.
const endSize = frameHead + 8 + tagSize

// Hash is a link of the chain.
type Hash [sha256.Size]byte

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// header is the beginning of a file.
type header struct {
	id       [16]byte
	created  time.Time
	key      keyID
	previous Hash
}

func newHeader(key oneKey, previous Hash, now time.Time) (header, error) {
	h := header{created: now, key: key.id, previous: previous}
	if _, err := rand.Read(h.id[:]); err != nil {
		return header{}, fmt.Errorf("name journal file: %w", err)
	}
	return h, nil
}

func (h header) bytes() []byte {
	b := make([]byte, 0, headerSize)
	b = append(b, magic...)
	b = append(b, h.id[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(h.created.UnixNano()))
	b = append(b, h.key[:]...)
	b = append(b, h.previous[:]...)
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

var (
	errHeader  = errors.New("its first bytes are not the header of a journal file")
	errEarlier = errors.New("it was written by an earlier version of bqgate, in another format")
)

func parseHeader(b []byte) (h header, err error) {
	if len(b) == headerSize && string(b[:8]) == "BQGATEJ1" {
		return h, errEarlier
	}
	if len(b) != headerSize || string(b[:8]) != magic || binary.BigEndian.Uint32(b[headerSize-4:]) != crc32.Checksum(b[:headerSize-4],
		castagnoli) {
		return h, errHeader
	}
	h.id = [16]byte(b[8:24])
	h.created = time.Unix(0, int64(binary.BigEndian.Uint64(b[24:32]))).UTC() //nolint:gosec // G115: written from an int64
	h.key = keyID(b[32:40])
	h.previous = Hash(b[40:72])
	return h, nil
}

// chain is the state of a file between two frames: the hash so far and the number of the next
// record.
type chain struct {
	last Hash
	next uint64
}

func (c *chain) nonce() (n [12]byte) {
	binary.BigEndian.PutUint64(n[4:], c.next)
	return n
}

// appendFrame seals text as the next record and appends its frame.
func (c *chain) appendFrame(dst []byte, file [16]byte, aead cipher.AEAD, text []byte) []byte {
	nonce := c.nonce()
	return c.appendBody(dst, file, frameRecord, func(dst []byte) []byte {
		return aead.Seal(dst, nonce[:], text, []byte{frameRecord})
	})
}

// appendClear appends a frame that can be read without the key, and only be written with it.
func (c *chain) appendClear(dst []byte, file [16]byte, aead cipher.AEAD, kind byte, text []byte) []byte {
	nonce := c.nonce()
	bound := c.bound(kind, text)
	return c.appendBody(dst, file, kind, func(dst []byte) []byte {
		return aead.Seal(append(dst, text...), nonce[:], nil, bound)
	})
}

// bound is what the tag of a clear frame is over.
func (c *chain) bound(kind byte, text []byte) []byte {
	return append(append([]byte{kind}, c.last[:]...), text...)
}

func (c *chain) appendBody(dst []byte, file [16]byte, kind byte, body func(dst []byte) []byte) []byte {
	start := len(dst)
	dst = body(append(dst, make([]byte, frameHead)...))
	f := frame(dst[start:])
	copy(f, frameMark)
	f[4] = kind
	binary.BigEndian.PutUint64(f[5:], c.next)
	binary.BigEndian.PutUint32(f[13:], uint32(len(f)-frameHead)) //nolint:gosec // G115: at most maxRecord and a seal
	binary.BigEndian.PutUint32(f[17:], crc32.Checksum(f.body(), castagnoli))
	c.last = f.link(c.last)
	copy(f[21:], c.last[:])
	binary.BigEndian.PutUint32(f[frameHead-4:], f.headSum(file))
	c.next++
	return dst
}

// frame is a frame as it stands in a file; its head alone, where only that is asked of it.
type frame []byte

func (f frame) kind() byte     { return f[4] }
func (f frame) number() uint64 { return binary.BigEndian.Uint64(f[5:]) }
func (f frame) length() int64  { return int64(binary.BigEndian.Uint32(f[13:])) }
func (f frame) chain() Hash    { return Hash(f[21 : 21+sha256.Size]) }
func (f frame) body() []byte   { return f[frameHead:] }

// text is the body of a clear frame without its tag.
func (f frame) text() []byte { return f[frameHead : len(f)-tagSize] }

func (f frame) headSum(file [16]byte) uint32 {
	return crc32.Update(crc32.Checksum(file[:], castagnoli), castagnoli, f[:frameHead-4])
}

// headFits says that the head is one that was written into this file.
func (f frame) headFits(file [16]byte) bool {
	return string(f[:4]) == frameMark && binary.BigEndian.Uint32(f[frameHead-4:]) == f.headSum(file) && f.length() >= tagSize &&
		f.length() <= maxSealed
}

func (f frame) bodyFits() bool {
	return crc32.Checksum(f.body(), castagnoli) == binary.BigEndian.Uint32(f[17:])
}

func (f frame) link(last Hash) Hash { return link(last, f[4:17], f.body()) }

func link(last Hash, head, body []byte) (h Hash) {
	sum := sha256.New()
	sum.Write(last[:])
	sum.Write(head)
	sum.Write(body)
	sum.Sum(h[:0])
	return h
}
