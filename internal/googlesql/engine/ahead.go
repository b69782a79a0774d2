package engine

import (
	"slices"
	"strings"

	"github.com/bqgate/bqgate/internal/googlesql/wire"
)

// expected is the question that the gateway is going to ask about the text, as far as it foresaw
// it: what the text names must all be in the question. Nil if it is not.
func expected(question *wire.ParseQuestion, script *wire.Script) *wire.AnalyzeQuestion {
	if question.Ahead == nil || len(script.Statements) != 1 {
		return nil
	}
	s := &script.Statements[0]
	if s.Kind != "SELECT" || s.Nested {
		return nil
	}
	foreseen := map[string]int{}
	for i := range question.Ahead.Tables {
		foreseen[question.Ahead.Tables[i].Name] = i
	}
	named, references := map[string]bool{}, 0
	for i := range s.Paths {
		p := &s.Paths[i]
		if !p.Plain(question.SQL) {
			return nil
		}
		switch p.Role {
		case wire.RoleBuiltin:
		case wire.RoleTable:
			references++
			if s.Hides(p) {
				continue
			}
			name, ok := full(p.Parts, question.Ahead.Project, question.Ahead.Dataset)
			if _, known := foreseen[name]; !ok || !known {
				return nil
			}
			named[name] = true
		default:
			return nil
		}
	}
	if references > question.MaxTables {
		return nil
	}
	ask := *question.Ahead
	ask.SQL, ask.Tables = question.SQL[s.Start:s.End], nil
	for _, t := range question.Ahead.Tables {
		if named[t.Name] {
			ask.Tables = append(ask.Tables, t)
			delete(named, t.Name)
		}
	}
	slices.SortFunc(ask.Tables, func(a, b wire.Table) int { return strings.Compare(a.Name, b.Name) })
	return &ask
}
