package jsonmask

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
	"testing"

	json "github.com/go-json-experiment/json"

	"github.com/bqgate/bqgate/internal/masking"
)

// learntPlan has a cell of each treatment beside its neighbours of every other: passed, replaced,
// computed, expected, and nested ones between them.
var learntPlan = masking.Plan{Columns: []masking.Column{
	{Name: "a", Type: "STRING", Mask: masking.Clear}, {Name: "b", Type: "STRING", Mask: masking.Clear},
	{Name: "c", Type: "STRING", Mask: masking.LastFourCharacters}, {Name: "d", Type: "STRING", Mask: masking.AlwaysNull},
	{Name: "e", Type: "STRING", Mask: masking.Clear}, {Name: "f", Type: "INT64", Repeated: true, Mask: masking.Clear},
	{Name: "g", Type: "STRING", Mask: masking.EmailMask}, {Name: "h", Type: "INT64", Mask: masking.DefaultMaskingValue},
	{Name: "i", Type: "STRING", Mask: masking.Clear},
}}

// learntRow is a row of learntPlan whose cell at is the JSON given, and where in it that cell is.
// Style writes what stands between cells.
func learntRow(at int, cell string, style func(string) string) (row string, offset int) {
	cells := []string{`"1"`, `"plain words of some length"`, `"123-45-6789"`, `"secret"`, `"Berlin"`, `[{"v":"1"},{"v":null}]`,
		`"jo@example.com"`, `"77"`, `"the end"`}
	cells[at] = cell
	open, between := style(`{"f":[{"v":`), style(`},{"v":`)
	offset = len(open) + len(strings.Join(cells[:at], between))
	return open + strings.Join(cells, between) + style(`}]}`), offset
}

func compact(text string) string { return text }

func pretty(text string) string {
	return strings.NewReplacer(`{`, "{\n      ", `}`, "\n    }", `:`, `: `, `,`, ",\n    ").Replace(text)
}

// TestLearntRows has a row that is not like the ones before, when their shape is long known.
// Whatever the chunks, it is masked as it would be alone, or it ends the answer.
func TestLearntRows(t *testing.T) {
	const scalars = "0,1,2,3,6,8" // the first and the second of a run that pass, computed, replaced, computed, the last
	for _, c := range []struct {
		name, cell string
		at         string // the columns it is tried in
		ok         bool
	}{
		{"null", `null`, scalars + ",5", true},
		{"empty", `""`, scalars, true},
		{"escapes", `"a\"b\\c\/d\n"`, scalars, true},
		{"an escaped quote last", `"12345678\""`, scalars, true},
		{"a surrogate pair", `"1234567\ud83d\ude00"`, scalars, true},
		{"outside ASCII", `"straße 東京 😀"`, scalars, true},
		{"long", `"` + strings.Repeat("0123456789", 20) + `"`, scalars, true},
		{"what stands between cells", `"x\"},{\"v\":\"y"`, scalars, true},
		{"blanks around", " \n\t \"x\" \r ", scalars, true},
		{"DEL", "\"a\x7fb\"", scalars, true},

		{"a number", `12`, scalars, false},
		{"true", `true`, scalars, false},
		{"nothing", ``, scalars, false},
		{"nul", `nul`, scalars, false},
		{"nulls", `nulls`, scalars, false},
		{"NULL", `NULL`, scalars, false},
		{"a string for an array", `"x"`, "5", false},
		{"an array for a string", `[{"v":"x"}]`, scalars, false},
		{"a struct for a string", `{"f":[{"v":"x"}]}`, scalars, false},
		{"a control character", "\"a\x1fb\"", scalars, false},
		{"NUL", "\"12345678\x00\"", scalars, false},
		{"a line feed", "\"1234567\n\"", scalars, false},
		{"a lone continuation byte", "\"1234567\x80\"", scalars, false},
		{"cut UTF-8", "\"123456\xe2\x82\"", scalars, false},
		{"an encoded surrogate", "\"\xed\xa0\x80\"", scalars, false},
		{"a lone high surrogate", `"\ud83d"`, scalars, false},
		{"a lone low surrogate", `"abcdefg\ude00"`, scalars, false},
		{"an unknown escape", `"1234567\x41"`, scalars, false},
		{"an open string", `"12345678`, scalars, false},
		{"a backslash for the last quote", `"1234\`, scalars, false},
		{"a line feed for the last quote", "\"1234\n", scalars, false},
		{"0xff for the last quote", "\"1234\xff", scalars, false},
		{"two values", `"a" "b"`, scalars, false},
		{"v twice", `"a","v":"b"`, scalars, false},
		{"another member", `"a","w":"b"`, scalars, false},
		{"a cell too many", `"a"},{"v":"b"`, scalars + ",5", false},
		{"the end of the row", `"a"}]},{"f":[{"v":"b"`, scalars + ",5", false},
		{"the end of the rows", `"a"}]}]`, scalars + ",5", false},
		{"a closed document", `"a"}]}]}`, scalars, false},
		{"a quote too many", `"a""`, scalars, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, at := range strings.Split(c.at, ",") {
				var column int
				fmt.Sscan(at, &column)
				for name, style := range map[string]func(string) string{"compact": compact, "pretty": pretty} {
					good, _ := learntRow(0, `"1"`, style)
					other, offset := learntRow(column, c.cell, style)
					between := style(`,`)
					before := `{"rows":[` + strings.Repeat(good+between, 3)
					checkLearnt(t, fmt.Sprintf("%s in column %d, %s", c.name, column, name), before+other+between+good+`]}`,
						len(before)+offset,
						c.ok)
				}
			}
		})
	}
}

// TestLearntShapeChanges has answers whose text changes its style where the first one is long
// known.
func TestLearntShapeChanges(t *testing.T) {
	dense, _ := learntRow(0, `"1"`, compact)
	loose, _ := learntRow(0, `"1"`, pretty)
	tabs := strings.ReplaceAll(dense, `,`, ",\t")
	for name, rows := range map[string][]string{
		"compact, then pretty": {dense, dense, dense, loose, loose, dense}, "pretty, then compact": {loose, loose, dense, dense, loose},
		"a blank in turn": {dense, tabs, dense, tabs, dense, dense},
	} {
		t.Run(name, func(t *testing.T) {
			for _, between := range []string{",", ", ", "\n,\n"} {
				good := `{"rows":[` + strings.Join(rows, between)
				for fault, end := range map[string]string{
					"nothing": "]}", "no comma": " " + dense + "]}", "two commas": ",," + dense + "]}",
					"a short row": between + strings.Replace(dense, `{"v":"77"},`, "", 1) + "]}", "a second document": "]}{",
				} {
					checkLearnt(t, name+", then "+fault, good+end, len(good), fault == "nothing")
				}
			}
		})
	}
}

// checkLearnt masks an answer of learntPlan in chunks of several sizes, and cut in two at every
// place near the one given, and wants the same each time: an error unless ok, else the bytes that
// the state machine alone makes of single bytes, which are what the oracle says.
func checkLearnt(t *testing.T, name, doc string, near int, ok bool) {
	t.Helper()
	tree, err := oracle(learntPlan, nil, []byte(doc))
	if (err == nil) != ok {
		t.Fatalf("%s: the oracle says %v of %s", name, err, doc)
	}
	m := NewResults(learntPlan, Options{})
	m.rows.off = true
	want, err := maskWith(m, doc, func() int { return 1 })
	if (err == nil) != ok {
		t.Fatalf("%s: %v of %s", name, err, doc)
	}
	if ok {
		var got any
		if err := json.Unmarshal([]byte(want), &got); err != nil || !reflect.DeepEqual(got, tree) {
			t.Fatalf("%s: %s, the oracle says %v", name, want, tree)
		}
	}
	check := func(chunks string, size func() int) {
		got, err := maskWith(NewResults(learntPlan, Options{}), doc, size)
		if (err == nil) != ok || ok && got != want || !strings.HasPrefix(want, got) {
			t.Fatalf("%s, %s: %v\ndocument %q\ngot  %q\nwant %q", name, chunks, err, doc, got, want)
		}
	}
	for _, n := range []int{1, 2, 3, 7, 8, 9, 15, 16, 17, 64, len(doc)} {
		check(fmt.Sprintf("chunks of %d", n), func() int { return n })
	}
	for cut := max(near-9, 1); cut < min(near+27, len(doc)); cut++ {
		next := cut
		check(fmt.Sprintf("cut at %d", cut), func() int { n := next; next = len(doc); return n })
	}
}

// TestPlain: the scan that looks at eight bytes at a time stops where one that looks at each does,
// whatever byte stands where.
func TestPlain(t *testing.T) {
	for length := range 20 {
		for at := range length {
			for c := range 256 {
				for _, fill := range []byte{' ', '!', '#', 'a', 0x7F} {
					t.Run(fmt.Sprint(fill), func(t *testing.T) {
						p := bytes.Repeat([]byte{fill}, length)
						p[at] = byte(c)
						want := length
						if c == '"' || c == '\\' || c < 0x20 || c >= 0x80 {
							want = at
						}
						if got := plain(p, 0); got != want {
							t.Fatalf("plain(%q) = %d, want %d", p, got, want)
						}
					})
				}
			}
		}
	}
	// Two of them in one word: the borrow of the first must not hide that it is the first.
	for _, a := range []byte("\"\\\x00\x1f\x80\xff\x22\xa1") {
		for _, b := range []byte("\"\\\x00\x1f\x80\xff !") {
			if got := plain([]byte{'a', 'a', a, b, b, 'a', b, b, 'a'}, 0); got != 2 {
				t.Errorf("%q before %q: %d", a, b, got)
			}
		}
	}
}
