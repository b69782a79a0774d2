package googlesql

import (
	"slices"
	"strings"

	"github.com/bqgate/bqgate/internal/googlesql/wire"
)

// outlined is what the outline alone says of a statement.
func (j *job) outlined(s *wire.Statement) Statement {
	result := Statement{
		Kind: s.Kind, Span: Span{s.Start, s.End}, Functions: []string{},
		Tables: []string{}, Targets: []string{}, Routines: []string{}, Columns: []Column{}, Uses: []Use{},
	}
	for i := range s.Paths {
		p := &s.Paths[i]
		switch p.Role {
		case wire.RoleTable:
			if s.Hides(p) {
				continue
			}
			name := strings.Join(p.Parts, ".")
			if id, refused := j.tableID(p.Parts); refused == nil {
				name = id.String()
				result.name(name)
			}
			result.Tables = append(result.Tables, name)
		case wire.RoleTarget:
			name := j.target(s.Kind, p.Parts)
			result.Targets = append(result.Targets, name)
			if existing(s.Kind) {
				result.Tables = append(result.Tables, name)
				if _, refused := j.tableID(p.Parts); refused == nil {
					result.name(name)
				}
			}
			if strings.HasSuffix(s.Kind, "FUNCTION") || strings.HasSuffix(s.Kind, "PROCEDURE") {
				result.Routines = append(result.Routines, name)
			}
		case wire.RoleBuiltin:
			result.Functions = append(result.Functions, strings.ToUpper(strings.Join(p.Parts, ".")))
		case wire.RoleFunction, wire.RoleTVF, wire.RoleProcedure:
			name := strings.Join(p.Parts, ".")
			if id, refused := j.routineID(p.Parts); refused == nil && !builtinNamespace(p.Parts) {
				name = id.String()
				result.name(name + "()")
			}
			result.Routines = append(result.Routines, name)
		}
	}
	result.Tables, result.Targets = sorted(result.Tables), sorted(result.Targets)
	result.Routines, result.Functions = sorted(result.Routines), sorted(result.Functions)
	return result
}

// name notes a full name of the text.
func (s *Statement) name(full string) {
	if !slices.Contains(s.Named, full) {
		s.Named = append(s.Named, full)
	}
}

func sorted(names []string) []string {
	slices.Sort(names)
	return slices.Compact(names)
}

// outline asks for the outline of the text, and for what will be asked next.
func (j *job) outline() (*wire.Script, *Error, error) {
	question := &wire.ParseQuestion{SQL: j.query.SQL, MaxDepth: j.limits.Depth, MaxNodes: j.limits.Nodes,
		MaxStatements: j.limits.Statements, MaxTables: j.limits.Tables}
	question.Ahead = j.foresee()
	a, err := j.pool.ask(j.ctx, j.query.turn(), &wire.Question{Parse: question}, &j.spent)
	if err != nil {
		refused, err := failure(err)
		return nil, refused, err
	}
	reply := a.reply
	if reply.More && question.Ahead != nil {
		j.foreseen = &ahead{ask: question.Ahead, reply: a.ahead, failed: a.failed}
	}
	var refused *Error
	switch {
	case reply.Error != nil:
		refused = located(reply.Error, j.query.SQL, 0)
	case reply.Script == nil:
		refused = errFailed()
	}
	if reply.Script != nil && !reply.Script.Within(len(j.query.SQL)) {
		return nil, errFailed(), nil
	}
	if reply.Script != nil && len(reply.Script.Statements) != 1 {
		j.foreseen = nil
	}
	return reply.Script, refused, nil
}
