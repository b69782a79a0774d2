package soak

import (
	"crypto/sha256"
	"fmt"
	"hash"

	"github.com/bqgate/bqgate/internal/audit"
)

// readJournal verifies the journal, opens it, and holds it against what callers got.
func (s *Soak) readJournal() error {
	key, err := audit.LoadKey(s.Info.AuditKey)
	if err != nil {
		return err
	}
	// What a process that was killed at the end left open, the next one tells of, as ever: without
	// one, nobody could say that nothing was cut.
	next, err := audit.Open(s.Info.AuditDir, key, audit.Options{Reserve: 1 << 20})
	if err != nil {
		return fmt.Errorf("begin the next journal: %w", err)
	}
	if err := next.Close(); err != nil {
		return fmt.Errorf("begin the next journal: %w", err)
	}
	type given struct {
		decided bool
		subject string    // "" where nobody knows
		frames  hash.Hash // of an answer that came through; nil where there is none
		same    string    // the decision whose answer it was once more
		reply   string
	}
	decisions := map[string]*given{}
	of := func(id string) *given {
		if decisions[id] == nil {
			decisions[id] = &given{}
		}
		return decisions[id]
	}
	committed := map[string]bool{}
	report, err := audit.Read(s.Info.AuditDir, key, func(_ audit.Position, r audit.Record) error {
		switch r := r.(type) {
		case audit.Decision:
			d := of(r.ID)
			d.decided, d.subject, d.reply = true, r.Subject.Sub, r.Reply
		case audit.Frame:
			d := of(r.Decision)
			if r.Same != nil {
				d.same = r.Same.Decision
				return nil
			}
			if d.frames == nil {
				d.frames = sha256.New()
			}
			d.frames.Write(r.Bytes)
		case audit.Approval:
			if r.Kind == "approved" {
				committed[r.RequestID] = true
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("open the journal: %w", err)
	}
	for _, finding := range report.Findings {
		s.notes.find("audit verify: %v", finding)
	}

	sum := func(h hash.Hash) (out [sha256.Size]byte) { copy(out[:], h.Sum(nil)); return out }
	recorded := map[[sha256.Size]byte]int{}
	for _, d := range decisions {
		switch {
		case d.same != "" && decisions[d.same] != nil && decisions[d.same].frames != nil:
			recorded[ackKeyOf(d.subject, sum(decisions[d.same].frames))]++
		case d.frames != nil:
			recorded[ackKeyOf(d.subject, sum(d.frames))]++
		default:
			recorded[ackKey(d.subject, []byte(d.reply))]++
		}
	}
	s.notes.mu.Lock()
	acked, owed, ids, votes := s.notes.acked, s.notes.owed, s.notes.ids, s.notes.votes
	s.notes.mu.Unlock()
	whole := 0
	for key, n := range acked {
		whole += n
		if recorded[key] < n {
			s.notes.find("%d answers that somebody got whole are %d times in the journal: %s", n, recorded[key], owed[key])
		}
	}
	for id, what := range ids {
		if decisions[id] == nil || !decisions[id].decided {
			s.notes.find("decision %s, which was named in %s, is not in the journal", id, what)
		}
	}
	for id := range votes {
		if !committed[id] {
			s.notes.find("the approval of %s was acknowledged, and is not in the journal", id)
		}
	}
	if whole == 0 {
		s.notes.find("nobody got an answer: nothing was looked for in the journal")
	}
	s.journal = fmt.Sprintf("%d decisions in %d files; %d whole answers, %d named decisions and %d votes were looked for", len(decisions),
		len(report.Files), whole, len(ids), len(votes))
	return nil
}
