package audit

import (
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"sync"

	lru "github.com/hashicorp/golang-lru/v2"
)

// A page that stands in the journal once is recorded again by reference: one record says that an
// answer is, or is the beginning of, the one that another decision let out. That is only said where
// the bytes are the same by their digests, in the file that is being written, so that a file tells
// all that it says of answers by itself; a reader checks it (references.go).

const (
	// pageBlock is the unit in which answers are compared, in bytes.
	pageBlock = 256 << 10
	// A page that is smaller costs little, one that is larger is not remembered.
	minPage   = 16 << 10
	maxPage   = 64 << 20
	pagesKept = 2048 // each with at most 256 blocks of 32 bytes
)

// Same says where the page stands that an answer is the same as.
type Same struct {
	File     string `json:"file"`     // base name: of the file in which this is written
	Record   uint64 `json:"record"`   // number of the page's first frame in it
	Decision string `json:"decision"` // that let the page out
	Bytes    uint64 `json:"bytes"`    // of the whole page
	Digest   string `json:"digest"`   // PageSum's, of the whole page
}

// end is how far into the answer a frame reaches; before is how far those before it did.
func (r Frame) end(before uint64) uint64 {
	switch {
	case r.Same != nil:
		return r.Same.Bytes
	case r.At > 0:
		before = r.At
	}
	return before + uint64(len(r.Bytes))
}

// PageSum sums up an answer's body as it goes by. Its digest is the hex SHA-256 of the SHA-256 of
// each 256 KiB of it. The zero PageSum is ready.
type PageSum struct {
	bytes  uint64
	blocks hash.Hash // over the digests of whole blocks
	block  hash.Hash // the one that has begun
	filled int       // of it
	keep   bool
	kept   []Hash
}

// Write takes the next piece. It never fails.
func (s *PageSum) Write(p []byte) {
	if s.blocks == nil {
		s.blocks, s.block = sha256.New(), sha256.New()
	}
	s.bytes += uint64(len(p))
	for len(p) > 0 {
		n := min(len(p), pageBlock-s.filled)
		s.block.Write(p[:n])
		s.filled, p = s.filled+n, p[n:]
		if s.filled == pageBlock {
			s.next()
		}
	}
}

func (s *PageSum) next() {
	sum := s.block.Sum(nil)
	s.blocks.Write(sum)
	if s.keep && s.bytes <= maxPage {
		s.kept = append(s.kept, Hash(sum))
	}
	s.block.Reset()
	s.filled = 0
}

// digest ends the sum: nothing may be written afterwards.
func (s *PageSum) digest() string {
	s.Write(nil)
	if s.filled > 0 {
		s.next()
	}
	return hex.EncodeToString(s.blocks.Sum(nil))
}

// Pages are the pages that this process has let out and could let out again. The zero Pages knows
// none and is ready. They are safe for concurrent use.
type Pages struct {
	once sync.Once
	lru  *lru.Cache[Hash, page]
}

type page struct {
	same   Same
	blocks []Hash
}

func (p *Pages) known() *lru.Cache[Hash, page] {
	p.once.Do(func() { p.lru, _ = lru.New[Hash, page](pagesKept) }) // an error is of a size below 1 alone
	return p.lru
}

// Begin begins the recording of an answer. What is asked, by whom, and by which plan it is masked
// make the key: only an answer to the same question is compared.
func (p *Pages) Begin(decision string, key Hash) Recording {
	r := Recording{decision: decision, pages: p, key: key, whole: true, sum: PageSum{keep: true}}
	if known, ok := p.known().Get(key); ok {
		r.same = &known
	}
	return r
}
