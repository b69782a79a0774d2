package approvals

import "time"

// messages are what the outbox gets in the same script that makes the change, so that a change and the wish to tell of it are one. A message names things; what is told is
// read from the sealed request when it is sent.
func (s *Store) messages(r record, now time.Time, e Event) []any {
	if s.options.Notify == nil {
		return nil
	}
	var out []any
	for _, target := range s.options.Notify(s.view(r, now), e.Kind) {
		out = append(out, e.Nonce+"|"+string(e.Kind)+"|"+r.ID+"|"+target)
	}
	return out
}
