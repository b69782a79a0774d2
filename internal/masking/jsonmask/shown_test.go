package jsonmask

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/bqgate/bqgate/internal/masking"
)

func answerOf(schema, rows string) string {
	return `{"schema":{"fields":[` + schema + `]},"jobComplete":true,"rows":[` + rows + `]}`
}

func fieldOf(names ...string) string {
	var all []string
	for _, n := range names {
		name, typ, _ := strings.Cut(n, " ")
		if typ == "" {
			typ = "STRING"
		}
		all = append(all, fmt.Sprintf(`{"name":%q,"type":%q}`, name, typ))
	}
	return strings.Join(all, ",")
}

func rowOf(cells ...string) string {
	for i, c := range cells {
		cells[i] = `{"v":"` + c + `"}`
	}
	return `{"f":[` + strings.Join(cells, ",") + `]}`
}

// A50: of columns whose names BigQuery may change, only the places count. Whatever it calls them,
// the cell of the column that the plan masks is masked, and no other; a name that is not made of
// the column's own is not the planned answer.
func TestAmbiguousColumnsAreMaskedByTheirPlaces(t *testing.T) {
	open := func(names ...string) []masking.Column {
		var all []masking.Column
		for _, n := range names {
			all = append(all, masking.Column{Name: n, Type: "STRING", Mask: masking.Clear, Ambiguous: true})
		}
		all[0].Mask = masking.AlwaysNull
		return all
	}
	for name, c := range map[string]struct {
		plan   []masking.Column
		fields string
		ok     bool
	}{
		"as BigQuery does":                {open("a", "a"), fieldOf("a", "a_1"), true},
		"the first is renamed":            {open("a", "a"), fieldOf("a_1", "a"), true},
		"both are renamed":                {open("a", "a"), fieldOf("a_1", "a_2"), true},
		"neither is renamed":              {open("a", "a"), fieldOf("a", "a"), true},
		"another case":                    {open("ssn", "SSN"), fieldOf("ssn", "SSN_1"), true},
		"by hand, as it was":              {open("a_1", "a", "a"), fieldOf("a_1", "a", "a_2"), true},
		"by hand, renamed":                {open("a_1", "a", "a"), fieldOf("a_1_1", "a", "a_1"), true},
		"by hand, twice numbered":         {open("a_1", "a", "a"), fieldOf("a_1", "a", "a_1_1"), true},
		"anonymous, counted on":           {open("f0_", "f0_"), fieldOf("f0_", "f1_"), true},
		"anonymous, numbered":             {open("f0_", "f0_"), fieldOf("f0_", "f0__1"), true},
		"anonymous, with a number behind": {open("f0_", "f0_"), fieldOf("f0_", "f0_1"), true},
		"places swapped by name":          {open("a", "b"), fieldOf("b", "a"), false},
		"another name":                    {open("a", "a"), fieldOf("a", "name"), false},
		"a longer name":                   {open("a", "a"), fieldOf("a", "a_b"), false},
		"letters in the number":           {open("a", "a"), fieldOf("a", "a_1x"), false},
		"a number without underscore":     {open("a", "a"), fieldOf("a", "a1"), false},
		"one column less":                 {open("a", "a"), fieldOf("a"), false},
		"one column more":                 {open("a", "a"), fieldOf("a", "a_1", "a_2"), false},
		"another type":                    {open("a", "a"), fieldOf("a", "a_1 INTEGER"), false},
		"no name of a column without":     {open("f0_", "f0_"), fieldOf("f0_", "x_1"), false},
	} {
		t.Run(name, func(t *testing.T) {
			cells := []string{"SECRET"}
			for range len(c.plan) - 1 {
				cells = append(cells, "open")
			}
			m := NewResults(masking.Plan{Columns: c.plan}, Options{})
			out, err := m.Write([]byte(answerOf(c.fields, rowOf(cells...))))
			if strings.Contains(string(out), "SECRET") {
				t.Fatalf("a masked cell went out: %s", out)
			}
			switch {
			case !c.ok && !errors.Is(err, masking.ErrUnplanned):
				t.Errorf("%s: %v, want ErrUnplanned", out, err)
			case c.ok && (err != nil || strings.Count(string(out), `"open"`) != len(c.plan)-1):
				t.Errorf("%s: %v", out, err)
			}
			if c.ok && len(m.Head().Columns) != len(c.plan) {
				t.Errorf("head: %v", m.Head().Columns)
			}
		})
	}
}

// Without ambiguity a name is checked as before.
func TestPlainNamesStayPlain(t *testing.T) {
	m := NewResults(masking.Plan{Columns: []masking.Column{{Name: "a", Type: "STRING", Mask: masking.Clear}}}, Options{})
	if _, err := m.Write([]byte(answerOf(fieldOf("a_1"), rowOf("x")))); !errors.Is(err, masking.ErrUnplanned) {
		t.Errorf("a_1 passed for a: %v", err)
	}
}

// The columns of a view of INFORMATION_SCHEMA are those that the answer says, of those that the
// plan has; no row passes before.
func TestColumnsThatOnlyAnAnswerTells(t *testing.T) {
	plan := masking.Plan{Metadata: true, Columns: []masking.Column{
		{Name: "table_name", Type: "STRING", Mask: masking.Clear}, {Name: "ordinal_position", Type: "INT64", Mask: masking.Clear},
		{Name: "status", Type: "STRING", Mask: masking.Clear},
	}}
	status := `{"name":"status","type":"RECORD","fields":[{"name":"message","type":"STRING"},{"name":"codes","type":"INTEGER",` +
		`"mode":"REPEATED"}]}`
	const secret = `{"v":"SECRET"}`
	for name, c := range map[string]struct {
		answer, want string
		err          error
	}{
		"as planned": {answerOf(fieldOf("table_name", "ordinal_position INTEGER", "status"), rowOf("t", "1", "done")), `"done"`,
			nil},
		"another order": {answerOf(fieldOf("status", "ordinal_position INTEGER", "table_name"), rowOf("done", "1", "t")), `"done"`,
			nil},
		"one less":     {answerOf(fieldOf("table_name", "status"), rowOf("t", "done")), `"done"`, nil},
		"another case": {answerOf(fieldOf("TABLE_NAME"), rowOf("t")), `"t"`, nil},
		"another type": {answerOf(fieldOf("table_name", "status INTEGER"), rowOf("t", "7")), `{"v":"7"}`, nil},
		"a record": {answerOf(fieldOf("table_name")+","+status, `{"f":[{"v":"t"},{"v":{"f":[{"v":"done"},{"v":[{"v":"1"},`+
			`{"v":"2"}]}]}}]}`), `{"v":"2"}`, nil},
		"a record that is no": {answerOf(fieldOf("table_name")+","+status, `{"f":[{"v":"t"},{"v":null}]}`), `null`, nil},
		"no rows":             {answerOf(fieldOf("table_name"), ""), `"rows":[]`, nil},
		"one more":            {answerOf(fieldOf("table_name", "ddl"), rowOf("t", "SECRET")), "", masking.ErrUnplanned},
		"one twice":           {answerOf(fieldOf("table_name", "Table_name"), rowOf("t", "SECRET")), "", masking.ErrUnplanned},
		"one numbered":        {answerOf(fieldOf("table_name", "table_name_1"), rowOf("t", "SECRET")), "", masking.ErrUnplanned},
		"rows without":        {`{"jobComplete":true,"rows":[` + rowOf("SECRET", "done", "x") + `]}`, "", masking.ErrUntold},
		"rows before": {`{"rows":[` + rowOf("SECRET") + `],"schema":{"fields":[` + fieldOf("table_name") + `]}}`, "",
			masking.ErrUntold},
		"a cell more":       {answerOf(fieldOf("table_name"), rowOf("t", "SECRET")), "", masking.ErrUnplanned},
		"not of its schema": {answerOf(fieldOf("table_name")+","+status, `{"f":[{"v":"t"},`+secret+`]}`), "", masking.ErrUnplanned},
		"a type of nobody":  {answerOf(fieldOf("table_name HOLOGRAM"), rowOf("SECRET")), "", masking.ErrUnplanned},
		"a field of nobody": {answerOf(`{"name":"status","type":"RECORD","fields":[{"name":"x","type":"HOLOGRAM"}]}`, ""), "",
			masking.ErrUnplanned},
		"a mode of nobody": {answerOf(`{"name":"status","type":"STRING","mode":"TWICE"}`, ""), "", masking.ErrUnplanned},
		"deeper, of nobody": {answerOf(`{"name":"status","type":"RECORD","fields":[{"name":"x","type":"STRING","mode":"TWICE"}]}`, ""),
			"", masking.ErrUnplanned},
		"a record of nothing": {answerOf(`{"name":"status","type":"RECORD"}`, ""), "", masking.ErrUnplanned},
	} {
		for _, cut := range []int{1, 7, 1 << 20} {
			t.Run(fmt.Sprintf("%s/%d", name, cut), func(t *testing.T) {
				m, out := NewResults(plan, Options{}), ""
				var err error
				for rest := c.answer; rest != "" && err == nil; {
					n := min(cut, len(rest))
					var piece []byte
					piece, err = m.Write([]byte(rest[:n]))
					out, rest = out+string(piece), rest[n:]
				}
				if strings.Contains(out, "SECRET") {
					t.Fatalf("a cell that nobody planned went out: %s", out)
				}
				if !errors.Is(err, c.err) || c.err == nil && (err != nil || !strings.Contains(out, c.want)) {
					t.Errorf("%s: %v, want %s %v", out, err, c.want, c.err)
				}
			})
		}
	}
	masked := masking.Plan{Metadata: true, Columns: []masking.Column{{Name: "a", Type: "STRING", Mask: masking.SHA256}}}
	if err := masked.Check(); err == nil {
		t.Error("a plan with a masked column passed")
	}
}
