package rewrite

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/masking"
)

// readCatalog reads Table resources, stored tables first.
func readCatalog(t testing.TB, dir string) []*bigquery.Table {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no tables in %s: %v", dir, err)
	}
	var all []*bigquery.Table
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		table := &bigquery.Table{}
		if json.Unmarshal(text, table) == nil && table.TableReference.Table != "" {
			all = append(all, table)
		}
	}
	slices.SortStableFunc(all, func(a, b *bigquery.Table) int { return strings.Compare(a.Type, b.Type) })
	return all
}

// contents makes rows for a table: few values, so that joins and groups have something to find,
// NULLs among them. The same for every call.
func contents(table *bigquery.Table, rows int) string {
	name := table.TableReference.String()
	r := rand.New(rand.NewPCG(uint64(len(name)), uint64(name[len(name)-1])))
	var b strings.Builder
	for n := range rows {
		if n > 0 {
			b.WriteString(" UNION ALL ")
		}
		b.WriteString("SELECT ")
		for i := range table.Schema.Fields {
			f := &table.Schema.Fields[i]
			if i > 0 {
				b.WriteString(", ")
			}
			b.WriteString(cellSQL(r, f, n) + " AS `" + f.Name + "`")
		}
	}
	return b.String()
}

func typeSQL(f *bigquery.Field) string {
	c := columnOf(f)
	typ, err := c.TypeSQL()
	if err != nil {
		panic(err)
	}
	return typ
}

func columnOf(f *bigquery.Field) masking.Column {
	c := masking.Column{Name: f.Name, Type: f.Type, Repeated: f.Mode == "REPEATED", Mask: masking.Clear}
	if f.RangeElementType != nil {
		c.Type = "RANGE<" + f.RangeElementType.Type + ">"
	}
	if len(f.Fields) > 0 {
		c.Type, c.Mask = "STRUCT", ""
		for i := range f.Fields {
			c.Fields = append(c.Fields, columnOf(&f.Fields[i]))
		}
	}
	return c
}

func cellSQL(r *rand.Rand, f *bigquery.Field, n int) string {
	if f.Mode == "REPEATED" {
		element := *f
		element.Mode = "REQUIRED"
		items := make([]string, r.IntN(4))
		for i := range items {
			items[i] = cellSQL(r, &element, n)
		}
		return "CAST([" + strings.Join(items, ", ") + "] AS " + typeSQL(f) + ")"
	}
	id := strings.HasSuffix(f.Name, "id") || f.Name == "k" || f.Name == "a"
	if f.Mode != "REQUIRED" && !id && r.IntN(7) == 0 {
		return "CAST(NULL AS " + typeSQL(f) + ")"
	}
	if len(f.Fields) > 0 {
		var fields []string
		for i := range f.Fields {
			fields = append(fields, cellSQL(r, &f.Fields[i], n)+" AS `"+f.Fields[i].Name+"`")
		}
		return "STRUCT(" + strings.Join(fields, ", ") + ")"
	}
	k := r.IntN(5)
	switch typ := strings.ToUpper(f.Type); typ {
	case "INTEGER", "INT64":
		if id {
			return fmt.Sprint(1 + n)
		}
		return fmt.Sprint(k)
	case "FLOAT", "FLOAT64":
		return fmt.Sprintf("%d.5", k)
	case "NUMERIC", "BIGNUMERIC":
		return fmt.Sprintf("%s '%d.25'", typ, 10*k)
	case "BOOLEAN", "BOOL":
		return []string{"TRUE", "FALSE"}[k%2]
	case "DATE":
		return fmt.Sprintf("DATE '19%d-0%d-15'", 70+10*(k%3), 1+k)
	case "TIMESTAMP":
		return fmt.Sprintf("TIMESTAMP '202%d-0%d-11 10:00:00+00'", k, 1+k)
	case "JSON":
		return fmt.Sprintf(`JSON '{"a": %d}'`, k)
	case "BYTES":
		return fmt.Sprintf("b'b%d'", k)
	default:
		return fmt.Sprintf("'%s'", textFor(f.Name, k))
	}
}

func textFor(name string, k int) string {
	switch strings.ToLower(name) {
	case "ssn", "card", "card_number", "number":
		return []string{"123-45-6789", "987-65-4321", "555-12-6789", "12", "604-11-9999"}[k]
	case "email":
		return []string{"ada@x.example", "bob@x.example", "cyd@y.example", "nobody", "ada@x.example"}[k]
	case "status":
		return []string{"paid", "open", "paid", "shipped", "open"}[k]
	default:
		return []string{"alpha", "beta", "gamma delta", "be", "alpha"}[k]
	}
}

// tablesSQL creates every stored table of a catalog with its contents, masked where the policy of
// the gate masks, or as it is.
func tablesSQL(t testing.TB, g *gate, tables []*bigquery.Table, masked bool) []string {
	t.Helper()
	var out []string
	schemas := map[string]bool{}
	for _, table := range tables {
		id := table.TableReference
		if schema := "`" + id.Project + "`.`" + id.Dataset + "`"; !schemas[schema] {
			schemas[schema] = true
			out = append(out, "CREATE SCHEMA "+schema)
		}
		name := "`" + id.Project + "`.`" + id.Dataset + "`.`" + id.Table + "`"
		if table.Type == "VIEW" {
			if table.View.UseExplicitColumnNames {
				var list []string
				for _, f := range table.Schema.Fields {
					list = append(list, "`"+f.Name+"`")
				}
				name += " (" + strings.Join(list, ", ") + ")"
			}
			out = append(out, "CREATE VIEW "+name+" AS "+table.View.Query)
			continue
		}
		if table.Type != "TABLE" || len(table.Schema.Fields) == 0 {
			continue
		}
		rules := map[string]masking.Rule{}
		if masked {
			for _, c := range g.set.SensitiveColumns(table) {
				rules[strings.TrimPrefix(c.Path, id.String()+".")] = c.Rule
			}
		}
		var replace []string
		for i := range table.Schema.Fields {
			f := &table.Schema.Fields[i]
			c := columnOf(f)
			if !setRules(&c, f.Name, rules) {
				continue
			}
			expression, err := c.SQL("x.`"+f.Name+"`", salt)
			if err != nil {
				t.Fatal(err)
			}
			replace = append(replace, expression+" AS `"+f.Name+"`")
		}
		query := "SELECT * FROM (" + contents(table, 12) + ") AS x"
		if len(replace) > 0 {
			query = "SELECT * REPLACE (" + strings.Join(replace, ", ") + ") FROM (" + contents(table, 12) + ") AS x"
		}
		out = append(out, "CREATE TABLE "+name+" AS "+query)
	}
	return out
}

func setRules(c *masking.Column, path string, rules map[string]masking.Rule) bool {
	found := false
	for i := range c.Fields {
		found = setRules(&c.Fields[i], path+"."+c.Fields[i].Name, rules) || found
	}
	if rule, ok := rules[path]; ok && len(c.Fields) == 0 {
		c.Mask, found = rule.For(c.Type), true
	}
	return found
}
