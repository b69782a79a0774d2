package main

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	googlesql "github.com/goccy/go-googlesql"
)

// routine is a SQL function or table function of a dataset.
type routine struct {
	ID        tableID `json:"id"`
	Table     bool    `json:"table"` // a table function
	Arguments []field `json:"arguments"`
	Returns   *field  `json:"returns,omitempty"` // of a function that says so
	Body      string  `json:"body"`

	result  field   // of a function, said or not
	columns []field // of a table function
	reads   []tableID
	through []tableID // views
	calls   []tableID
}

// routineGroup marks functions of datasets in a printed statement.
const routineGroup = "routine"

// called finds the calls of functions and table functions of datasets in a printed statement.
var called = regexp.MustCompile(`FunctionCall\(routine:([^(]+)\(|\btvf=([^(\n]+)\(`)

func (c *catalog) routineRows() []*routine {
	var rows []*routine
	for _, r := range c.routines {
		rows = append(rows, r)
	}
	slices.SortFunc(rows, func(a, b *routine) int { return strings.Compare(a.ID.String(), b.ID.String()) })
	return rows
}

// applyRoutine takes over what CREATE FUNCTION or CREATE TABLE FUNCTION made.
func (c *catalog) applyRoutine(a analysis) {
	if a.routine != nil {
		c.routines[a.routine.ID.String()] = a.routine
		c.version++
	}
}

// describeRoutine reads the routine off a statement that makes one.
func (an *analyzer) describeRoutine(a *analysis, stmt googlesql.ResolvedStatementNode) error {
	var signature *googlesql.FunctionSignature
	var names []string
	var errs [4]error
	r := &routine{reads: a.tables, through: a.views, calls: a.routines, Arguments: []field{}}
	switch s := stmt.(type) {
	case *googlesql.ResolvedCreateFunctionStmt:
		var result googlesql.Googlesql_TypeNode
		var explicit bool
		signature, errs[0] = s.Signature()
		names, errs[1] = s.ArgumentNameList()
		r.Body, errs[2] = s.Code()
		result, errs[3] = s.ReturnType()
		for _, err := range errs {
			if err != nil {
				return fmt.Errorf("read the function: %w", err)
			}
		}
		var err error
		if r.result, err = an.fieldOfType("", result); err != nil {
			return err
		}
		if explicit, err = s.HasExplicitReturnType(); err != nil {
			return fmt.Errorf("read the function: %w", err)
		}
		if explicit {
			r.Returns = &r.result
		}
	case *googlesql.ResolvedCreateTableFunctionStmt:
		var columns []*googlesql.ResolvedOutputColumn
		r.Table = true
		signature, errs[0] = s.Signature()
		names, errs[1] = s.ArgumentNameList()
		r.Body, errs[2] = s.Code()
		columns, errs[3] = s.OutputColumnList()
		for _, err := range errs {
			if err != nil {
				return fmt.Errorf("read the table function: %w", err)
			}
		}
		for _, c := range columns {
			name, err := c.Name()
			if err != nil {
				return fmt.Errorf("read a column's name: %w", err)
			}
			column, err := c.Column()
			if err != nil {
				return fmt.Errorf("read column %q: %w", name, err)
			}
			t, err := column.Type()
			if err != nil {
				return fmt.Errorf("read the type of column %q: %w", name, err)
			}
			f, err := an.fieldOfType(name, t)
			if err != nil {
				return err
			}
			r.columns = append(r.columns, f)
		}
	default:
		return nil
	}
	if len(a.targets) != 1 {
		return fmt.Errorf("the function has %d names", len(a.targets))
	}
	r.ID = a.targets[0]
	for i, name := range names {
		argument, err := signature.Argument(int32(i))
		if err != nil {
			return fmt.Errorf("read the argument %s: %w", name, err)
		}
		t, err := argument.Type()
		if err != nil {
			return fmt.Errorf("read the type of the argument %s: %w", name, err)
		}
		f, err := an.fieldOfType(name, t)
		if err != nil {
			return err
		}
		r.Arguments = append(r.Arguments, f)
	}
	a.routine = r
	return nil
}

// routine is the full name of a function's path.
func (f *finder) routine(path []string) string {
	return strings.Join(complete(strings.Split(strings.Join(path, "."), "."), f.project, f.dataset), ".")
}

// refreshRoutines builds GoogleSQL's functions anew.
func (an *analyzer) refreshRoutines() error {
	an.funcs, an.tvfs = map[string]*googlesql.Function{}, map[string]*googlesql.FixedOutputSchemaTVF{}
	for key, r := range an.catalog.routines {
		var arguments []*googlesql.FunctionArgumentType
		for _, a := range r.Arguments {
			argument, err := an.argumentOf(a)
			if err != nil {
				return fmt.Errorf("make function %s: %w", key, err)
			}
			arguments = append(arguments, argument)
		}
		path := strings.Split(key, ".")
		if r.Table {
			made, err := an.tableFunction(path, r, arguments)
			if err != nil {
				return fmt.Errorf("make table function %s: %w", key, err)
			}
			an.tvfs[key] = made
			continue
		}
		result, err := an.argumentOf(r.result)
		if err != nil {
			return fmt.Errorf("make function %s: %w", key, err)
		}
		signature, err := googlesql.NewFunctionSignature3(result, arguments, 0)
		if err != nil {
			return fmt.Errorf("make function %s: %w", key, err)
		}
		made, err := googlesql.NewFunction2(path, routineGroup, googlesql.FunctionEnums_ModeScalar,
			[]*googlesql.FunctionSignature{signature})
		if err != nil {
			return fmt.Errorf("make function %s: %w", key, err)
		}
		an.funcs[key] = made
		an.pinned = append(an.pinned, signature, made)
	}
	return nil
}

func (an *analyzer) tableFunction(path []string, r *routine, arguments []*googlesql.FunctionArgumentType) (*googlesql.FixedOutputSchemaTVF,
	error) {
	var columns []*googlesql.TVFSchemaColumn
	for _, c := range r.columns {
		t, err := an.typeOf(c)
		if err != nil {
			return nil, err
		}
		columns = append(columns, &googlesql.TVFSchemaColumn{Name: c.Name, Type_: t})
		an.pinned = append(an.pinned, t)
	}
	relation, err := googlesql.NewTVFRelation(columns)
	if err != nil {
		return nil, err
	}
	result, err := googlesql.NewFunctionArgumentTypeRelationWithSchema(relation, false)
	if err != nil {
		return nil, err
	}
	signature, err := googlesql.NewFunctionSignature3(result, arguments, 0)
	if err != nil {
		return nil, err
	}
	made, err := googlesql.NewFixedOutputSchemaTVF(path, signature, relation, &googlesql.TableValuedFunctionOptions{})
	an.pinned = append(an.pinned, columns, relation, result, signature, made)
	return made, err
}

func (an *analyzer) argumentOf(f field) (*googlesql.FunctionArgumentType, error) {
	t, err := an.typeOf(f)
	if err != nil {
		return nil, err
	}
	made, err := googlesql.NewFunctionArgumentType3(t, 1)
	an.pinned = append(an.pinned, t, made)
	return made, err
}
