package googlesql

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/googlesql/wire"
)

// job is the analysis of one text.
type job struct {
	*Analyzer
	ctx        context.Context //nolint:containedctx // one question of a caller, for as long as it is asked
	query      Query
	named      []wire.Parameter
	positional []wire.Type

	*known
	within []string // the views and functions whose text this is
	body   string   // the kind of statement that makes a routine, where this is the text of one
	home   string   // the project that the query runs in

	badParameters *Error
	foreseen      *ahead // of the text's only statement, nil if nothing is
	completed     []completed
}

// known is what the analysis of a text has read so far. It is shared with the analyses of the views
// and functions behind the text.
type known struct {
	tables   map[bigquery.TableID]*bigquery.Table // what the catalog said; nil for a table that does not exist
	routines map[bigquery.RoutineID]*bigquery.Routine
	views    map[bigquery.TableID]*boundView // what the views among the tables mean
	bodies   map[bigquery.RoutineID]*routine // what the routines mean
	spent    effort                          // what workers took so far
	behind   []string                        // names outside of the caller's reach that views and routines read
	fleeting bool                            // something could not be read, so that nothing tells when the answer would be another
}

func newKnown() *known {
	return &known{
		tables: map[bigquery.TableID]*bigquery.Table{}, routines: map[bigquery.RoutineID]*bigquery.Routine{},
		views: map[bigquery.TableID]*boundView{}, bodies: map[bigquery.RoutineID]*routine{},
	}
}

// run analyses the text from its outline on.
func (j *job) run() (*Analysis, error) {
	j.badParameters = j.parameters()
	script, refused, err := j.outline()
	if err != nil {
		return nil, err
	}
	analysis := refusal(refused)
	if script == nil {
		return analysis, nil
	}
	var named []string
	for i := range script.Statements {
		s := j.outlined(&script.Statements[i])
		analysis.Statements, named = append(analysis.Statements, s), append(named, s.Named...)
	}
	if closed := j.admit(named); closed != nil {
		analysis.Error = closed
	}
	if analysis.Error == nil {
		analysis.Error, err = j.statements(script, analysis)
		if err != nil {
			return nil, err
		}
	}
	if len(j.within) == 0 {
		analysis.Behind = j.behind
		analysis.Views = make(map[string]*Statement, len(j.views))
		analysis.shown = make(map[string]*bigquery.Table, len(j.views))
		for id, v := range j.views {
			analysis.Views[id.String()] = v.Statement
			if v.shown != nil {
				analysis.shown[id.String()] = v.shown
			}
		}
		analysis.Tables, analysis.Digests = j.resources(analysis.shown), j.digests()
		analysis.Bodies = make(map[string]*Statement, len(j.bodies))
		for id, r := range j.bodies {
			analysis.Bodies[id.String()] = r.body
		}
	}
	return analysis, nil
}

// resources are the tables the job has read, the views among them as the analysis shows them.
func (j *job) resources(shown map[string]*bigquery.Table) map[string]*bigquery.Table {
	found := map[string]*bigquery.Table{}
	for id, table := range j.tables {
		if table != nil {
			found[id.String()] = table
		}
	}
	maps.Copy(found, shown)
	return found
}

// statements decides each statement, and analyses those that can be. The first that is not
// understood is the script's error.
func (j *job) statements(script *wire.Script, analysis *Analysis) (*Error, error) {
	if len(script.Statements) == 0 {
		return &Error{Code: ErrorSyntax, Message: "there is no statement in the SQL"}, nil
	}
	parameters := 0
	for i := range script.Statements {
		s := &script.Statements[i]
		parameters += s.Parameters
		if refused := j.understood(s); refused != nil {
			return refused, nil
		}
	}
	if j.badParameters != nil {
		return j.badParameters, nil
	}
	if len(script.Statements) > 1 && parameters > 0 && len(j.positional) > 0 {
		return &Error{Code: ErrorUnsupported, Message: "positional parameters are not analysed in a script; name them"}, nil
	}
	changed := ""
	for i := range script.Statements {
		s := &script.Statements[i]
		if !structural(s) {
			if changed != "" && len(analysis.Statements[i].Tables) > 0 {
				return j.at(s.Start, ErrorUnsupported, "this %s follows %s, which may change what it reads; send them one by one", s.Kind,
					changed), nil
			}
			refused, err := j.data(s, &analysis.Statements[i])
			if refused != nil || err != nil {
				return refused, err
			}
		}
		if s.Kind != "SELECT" {
			changed = s.Kind
		}
	}
	return nil, nil
}

func (j *job) at(offset int, code ErrorCode, format string, args ...any) *Error {
	e := &Error{Code: code, Message: fmt.Sprintf(format, args...)}
	e.Line, e.Column = Span{offset, offset}.LineColumn(j.query.SQL)
	return e
}

// data analyses one statement that reads tables: they are fetched as it names them, and as the
// engine then asks for more.
func (j *job) data(s *wire.Statement, result *Statement) (*Error, error) {
	wanted, references := map[string]bigquery.TableID{}, 0
	for i := range s.Paths {
		if s.Paths[i].Role == wire.RoleTable {
			references++
		}
		if p := &s.Paths[i]; p.Role == wire.RoleTable && !s.Hides(p) || p.Role == wire.RoleTarget && existing(s.Kind) {
			id, refused := j.tableID(p.Parts)
			if refused != nil && arrayOnly(p) {
				continue
			}
			if refused == nil {
				refused = j.qualified(p)
			}
			if refused != nil {
				return j.at(p.Start, refused.Code, "%s", refused.Message), nil
			}
			wanted[id.String()] = id
		}
	}
	if references > j.limits.Tables {
		return j.at(s.Start, ErrorLimit, "the statement names more than %d tables; split it", j.limits.Tables), nil
	}
	called, refused, err := j.call(s)
	if refused != nil || err != nil {
		return refused, err
	}
	ask := j.question()
	ask.SQL = j.query.SQL[s.Start:s.End]
	if j.query.Undeclared && s.Parameters > 0 {
		if ask.Undeclared = wire.ParametersNamed; s.Positional {
			ask.Undeclared = wire.ParametersPositional
		}
	}
	for _, r := range called {
		if r.function != nil {
			ask.Functions = append(ask.Functions, *r.function)
		} else {
			ask.TableFunctions = append(ask.TableFunctions, *r.table)
		}
	}
	inCalled := unnestsOf(called)
	foreseen := j.foreseen
	for round := 1; ; round++ {
		if len(wanted) > j.limits.Tables {
			return j.at(s.Start, ErrorLimit, "the statement reads more than %d tables; split it", j.limits.Tables), nil
		}
		var refused *Error
		var err error
		if ask.Tables, refused, err = j.fetch(s, wanted); refused != nil || err != nil {
			return refused, err
		}
		ask.Unnests = append(slices.Clone(inCalled), j.unnestsIn(wanted)...)
		// The result names the tables before anything can go wrong with them, so that the policy
		// refuses a caller who may not read one: the error must not tell such a caller that it
		// exists.
		result.Tables = slices.Sorted(maps.Keys(wanted))
		reply, err := j.analyzed(&ask, foreseen)
		if err != nil {
			return failure(err)
		}
		foreseen = nil
		switch {
		case reply.Error != nil:
			if p := guessed(reply.Error, ask.Named); p != nil && j.query.Undeclared {
				ask.Named = append(slices.Clone(ask.Named), *p)
				round--
				continue
			}
			if refused := j.unknownFunction(s, reply.Error); refused != nil {
				return refused, nil
			}
			return ownAlias(s, located(reply.Error, j.query.SQL, s.Start)), nil
		case reply.Analysis == nil:
			return errFailed(), nil
		case reply.Analysis.Missing != "":
			id, refused := j.tableID(strings.Split(reply.Analysis.Missing, "."))
			if refused != nil {
				result.Tables = sorted(append(result.Tables, reply.Analysis.Missing))
				return j.at(writtenAs(s, reply.Analysis.Missing), refused.Code, "%s", refused.Message), nil
			}
			if _, asked := wanted[id.String()]; asked || round > 2 {
				return j.at(j.pathStart(s, id), ErrorNotFound, "table %s was not found", id), nil
			}
			// A name that could have been hidden is a table after all. The engine stops at the
			// first one: take them all.
			wanted[id.String()] = id
			for i := range s.Paths {
				if p := &s.Paths[i]; p.Role == wire.RoleTable {
					if id, refused := j.tableID(p.Parts); refused == nil {
						wanted[id.String()] = id
						result.name(id.String())
					}
				}
			}
			result.name(id.String())
			if closed := j.admit(result.Named); closed != nil {
				return closed, nil
			}
		default:
			if refused := j.accept(s, reply.Analysis, result); refused != nil {
				return refused, nil
			}
			if refused := j.callees(s, reply.Analysis.Routines, called, result); refused != nil {
				return refused, nil
			}
			if refused := j.lookBehind(result, called); refused != nil {
				return refused, nil
			}
			return j.showsSQL(result, s.Start), nil
		}
	}
}

// arrayOnly reports whether a name has too many parts for a table's, and may be that of an array in
// a column of an outer query. If it is not, the engine asks for it.
func arrayOnly(p *wire.Path) bool {
	return p.Role == wire.RoleTable && len(p.Spelled()) > 3 &&
		!slices.ContainsFunc(p.Parts, func(part string) bool { return strings.EqualFold(part, informationSchemaWord) })
}
