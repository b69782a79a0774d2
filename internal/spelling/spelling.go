// Package spelling finds what a mistyped word was meant to be.
package spelling

import (
	"strings"

	"github.com/agnivade/levenshtein"
)

// longest is the length above which two words are not taken for slips of each other, in bytes.
const longest = 64

// Nearest is the known word that is nearest to word, whatever their case; "" if none is near: more
// than a third of the word's letters, and more than two, would have to change. Of several the first
// counts.
func Nearest(word string, known []string) string {
	nearest, least := "", max(2, len(word)/3)+1
	for _, k := range known {
		if len(word) > longest || len(k) > longest {
			continue
		}
		if d := levenshtein.ComputeDistance(strings.ToLower(word), strings.ToLower(k)); d < least {
			nearest, least = k, d
		}
	}
	return nearest
}

// DidYouMean is " (did you mean X?)" for the nearest of the known words, "" if none is near.
func DidYouMean(word string, known []string) string {
	if nearest := Nearest(word, known); nearest != "" {
		return " (did you mean " + nearest + "?)"
	}
	return ""
}
