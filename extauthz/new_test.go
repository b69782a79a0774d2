package extauthz

import (
	"reflect"
	"slices"
	"strings"
	"testing"
)

// A Service that lacks a part is not made: it would panic at the first request that needs it.
func TestNewRefusesAMissingPart(t *testing.T) {
	w := newBoundWorld(t)
	whole := w.s.Parts
	whole.Metadata, whole.Sessions = listsNothing{}, live{yes: true}
	if s, err := New(whole); err != nil || s.Now == nil {
		t.Fatalf("%v, %v", s, err)
	}
	for i := range reflect.TypeFor[Parts]().NumField() {
		name := reflect.TypeFor[Parts]().Field(i).Name
		t.Run(name, func(t *testing.T) {
			p := whole
			f := reflect.ValueOf(&p).Elem().Field(i)
			switch f.Kind() {
			case reflect.Interface, reflect.Func, reflect.Pointer:
				f.SetZero()
				_, err := New(p)
				if slices.Contains([]string{"Now", "Budgets", "Prices", "Meter"}, name) {
					if err != nil {
						t.Errorf("what has a default is needed: %v", err)
					}
				} else if err == nil || !strings.Contains(err.Error(), "missing parts: "+name) {
					t.Errorf("made without %s: %v", name, err)
				}
			case reflect.Int64:
				f.SetZero()
			}
		})
	}
}
