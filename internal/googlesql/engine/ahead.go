package engine

import (
	"slices"
	"strings"

	"github.com/bqgate/bqgate/internal/googlesql/wire"
)

// expected is the question that the gateway is going to ask about the text, as far as it foresaw
// it: what the text names must all be in the request. Nil if it is not.
func expected(request *wire.ParseRequest, script *wire.Script) *wire.AnalyzeRequest {
	if request.Ahead == nil || len(script.Statements) != 1 {
		return nil
	}
	s := &script.Statements[0]
	if s.Kind != "SELECT" || s.Nested {
		return nil
	}
	foreseen := map[string]int{}
	for i := range request.Ahead.Tables {
		foreseen[request.Ahead.Tables[i].Name] = i
	}
	named, references := map[string]bool{}, 0
	for i := range s.Paths {
		p := &s.Paths[i]
		if !p.Plain(request.SQL) {
			return nil
		}
		switch p.Role {
		case wire.RoleBuiltin:
		case wire.RoleTable:
			references++
			if s.Hides(p) {
				continue
			}
			name, ok := full(p.Parts, request.Ahead.Project, request.Ahead.Dataset)
			if _, known := foreseen[name]; !ok || !known {
				return nil
			}
			named[name] = true
		default:
			return nil
		}
	}
	if references > request.MaxTables {
		return nil
	}
	ask := *request.Ahead
	ask.SQL, ask.Tables = request.SQL[s.Start:s.End], nil
	for _, t := range request.Ahead.Tables {
		if named[t.Name] {
			ask.Tables = append(ask.Tables, t)
			delete(named, t.Name)
		}
	}
	slices.SortFunc(ask.Tables, func(a, b wire.Table) int { return strings.Compare(a.Name, b.Name) })
	return &ask
}
