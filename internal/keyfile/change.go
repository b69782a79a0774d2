package keyfile

import (
	"fmt"
	"slices"
	"time"
)

// Add puts a new key behind the others: it reads, and is to be given to every replica before it
// may write.
func (s Set) Add() (Set, ID, error) {
	k, err := newKey()
	if err != nil {
		return s, "", err
	}
	next := Set{Keys: append(slices.Clone(s.Keys), k), Names: s.Names}
	if next.Names == nil {
		names := s.Keys[0].Secret // names made so far are found again
		next.Names = &names
	}
	if len(next.Keys) > MaxKeys {
		return s, "", fmt.Errorf("there are %d keys already: drop those that have ended first", len(s.Keys))
	}
	return next, k.ID(), nil
}

// Activate makes a key the one that writes. The one that wrote until now is read until end, or for
// good where that is Forever.
func (s Set) Activate(id ID, end time.Time) (Set, error) {
	at, err := s.find(id)
	if err != nil {
		return s, err
	}
	if at == 0 {
		return s, fmt.Errorf("key %s writes already", id)
	}
	next := Set{Names: s.Names}
	for i, k := range s.Keys {
		switch i {
		case at:
			continue
		case 0:
			if k.Until = Forever; !end.IsZero() {
				k.Until = end.UTC().Truncate(time.Second)
			}
		}
		next.Keys = append(next.Keys, k)
	}
	k := s.Keys[at]
	k.Until = time.Time{}
	next.Keys = slices.Insert(next.Keys, 0, k)
	return next, nil
}

// Drop removes a key that only reads. Unless forced, it must have ended: what it sealed could not
// be read any more.
func (s Set) Drop(id ID, now time.Time, force bool) (Set, error) {
	at, err := s.find(id)
	switch {
	case err != nil:
		return s, err
	case at == 0:
		return s, fmt.Errorf("key %s writes: activate another one first", id)
	}
	k := s.Keys[at]
	switch {
	case force:
	case k.Until.IsZero():
		return s, fmt.Errorf("key %s has no end: another replica may write with it, or what it sealed is kept (--force removes it"+
			" nevertheless, and what it sealed cannot be read any more)", id)
	case now.Before(k.Until):
		return s, fmt.Errorf("key %s is needed until %s, when the last that it sealed has ended (--force removes it now,"+
			" and what it sealed cannot be read any more)", id, k.Until.Format(time.RFC3339))
	}
	return Set{Keys: slices.Delete(slices.Clone(s.Keys), at, at+1), Names: s.Names}, nil
}

func (s Set) find(id ID) (int, error) {
	for i, k := range s.Keys {
		if k.ID() == id {
			return i, nil
		}
	}
	var all []ID
	for _, k := range s.Keys {
		all = append(all, k.ID())
	}
	return 0, fmt.Errorf("there is no key %s; there are %s", id, all)
}
