package jsonmask

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/bqgate/bqgate/internal/masking"
)

// checkHides holds what hides says of an ASCII text against shown, which looks at each character.
// It may leave a text to it; what it hides, it hides as shown does, and what is shown stands for
// itself. Around the text is what must not count.
func checkHides(t *testing.T, text string, around string) {
	t.Helper()
	p := []byte(around + text + around)
	from, to := len(around), len(around)+len(text)
	for _, rule := range []masking.Rule{masking.FirstFourCharacters, masking.LastFourCharacters, masking.EmailMask} {
		head, tail := partOf(rule).hides(p, from, to)
		if head == tail {
			continue
		}
		wantHead, wantTail, ok := shown(rule, []byte(text))
		if !ok || head != from+wantHead || tail != from+wantTail || escapes(p[from:head]) || escapes(p[tail:to]) {
			t.Fatalf("%s of %q amid %q: hides [%d:%d], shown says [%d:%d] %t", rule, text, around, head-from, tail-from, wantHead, wantTail,
				ok)
		}
	}
}

var aroundTexts = []string{"", `"},{"v":"`, "@example.com", ".com.com.", "        ", "\x7f\x7f\x7f\x7f\x7f\x7f\x7f\x7f",
	"\x80\xff\x80\xff\xc3\xbf\xc0\xff", "--------"}

// plainASCII says whether the text is what hides is asked about.
func plainASCII(text []byte) bool { return plain(text, 0) == len(text) }

// TestHides has each byte at each place of texts of each length, so that it stands in each byte of
// a word, before and behind the end of one.
func TestHides(t *testing.T) {
	for _, text := range []string{"first.last+tag@mail.a1.example-of.com", "user123456@example.com", "a@b.de", "a@1.b", "a@b.1",
		"x.y.z@b.c.d.e.f.g.h.i.j", "123-45-6789", "no address at all"} {
		t.Run(text, func(t *testing.T) {
			for length := range len(text) + 1 {
				for at := range length {
					for c := byte(' '); c < 0x80; c++ {
						for _, cut := range []string{text[:length], text[len(text)-length:]} {
							changed := []byte(cut)
							if changed[at] = c; plainASCII(changed) {
								checkHides(t, string(changed), aroundTexts[(at+int(c))%len(aroundTexts)])
							}
						}
					}
				}
			}
		})
	}
	for text, want := range map[string]bool{"user123456@example.com": true, "a@b.de": true, "a@b.c1": true, "1@1.1.x": true,
		strings.Repeat("u", 40) + "@" + strings.Repeat("d.", 20) + "de": true,
		"a@b.1": false, "a@b-c.de": false, "@b.de": false, "a@b": false, "a@b.": false, "a@.b": false, "a@b..c": false, "a b@c.de": false,
		"a@b.de@c.de": false} {
		t.Run(text, func(t *testing.T) {
			for _, around := range aroundTexts[1:] {
				head, tail := domain.hides([]byte(around+text+around), len(around), len(around)+len(text))
				if got := head < tail; got != want {
					t.Errorf("%q amid %q is plainly an address: %t", text, around, got)
				}
			}
		})
	}
}

func FuzzHides(f *testing.F) {
	for _, text := range []string{"user123456@example.com", "a@b.de", "a@b.1", "a@b..de", "a@b-.de", "first.last+tag@mail.example.com",
		"a b@c.de", "123-45-6789", "<>&'", "a@b.c@d.e", "a@12345678.abcdefg.1"} {
		f.Add([]byte(text), []byte(`"},{"v":"`))
	}
	f.Fuzz(func(t *testing.T, text, around []byte) {
		for i, c := range text { // what is no plain ASCII is made some
			if text[i] = c & 0x7F; !plainASCII(text[i : i+1]) {
				text[i] = "@.-a1Z <"[c&7]
			}
		}
		checkHides(t, string(text), string(around))
		for _, around := range aroundTexts {
			checkHides(t, string(text), around)
		}
	})
}

// TestLearntBadByte has a byte that must end the answer at each place of a cell, of each treatment,
// long enough for three words, in chunks of any size.
func TestLearntBadByte(t *testing.T) {
	cell := `"alice12345678@example.com"` // no letter of it makes an escape
	good, _ := learntRow(0, `"1"`, compact)
	for _, column := range []int{0, 1, 2, 3, 6, 7, 8} {
		t.Run(fmt.Sprint(column), func(t *testing.T) {
			for at := range len(cell) {
				for _, bad := range []byte{0x00, 0x0A, 0x1F, 0x80, 0xFF, '\\', '"'} {
					changed := []byte(cell)
					if changed[at] == bad {
						continue
					}
					changed[at] = bad
					row, offset := learntRow(column, string(changed), compact)
					before := `{"rows":[` + strings.Repeat(good+",", 3)
					doc := before + row + `,` + good + `]}`
					where := fmt.Sprintf("%#x at %d in column %d", bad, at, column)
					checkBad(t, where, doc, len(before)+offset+at)
				}
			}
		})
	}
}

// checkBad wants the oracle and the masker to refuse the answer, cut in two at each place near the
// one given, and nothing to have gone out but a beginning of what the same answer would have given
// up to there.
func checkBad(t *testing.T, name, doc string, near int) {
	t.Helper()
	if _, err := oracle(learntPlan, nil, []byte(doc)); err == nil {
		t.Fatalf("%s: the oracle takes %s", name, doc)
	}
	m := NewResults(learntPlan, Options{})
	m.rows.off = true
	want, err := maskWith(m, doc, func() int { return 1 })
	if err == nil {
		t.Fatalf("%s: accepted byte by byte", name)
	}
	for cut := near - 9; cut < min(near+10, len(doc)); cut++ {
		next := cut
		got, err := maskWith(NewResults(learntPlan, Options{}), doc, func() int { n := next; next = len(doc); return n })
		if err == nil || !strings.HasPrefix(want, got) {
			t.Fatalf("%s, cut at %d: %v\ngot  %q\nwant %q", name, cut, err, got, want)
		}
	}
	if bytes.Contains([]byte(want), []byte("alice12345678@")) && strings.Contains(name, "column 6") {
		t.Fatalf("%s: a masked cell went out: %q", name, want)
	}
}
