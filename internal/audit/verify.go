package audit

import "fmt"

// Verify checks the chain of every file of an audit folder and the links between files of one process. It needs no key. It returns how each file ends; the first thing
// that is not as it was written is a *CorruptError. What was cut from the end of the newest file of a process, or a process's files all taken away, it cannot see:
// that is what published checkpoints are for.
func Verify(dir string) ([]FileState, error) {
	paths, err := files(dir)
	if err != nil {
		return nil, err
	}
	var states []FileState
	ends := make(map[Hash]bool)
	for _, path := range paths {
		state, err := scan(path, func(header) error { return nil }, func(int64, chain, Hash, []byte) error { return nil })
		if err != nil {
			return states, err
		}
		if previous := state.header.previous; previous != (Hash{}) && !ends[previous] {
			return states, &CorruptError{File: path, Reason: fmt.Sprintf("the file before it, which ended in %x, is not there or ends otherwise", previous)}
		}
		ends[state.Last] = true
		states = append(states, state)
	}
	return states, nil
}
