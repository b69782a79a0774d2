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
//	header  magic 8 | id 16 | created, Unix ns 8 | key id 8 | chain of the file before, 32 zeros if none | CRC-32C of all that 4
//	frame   length of sealed 4 | CRC-32C of length, chain and sealed 4 | chain 32 | sealed
//
// The chain of a header is its SHA-256; that of a frame is SHA-256(chain before | length | sealed). A record is sealed with its number in the file (from 0) as
// nonce and the chain before as additional data, so a frame opens only where it was written.
const (
	magic      = "BQGATEJ1"
	headerSize = 8 + 16 + 8 + 8 + 32 + 4
	frameHead  = 4 + 4 + sha256.Size
	maxSealed  = maxRecord + 4 + 16
)

// Hash is a link of the chain.
type Hash [sha256.Size]byte

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// header is the beginning of a file.
type header struct {
	id       [16]byte
	created  time.Time
	key      [8]byte
	previous Hash
}

func newHeader(key *Key, previous Hash, now time.Time) (header, error) {
	h := header{created: now, key: key.id(), previous: previous}
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

var errHeader = errors.New("not the header of a journal file")

func parseHeader(b []byte) (h header, err error) {
	if len(b) != headerSize || string(b[:8]) != magic || binary.BigEndian.Uint32(b[headerSize-4:]) != crc32.Checksum(b[:headerSize-4], castagnoli) {
		return h, errHeader
	}
	h.id = [16]byte(b[8:24])
	h.created = time.Unix(0, int64(binary.BigEndian.Uint64(b[24:32]))).UTC()
	h.key = [8]byte(b[32:40])
	h.previous = Hash(b[40:72])
	return h, nil
}

// chain is the state of a file between two frames: the hash so far and the number of the next record.
type chain struct {
	last Hash
	next uint64
}

func (c *chain) nonce() (n [12]byte) {
	binary.BigEndian.PutUint64(n[4:], c.next)
	return n
}

// appendFrame seals text as the next record and appends its frame.
func (c *chain) appendFrame(dst []byte, aead cipher.AEAD, text []byte) []byte {
	start := len(dst)
	dst = append(dst, make([]byte, frameHead)...)
	nonce := c.nonce()
	dst = aead.Seal(dst, nonce[:], text, c.last[:])
	frame := dst[start:]
	binary.BigEndian.PutUint32(frame, uint32(len(frame)-frameHead))
	c.last = link(c.last, frame[:4], frame[frameHead:])
	copy(frame[8:frameHead], c.last[:])
	binary.BigEndian.PutUint32(frame[4:], frameSum(frame))
	c.next++
	return dst
}

func link(last Hash, length, sealed []byte) (h Hash) {
	sum := sha256.New()
	sum.Write(last[:])
	sum.Write(length)
	sum.Write(sealed)
	sum.Sum(h[:0])
	return h
}

func frameSum(frame []byte) uint32 {
	return crc32.Update(crc32.Checksum(frame[:4], castagnoli), castagnoli, frame[8:])
}
