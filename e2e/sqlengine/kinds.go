package main

import (
	"fmt"
	"runtime"
	"strings"

	googlesql "github.com/goccy/go-googlesql"
)

// statementTypes maps the parser's statement nodes to BigQuery's statementType words.
var statementTypes = map[string]string{
	"ASTQueryStatement":                  "SELECT",
	"ASTInsertStatement":                 "INSERT",
	"ASTUpdateStatement":                 "UPDATE",
	"ASTDeleteStatement":                 "DELETE",
	"ASTMergeStatement":                  "MERGE",
	"ASTTruncateStatement":               "TRUNCATE_TABLE",
	"ASTCreateTableStatement":            "CREATE_TABLE",
	"ASTCreateViewStatement":             "CREATE_VIEW",
	"ASTCreateMaterializedViewStatement": "CREATE_MATERIALIZED_VIEW",
	"ASTCreateSchemaStatement":           "CREATE_SCHEMA",
	"ASTCreateFunctionStatement":         "CREATE_FUNCTION",
	"ASTCreateTableFunctionStatement":    "CREATE_TABLE_FUNCTION",
	"ASTCreateProcedureStatement":        "CREATE_PROCEDURE",
	"ASTAlterTableStatement":             "ALTER_TABLE",
	"ASTAlterViewStatement":              "ALTER_VIEW",
	"ASTAlterSchemaStatement":            "ALTER_SCHEMA",
	"ASTDropFunctionStatement":           "DROP_FUNCTION",
	"ASTExportDataStatement":             "EXPORT_DATA",
	"ASTCallStatement":                   "CALL",
	"ASTAssertStatement":                 "ASSERT",
	"ASTGrantStatement":                  "GRANT",
	"ASTRevokeStatement":                 "REVOKE",
}

// procedural are the single statements that make a script.
var procedural = map[string]bool{
	"ASTIfStatement": true, "ASTWhileStatement": true, "ASTRepeatStatement": true, "ASTForInStatement": true, "ASTCaseStatement": true,
	"ASTBeginEndBlock": true, "ASTVariableDeclaration": true, "ASTSingleAssignment": true, "ASTSystemVariableAssignment": true,
	"ASTExecuteImmediateStatement": true, "ASTRaiseStatement": true, "ASTReturnStatement": true, "ASTBeginStatement": true,
}

// unsupported begins the kind of a statement that GoogleSQL knows and BigQuery does not (ALTER
// DATABASE).
const unsupported = "UNSUPPORTED "

// parseKind tells the statementType by parsing alone; more than one statement, or a procedural one,
// is a SCRIPT.
func (an *analyzer) parseKind(sql string) (string, bool) {
	script, done, err := an.parse(sql)
	if err != nil {
		return "", false
	}
	defer done()
	list, err := script.StatementListNode()
	if err != nil {
		return "", false
	}
	n, err := list.NumChildren()
	if err != nil || n == 0 {
		return "", false
	}
	if n > 1 {
		return "SCRIPT", true
	}
	stmt, err := list.StatementList(0)
	if err != nil {
		return "", false
	}
	name := strings.TrimPrefix(fmt.Sprintf("%T", stmt), "*googlesql.")
	switch s := stmt.(type) {
	case *googlesql.ASTDropStatement:
		kind, err := s.SchemaObjectKind()
		if err != nil {
			return "", false
		}
		switch kind {
		case googlesql.SchemaObjectKindKTable:
			return "DROP_TABLE", true
		case googlesql.SchemaObjectKindKView:
			return "DROP_VIEW", true
		case googlesql.SchemaObjectKindKSchema:
			return "DROP_SCHEMA", true
		}
		return "DROP", true
	case *googlesql.ASTCreateTableStatement:
		q, err := s.Query()
		if err == nil && q != nil {
			return "CREATE_TABLE_AS_SELECT", true
		}
	}
	if word, ok := statementTypes[name]; ok {
		return word, true
	}
	if procedural[name] {
		return "SCRIPT", true
	}
	return unsupported + strings.TrimPrefix(name, "AST"), true
}

// parse parses a text; the result is good until done is called.
func (an *analyzer) parse(sql string) (script *googlesql.ASTScript, done func(), err error) {
	options, err := an.options.GetParserOptions()
	if err != nil {
		return nil, nil, err
	}
	if err := options.CreateDefaultArenasIfNotSet(); err != nil {
		return nil, nil, err
	}
	out, err := googlesql.ParseScript(sql, options, &googlesql.ErrorMessageOptions{
		Mode:      googlesql.ErrorMessageModeErrorMessageOneLine,
		Stability: googlesql.ErrorMessageStabilityProduction,
	})
	if err != nil {
		return nil, nil, err
	}
	script, err = out.Script()
	return script, func() { runtime.KeepAlive(options); runtime.KeepAlive(out) }, err
}
