package jsonmask

import (
	"fmt"
	"testing"

	"github.com/bqgate/bqgate/internal/masking"
)

// TestCells has what each rule makes of a cell, as BigQuery documents it. The cell is given as JSON
// and comes as JSON.
func TestCells(t *testing.T) {
	const (
		emptySHA = `"47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="` // of no bytes
		abcSHA   = `"ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0="` // of "abc"
	)
	for _, c := range []struct {
		rule      masking.Rule
		typ       string
		cell, out string
	}{
		{masking.Clear, "STRING", `"a\u0062c\/"`, `"a\u0062c\/"`},
		{masking.Clear, "JSON", `"{\"a\":1}"`, `"{\"a\":1}"`},
		{masking.Clear, "STRING", `null`, `null`},

		{masking.SHA256, "STRING", `"randomtext"`, `"jQHDyQuj7vJcveEe59ygb3Zcvj0B5FJINBzgM6Bypgw="`},
		// BigQuery's own example
		{masking.SHA256, "STRING", `"abc"`, abcSHA},
		{masking.SHA256, "STRING", `"\u0061b\u0063"`, abcSHA},
		{masking.SHA256, "STRING", `""`, emptySHA},
		{masking.SHA256, "STRING", `null`, `null`},
		{masking.SHA256, "BYTES", `"YWJj"`, abcSHA},
		{masking.SHA256, "BYTES", `"YWJj\n"`, abcSHA},
		{masking.SHA256, "BYTES", `"not base64"`, `""`},
		{masking.SHA256, "INT64", `"5"`, `"0"`},

		{masking.LastFourCharacters, "STRING", `"123-45-6789"`, `"XXXXX6789"`},
		{masking.LastFourCharacters, "STRING", `"12345"`, `"XXXXX2345"`},
		{masking.LastFourCharacters, "STRING", `"1234"`, `"A6xnQhbz4Vx2HuGl4lXwZ5U2I8iziLRFnhP5eNfIRvQ="`},
		{masking.LastFourCharacters, "STRING", `""`, emptySHA},
		{masking.LastFourCharacters, "STRING", `"aäöü€"`, `"XXXXXäöü€"`},
		{masking.LastFourCharacters, "STRING", `"12\u0033\ud83d\ude00é\"\\"`, `"XXXXX😀é\u0022\u005c"`},
		{masking.LastFourCharacters, "STRING", `"abc<>&'"`, `"XXXXX\u003c\u003e\u0026\u0027"`},
		{masking.LastFourCharacters, "STRING", `null`, `null`},
		{masking.LastFourCharacters, "INT64", `"123456789"`, `"0"`},
		{masking.LastFourCharacters, "JSON", `"\"secret\""`, `"null"`},
		{masking.LastFourCharacters, "BYTES", `"YWJjZGVmZw=="`, `""`},

		{masking.FirstFourCharacters, "STRING", `"123-45-6789"`, `"123-XXXXX"`},
		{masking.FirstFourCharacters, "STRING", `"äöü€5"`, `"äöü€XXXXX"`},
		{masking.FirstFourCharacters, "STRING", `"abc"`, abcSHA},
		{masking.FirstFourCharacters, "STRING", `"\n\t\u0000\u001f5"`, `"\u000a\u0009\u0000\u001fXXXXX"`},

		{masking.EmailMask, "STRING", `"abc123@gmail.com"`, `"XXXXX@gmail.com"`},
		{masking.EmailMask, "STRING", `"a@b.c.d-e.com"`, `"XXXXX@b.c.d-e.com"`},
		{masking.EmailMask, "STRING", `"ü@bücher.de"`, `"XXXXX@bücher.de"`},
		{masking.EmailMask, "STRING", `"abc"`, abcSHA},
		{masking.EmailMask, "STRING", `null`, `null`},

		{masking.DateYearMask, "DATE", `"2024-07-13"`, `"2024-01-01"`},
		{masking.DateYearMask, "DATETIME", `"2024-07-13T12:30:00.5"`, `"2024-01-01T00:00:00"`},
		{masking.DateYearMask, "TIMESTAMP", `"1720874096000000"`, `"1704067200000000"`},
		{masking.DateYearMask, "TIMESTAMP", `"1.720874096E9"`, `"1704067200.0"`},
		{masking.DateYearMask, "TIMESTAMP", `"1720874096.123456"`, `"1704067200.0"`},
		{masking.DateYearMask, "TIMESTAMP", `"-0.5"`, `"-31536000.0"`},
		{masking.DateYearMask, "TIMESTAMP", `"-1"`, `"-31536000000000"`},
		{masking.DateYearMask, "TIMESTAMP", `"2024-07-13T12:34:56.123456Z"`, `"2024-01-01T00:00:00.000000Z"`},
		{masking.DateYearMask, "TIMESTAMP", `"2024-12-31T23:59:59.123456+14:00"`, `"0"`},
		{masking.DateYearMask, "TIMESTAMP", `"NaN"`, `"0"`},
		{masking.DateYearMask, "TIMESTAMP", `"1e300"`, `"0"`},
		{masking.DateYearMask, "TIMESTAMP", `"9223372036854775807"`, `"0"`},
		{masking.DateYearMask, "TIMESTAMP", `"secret"`, `"0"`},
		{masking.DateYearMask, "DATE", `"secret"`, `"1970-01-01"`},
		{masking.DateYearMask, "DATE", `null`, `null`},
		{masking.DateYearMask, "TIME", `"12:00:00"`, `"00:00:00"`},
		{masking.DateYearMask, "STRING", `"2024-07-13"`, `""`},

		{masking.DefaultMaskingValue, "STRING", `"x"`, `""`}, {masking.DefaultMaskingValue, "STRING", `null`, `""`},
		{masking.DefaultMaskingValue, "BYTES", `"eA=="`, `""`}, {masking.DefaultMaskingValue, "INT64", `"7"`, `"0"`},
		{masking.DefaultMaskingValue, "INTEGER", `"7"`, `"0"`},
		{masking.DefaultMaskingValue, "FLOAT64", `"NaN"`, `"0"`}, {masking.DefaultMaskingValue, "NUMERIC", `"1.5"`, `"0"`},
		{masking.DefaultMaskingValue, "BIGNUMERIC", `"1.5"`, `"0"`},
		{masking.DefaultMaskingValue, "BOOL", `"true"`, `"false"`}, {masking.DefaultMaskingValue, "DATE", `"2024-07-13"`, `"1970-01-01"`},
		{masking.DefaultMaskingValue, "DATETIME", `"2024-07-13T01:02:03"`, `"1970-01-01T00:00:00"`},
		{masking.DefaultMaskingValue, "TIME", `"01:02:03"`, `"00:00:00"`},
		{masking.DefaultMaskingValue, "TIMESTAMP", `"1.7E9"`, `"0"`}, {masking.DefaultMaskingValue, "GEOGRAPHY",
			`"POINT(1 2)"`, `"POINT(0 0)"`},
		{masking.DefaultMaskingValue, "JSON", `"1"`, `"null"`}, {masking.DefaultMaskingValue, "INTERVAL", `"1-2 3 4:5:6"`, `"0-0 0 0:0:0"`},
		{masking.DefaultMaskingValue, "RANGE<DATE>", `"[2024-01-01, 2024-02-01)"`, `"[UNBOUNDED, UNBOUNDED)"`},

		{masking.AlwaysNull, "STRING", `"x"`, `null`}, {masking.AlwaysNull, "INT64", `"1"`, `null`},
		{"", "STRING", `"x"`, `null`},
	} {
		t.Run(fmt.Sprintf("%s/%s/%s", c.rule, c.typ, c.cell), func(t *testing.T) {
			plan := masking.Plan{Columns: []masking.Column{{Name: "c", Type: c.typ, Mask: c.rule}}}
			got, err := mask(plan, Options{}, `{"rows":[{"f":[{"v":`+c.cell+`}]}]}`, 1)
			if want := `{"rows":[{"f":[{"v":` + c.out + `}]}]}`; err != nil || got != want {
				t.Errorf("got  %s, %v\nwant %s", got, err, want)
			}
		})
	}
}

// TestEmailDomains: what is behind the @ is shown, so an address that is none must not smuggle its
// column's value out as a domain.
func TestEmailDomains(t *testing.T) {
	for _, text := range []string{
		"", "@", "a@", "@b.de", "a@b", "a@b.", "a@.b", "a@b..de", "a@b.de@c.de", "a@@b.de", "a b@c.de", "a\t@c.de", "a@c .de", "a@-c.de",
		"a@c-.de", "a@c.de-", "a@c.-de",
		"a@123-45-6789", "a@1.2.3.4", "a@[1.2.3.4]", "a@c_d.de", "a@c.de?x=1", "a@c.de\n", "a@\u200bc.de", "\u202ea@c.de", "a\u00a0b@c.de",
		"x@a.1",
	} {
		t.Run(text, func(t *testing.T) {
			if at, ok := emailAt([]byte(text)); ok {
				t.Errorf("%q passes as an address, showing %q", text, text[at:])
			}
		})
	}
	for text, want := range map[string]int{"a@b.de": 1, "first.last+tag@mail.example.com": 14, "ü@b.de": 2, "a'b\"c@x1.co": 5,
		"a@xn--bcher-kva.example": 1} {
		t.Run(text, func(t *testing.T) {
			if at, ok := emailAt([]byte(text)); !ok || at != want {
				t.Errorf("emailAt(%q) = %d, %t; want %d", text, at, ok, want)
			}
		})
	}
}

func TestTimestampISO(t *testing.T) {
	plan := masking.Plan{Columns: []masking.Column{{Name: "a", Type: "TIMESTAMP", Mask: masking.DefaultMaskingValue},
		{Name: "b", Type: "TIMESTAMP", Mask: masking.DateYearMask},
		{Name: "c", Type: "STRUCT", Mask: masking.DefaultMaskingValue,
			Fields: []masking.Column{{Name: "d", Type: "TIMESTAMP", Mask: masking.Clear}, {Name: "e", Type: "INT64",
				Repeated: true, Mask: masking.Clear}}}}}
	got, err := mask(plan, Options{TimestampFormat: "ISO8601_STRING"}, `{"rows":[{"f":[{"v":null},{"v":"odd"},{"v":null}]}]}`, 7)
	want := `{"rows":[{"f":[{"v":"1970-01-01T00:00:00.000000Z"},{"v":"1970-01-01T00:00:00.000000Z"},` +
		`{"v":{"f":[{"v":"1970-01-01T00:00:00.000000Z"},{"v":[]}]}}]}]}`
	if err != nil || got != want {
		t.Errorf("got  %s, %v\nwant %s", got, err, want)
	}
}

// TestRandomHash: the same value has one token in a job and another one in every other job, and
// without a salt there is no token at all.
func TestRandomHash(t *testing.T) {
	plan := masking.Plan{Columns: []masking.Column{{Name: "a", Type: "STRING", Mask: masking.RandomHash}, {Name: "b",
		Type: "BYTES", Mask: masking.RandomHash}}}
	const doc = `{"rows":[{"f":[{"v":"abc"},{"v":"YWJj"}]},{"f":[{"v":"\u0061bc"},{"v":null}]}]}`
	one, err := mask(plan, Options{Salt: []byte("one")}, doc, 5)
	if err != nil {
		t.Fatal(err)
	}
	two, err := mask(plan, Options{Salt: []byte("two")}, doc, 5)
	if err != nil {
		t.Fatal(err)
	}
	if one == two {
		t.Error("two salts give the same hash")
	}
	cells := cellsOf(t, one)
	if len(cells) != 4 || cells[0] != cells[1] || cells[0] != cells[2] || cells[3] != "null" ||
		cells[0] == `"ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0="` {
		t.Errorf("cells %v", cells)
	}
	if out, err := mask(plan, Options{}, doc, 5); err == nil || out != "" {
		t.Errorf("without a salt: %q, %v", out, err)
	}
	nested := masking.Plan{Columns: []masking.Column{
		{Name: "s", Type: "STRUCT", Repeated: true, Mask: masking.RandomHash, Fields: []masking.Column{{Name: "a",
			Type: "STRING", Mask: masking.Clear}}},
	}}
	if _, err := mask(nested, Options{}, `{}`, 5); err == nil {
		t.Error("a nested RANDOM_HASH needs no salt")
	}
}
