//go:build e2e

package e2e

import (
	"encoding/base64"
	"encoding/hex"
	"net/url"
	"slices"
	"strings"
)

// forms lists how a value may show after an encoder, a careless one or an attacker's, has had it.
func forms(v string) map[string]string {
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
