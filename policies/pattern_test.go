package policies

import (
	"strings"
	"testing"
)

// A pattern that would load and match nothing, since BigQuery has no such name or spells it
// otherwise, is a mistake with a cure.
func TestPatternsThatCouldMatchNothing(t *testing.T) {
	for _, c := range []struct {
		text   string
		column bool
		says   string // "" where it is well
	}{
		{"demo:crm.c.phones.number", true, "write demo.crm.c.phones.number"},
		{"demo:crm.customers.ssn", true, "write demo.crm.customers.ssn"},
		{"demo:crm.customers", false, "write demo.crm.customers"},
		{"demo:crm.*", false, "write demo.crm.*"},
		{"de*o:crm.*", false, "write de*o.crm.*"},
		{"*:crm.customers", false, "write *.crm.customers"},
		{"demo.crm:customers", false, "write demo.crm.customers"},
		{"demo.crm:customers.ssn", true, "colon"},
		{"demo.crm.x:y", false, "write demo.crm.x.y"},
		{":demo.crm.t", false, "colon"},
		{"demo:.crm.t", false, "colon"},
		{"example.com:.crm.t", false, "colon"},
		{"example.com:a:b.crm.t", false, "colon"},
		{"exa_mple.com:a.crm.t", false, "colon"},
		{".com:a.crm.t", false, "colon"},
		{"[demo:crm.customers]", false, "cannot stand in a name"},
		{"demo.crm.events$20260101", false, `"events$20260101" is not the name of a table`},
		{"demo.crm.events@-3600000", false, "is not the name of a table"},
		{"demo.crm.t, demo.crm.u", false, "is not"},
		{"demo.c/m.t", false, `"c/m" is not the name of a dataset`},
		{"demo.crm .t", false, "empty part"},
		{"de mo.crm.t", false, `"de mo" is not the name of a project`},
		{"demo.crm.t.ssn,", true, `"ssn," is not the name of a column`},
		{"demo.crm.t.phones(0).number", true, "is not the name of a column"},
		{"demo.crm.t.ssn;", true, "is not the name of a column"},
		{"demo.crm.t.a/b", true, "is not the name of a column"},

		{"example.com:project.crm.customers", false, ""},
		{"example.com:project.crm.customers.ssn", true, ""},
		{"example.com:pro*.*.*", false, ""},
		{"a.b.example.com:p.crm.t.c.d", true, ""},
		{"demo.crm.t.a:b", true, ""}, // a column's name may have one
		{"demo.crm.t.a b & c", true, ""},
		{"demo.crm.*.s*n", true, ""},
		{"demo.crm.Kunden-2026 Übersicht", false, ""},
		{"demo.crm.INFORMATION_SCHEMA.TABLES", false, ""},
		{"demo.INFORMATION_SCHEMA.SCHEMATA", false, ""},
		{"*.*.*", false, ""},
	} {
		t.Run(c.text, func(t *testing.T) {
			p, err := parsePattern(c.text, c.column)
			switch {
			case c.says == "" && err != nil:
				t.Errorf("%s: %v", c.text, err)
			case c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)):
				t.Errorf("%s: %v, want an error that says %q (%q)", c.text, err, c.says, p.parts)
			}
		})
	}
	p, err := parsePattern("example.com:project.crm.t.c.d", true)
	if err != nil || p.parts[0] != "example.com:project" || len(p.parts) != 5 {
		t.Errorf("a project of a domain: %q %v", p.parts, err)
	}
}
