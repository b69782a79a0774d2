// Package canaries searches for values that must never leave, in every form that an encoder, a
// careless one or an attacker's, could give them.
package canaries

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// Forms lists how a value may show after an encoder, a careless one or an attacker's, has had it.
func Forms(v string) map[string]string {
	runes := []rune(v)
	slices.Reverse(runes)
	out := map[string]string{
		"plain": v, "reversed": string(runes), "upper case": strings.ToUpper(v), "hex": hex.EncodeToString([]byte(v)),
		"URL-escaped": url.QueryEscape(v),
	}
	// base64 has three alignments; the inner characters that depend on v alone are searched for.
	for shift := range 3 {
		text := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("\x00", shift) + v))
		from := []int{0, 2, 3}[shift]
		to := len(text) - []int{0, 2, 1}[len(text)%3]
		if trimmed := strings.TrimRight(text[from:to], "="); len(trimmed) > 8 {
			out["base64 at "+string(rune('0'+shift))] = trimmed[:len(trimmed)-2]
		}
	}
	digits := strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return r
		}
		return -1
	}, v)
	if len(digits) >= 9 {
		out["digits only"] = digits
	}
	return out
}

// Needles find many texts in one pass. Each text has at least needleHead bytes.
type Needles struct {
	heads [1 << 16]bool // of the first two bytes of a text
	texts map[uint64][]needle
}

type needle struct{ text, what string }

const needleHead = 8

// Add looks for a text, of at least eight bytes, under the name what.
func (n *Needles) Add(text, what string) {
	if len(text) < needleHead {
		panic(fmt.Sprintf("%q is too short to be looked for", text))
	}
	if n.texts == nil {
		n.texts = map[uint64][]needle{}
	}
	n.heads[binary.BigEndian.Uint16([]byte(text))] = true
	head := binary.BigEndian.Uint64([]byte(text))
	n.texts[head] = append(n.texts[head], needle{text, what})
}

// In says which of the texts stand in a place.
func (n *Needles) In(place []byte) (found []string) {
	for i := 0; i+needleHead <= len(place); i++ {
		if !n.heads[binary.BigEndian.Uint16(place[i:])] {
			continue
		}
		for _, one := range n.texts[binary.BigEndian.Uint64(place[i:])] {
			if bytes.HasPrefix(place[i:], []byte(one.text)) && !slices.Contains(found, one.what) {
				found = append(found, one.what)
			}
		}
	}
	return found
}

// Canary is a value, and the column that it stands in.
type Canary struct {
	Value  string `json:"value"`
	Column string `json:"column"`
}

// Find is what finds all canaries in all forms.
func Find(all []Canary) *Needles {
	n := &Needles{}
	for _, c := range all {
		for form, text := range Forms(c.Value) {
			n.Add(text, fmt.Sprintf("canary of %s (%s)", c.Column, form))
		}
	}
	return n
}
