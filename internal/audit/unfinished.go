package audit

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"
)

// Unfinished lists the decisions by which something was forwarded and of whose answer no outcome
// tells, of processes that are no more: they were killed before they could say how it ended. Files
// that were last written before since are left out. What is damaged is passed over; Verify finds
// it.
func Unfinished(dir string, key *Key, since time.Time) ([]Decision, error) {
	paths, _, err := files(dir)
	if err != nil {
		return nil, err
	}
	var open []Decision
	ended := map[string]bool{}
	for _, path := range paths {
		if info, err := os.Stat(path); err != nil || info.ModTime().Before(since) {
			continue
		}
		var here []Decision
		state, err := walk(path, key, func(_ Position, r Record) error {
			switch r := r.(type) {
			case Decision:
				if r.Forwarded {
					here = append(here, r)
				}
			case Outcome:
				ended[r.Decision] = true
			}
			return nil
		})
		if errors.Is(err, errUnreadable) || errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("look for answers without an outcome: %w", err)
		}
		if state.Live { // its process may yet say
			continue
		}
		open = append(open, here...)
	}
	return slices.DeleteFunc(open, func(d Decision) bool { return ended[d.ID] }), nil
}
