package main

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"

	googlesql "github.com/goccy/go-googlesql"
)

// BigQuery keeps a quoted name as one identifier: quoted identifiers "can contain any characters,
// including spaces and symbols" (Lexical structure), and of a path in FROM "the alias is the last
// identifier in the path" (Query syntax, Implicit aliases), which is all of `p.d.t`. Only where a
// table or a routine is looked for are the dots separators: `myproject.mydataset.mytable` and
// `myproject.mydataset`.mytable are names of tables (Lexical structure, Table names).
//
// GoogleSQL does so by itself if its catalog takes names apart (finder.go). The driver's catalog
// has a table under names that are quoted as a whole too. What it does not have is written in other
// words.

// respell writes names that are quoted in part, and the names of routines, as the driver knows
// them. What the analyzer does not take stays as it is: the driver has words for it.
func (an *analyzer) respell(req request) (_ string, err error) {
	sql := req.SQL
	if !respelt(sql) {
		return sql, nil
	}
	f := &finder{an: an, project: req.Project, dataset: req.Dataset, found: map[string]string{}}
	if out, err := an.resolveBy(f, sql); err == nil {
		freeAnalyzerOutput(out)
	}
	script, done, err := an.parse(sql)
	if err != nil {
		return sql, nil //nolint:nilerr // the driver parses it too, and has words for it
	}
	defer done()
	defer caught(&err)
	s := &speller{an: an, found: f.found, queries: withQueries(script)}
	s.walk(script)
	slices.SortFunc(s.splices, func(a, b splice) int { return cmp.Compare(b.start, a.start) })
	for _, s := range s.splices {
		sql = sql[:s.start] + s.text + sql[s.end:]
	}
	return sql, nil
}

// integers are other names of INT64: "INT, SMALLINT, INTEGER, BIGINT, TINYINT, and BYTEINT are
// aliases for INT64" (Data types).
var integers = []string{"INT", "SMALLINT", "INTEGER", "BIGINT", "TINYINT", "BYTEINT"}

var integer = regexp.MustCompile(`(?i)\b(?:` + strings.Join(integers, "|") + `)\b`)

// respelt says whether a text may have something in it that the driver does not know by its name.
func respelt(sql string) bool { return dotted(sql) || integer.MatchString(sql) }

// dotted says whether a text has a quoted name with a dot in it.
func dotted(sql string) bool {
	for i := 0; i < len(sql); {
		end := tokenEnd(sql, i)
		if sql[i] == '`' && strings.Contains(sql[i:end], ".") {
			return true
		}
		i = end
	}
	return false
}

type speller struct {
	an      *analyzer
	found   map[string]string // as of the finder
	queries map[string]bool
	splices []splice
}

func (s *speller) walk(n googlesql.ASTNode) {
	switch n := n.(type) {
	case *googlesql.ASTTablePathExpression:
		if path := must(n.PathExpr()); path != nil {
			s.table(path, must(n.Alias()) != nil)
		}
	case *googlesql.ASTFunctionCall:
		s.routine(must(n.Function()))
	case *googlesql.ASTTVF:
		s.routine(must(n.Name()))
	case *googlesql.ASTSimpleType:
		path := must(n.TypeName())
		if slices.Contains(integers, strings.ToUpper(strings.Join(must(path.ToIdentifierVector()), "."))) {
			start, end := span(path)
			s.splices = append(s.splices, splice{start, end, "INT64"})
		}
	}
	children(n, s.walk)
}

// table writes a table's whole name in quotes, where no row can be taken for its project.
func (s *speller) table(path *googlesql.ASTPathExpression, aliased bool) {
	identifiers := must(path.ToIdentifierVector())
	full, ok := s.found[strings.Join(identifiers, "\x00")]
	whole := len(identifiers) == 1 && s.an.catalog.only(identifiers[0])
	if !ok || whole || !slices.ContainsFunc(identifiers, func(id string) bool { return strings.Contains(id, ".") }) {
		return
	}
	if s.queries[strings.ToLower(full)] {
		panic(fmt.Errorf("a query that names %s in part beside a WITH query of that name is not carried out here", full))
	}
	text := "`" + full + "`"
	if !aliased {
		text += " AS `" + identifiers[len(identifiers)-1] + "`"
	}
	start, end := span(path)
	s.splices = append(s.splices, splice{start, end, text})
}

// routine writes a routine's name part by part.
func (s *speller) routine(path *googlesql.ASTPathExpression) {
	identifiers := must(path.ToIdentifierVector())
	parts := strings.Split(strings.Join(identifiers, "."), ".")
	if len(parts) == len(identifiers) {
		return
	}
	start, end := span(path)
	s.splices = append(s.splices, splice{start, end, "`" + strings.Join(parts, "`.`") + "`"})
}

// only says whether just one table has this name, or a name that ends so: the driver finds the one
// that was made first.
func (c *catalog) only(name string) bool {
	found := 0
	for key := range c.tables {
		if key == name || strings.HasSuffix(key, "."+name) {
			found++
		}
	}
	return found == 1
}
