package policies

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/bqgate/bqgate/internal/googlesql"
)

// understood comes after cover: what an analysis complains about may tell of tables that the
// subject must not know.
func (e *evaluation) understood() error {
	a := e.input.Analysis
	if a.Error != nil {
		if e.tellsOfClosedTables() {
			return errClosed
		}
		at := ""
		if a.Error.Line > 0 {
			at = fmt.Sprintf(" (line %d, column %d)", a.Error.Line, a.Error.Column)
			if strings.Contains(a.Error.Message, fmt.Sprintf("line %d", a.Error.Line)) {
				at = ""
			}
		}
		message := strings.TrimSuffix(a.Error.Message, ".")
		switch a.Error.Code {
		case googlesql.ErrorSyntax:
			return invalid(e.input.instead(a.Error), "the SQL is not valid: %s%s", message, at)
		case googlesql.ErrorUnavailable, googlesql.ErrorCrowded, googlesql.ErrorDeadline:
			return refuse(RuleRef{}, "", "the SQL could not be checked: %s%s", message, at)
		case googlesql.ErrorNotFound:
			const words = "the SQL names something that does not exist: %s%s"
			if aboutNoTable(a.Error) {
				return invalid("", words, message, at)
			}
			return refuse(RuleRef{}, "", words, message, at)
		default:
			return refuse(RuleRef{}, "", "the SQL was not understood: %s%s", message, at)
		}
	}
	if e.statement == nil {
		return errors.New("the SQL has no statement")
	}
	return nil
}

// invalid is what BigQuery itself would not run, whatever the policies say.
func invalid(remedy, format string, args ...any) error {
	return &objection{message: fmt.Sprintf(format, args...), remedy: remedy, invalid: true}
}

// aboutNoTable says that a complaint is about a name that is not a table's.
func aboutNoTable(e *googlesql.Error) bool {
	return slices.ContainsFunc(notTables, func(prefix string) bool { return strings.HasPrefix(e.Message, prefix) })
}

// notTables begin complaints about names that are not those of tables. A complaint of other words
// is not shown where it may be about a closed table.
var notTables = []string{
	"the function ", "the query parameter @", "a positional parameter (?) ", "Function not found: ", "Unrecognized name: ", "Name ",
	"Field name ", "Column ", "Type not found: ",
}

// tellsOfClosedTables says whether the analyser's complaint may be about a table that cover has not
// looked at: one that was read although no statement is known to name it, or one that was not found
// although every named one was.
func (e *evaluation) tellsOfClosedTables() bool {
	for _, table := range e.input.Tables {
		if table == nil || len(covering(e.rules, table.TableReference)) == 0 {
			return true
		}
	}
	for name := range e.input.Analysis.Digests {
		routine, ok := strings.CutSuffix(name, "()")
		if id, parsed := parseTable(routine); ok && (!parsed || len(covering(e.rules, id)) == 0) {
			return true
		}
	}
	wrong := e.input.Analysis.Error
	if wrong.Code != googlesql.ErrorNotFound || aboutNoTable(wrong) {
		return false
	}
	for _, st := range e.input.Analysis.Statements {
		if slices.ContainsFunc(st.Tables, func(name string) bool { return e.input.Tables[name] == nil }) {
			return false
		}
	}
	return true
}
