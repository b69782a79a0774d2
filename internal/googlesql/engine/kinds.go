package engine

import (
	"strings"
	"unicode"

	gsql "github.com/goccy/go-googlesql"
)

// kindOf is BigQuery's statementType word for a statement, or a word made the same way where
// BigQuery has none. A block, a loop or a branch is a SCRIPT, as BigQuery calls the job that runs
// one.
func kindOf(n gsql.ASTStatementNode) string {
	switch x := n.(type) {
	case *gsql.ASTQueryStatement:
		return "SELECT"
	case *gsql.ASTCreateTableStatement:
		switch {
		case must(x.Query()) != nil:
			return "CREATE_TABLE_AS_SELECT"
		default:
			return "CREATE_TABLE"
		}
	case *gsql.ASTDropStatement:
		return "DROP_" + objectWord(must(x.SchemaObjectKind()))
	case *gsql.ASTUndropStatement:
		return "UNDROP_" + objectWord(must(x.SchemaObjectKind()))
	case *gsql.ASTCreateEntityStatement:
		return "CREATE_" + strings.ToUpper(must(must(x.Type()).GetAsString()))
	case *gsql.ASTAlterEntityStatement:
		return "ALTER_" + strings.ToUpper(must(must(x.Type()).GetAsString()))
	case *gsql.ASTDropEntityStatement:
		return "DROP_" + strings.ToUpper(must(must(x.EntityType()).GetAsString()))
	case *gsql.ASTGrantStatement:
		return "GRANT_ON_" + grantedOn(x)
	case *gsql.ASTRevokeStatement:
		return "REVOKE_ON_" + grantedOn(x)
	case *gsql.ASTAlterIndexStatement:
		switch must(x.IndexType()) {
		case gsql.ASTAlterIndexStatementEnums_IndexTypeIndexSearch:
			return "ALTER_SEARCH_INDEX"
		case gsql.ASTAlterIndexStatementEnums_IndexTypeIndexVector:
			return "ALTER_VECTOR_INDEX"
		default:
			return "ALTER_INDEX"
		}
	case *gsql.ASTCreateIndexStatement:
		switch {
		case must(x.IsSearch()):
			return "CREATE_SEARCH_INDEX"
		case must(x.IsVector()):
			return "CREATE_VECTOR_INDEX"
		default:
			return "CREATE_INDEX"
		}
	}
	class := strings.TrimSuffix(must(n.GetNodeKindString()), "Statement")
	if word, ok := kindWords[class]; ok {
		return word
	}
	return upperSnake(class)
}

// kindWords are the classes whose word is not their own name in upper case.
var kindWords = map[string]string{
	"Truncate":                 "TRUNCATE_TABLE",
	"AuxLoadData":              "LOAD_DATA",
	"Begin":                    "BEGIN_TRANSACTION",
	"Commit":                   "COMMIT_TRANSACTION",
	"Rollback":                 "ROLLBACK_TRANSACTION",
	"BeginEndBlock":            "SCRIPT",
	"If":                       "SCRIPT",
	"Case":                     "SCRIPT",
	"While":                    "SCRIPT",
	"Repeat":                   "SCRIPT",
	"ForIn":                    "SCRIPT",
	"VariableDeclaration":      "DECLARE",
	"SingleAssignment":         "SET",
	"ParameterAssignment":      "SET",
	"SystemVariableAssignment": "SET",
	"AssignmentFromStruct":     "SET",
	"DropAllRowAccessPolicies": "DROP_ROW_ACCESS_POLICY",
	"CreateSnapshotTable":      "CREATE_SNAPSHOT_TABLE",
}

var objectWords = map[gsql.SchemaObjectKind]string{
	gsql.SchemaObjectKindKAggregateFunction: "FUNCTION",
	gsql.SchemaObjectKindKConstant:          "CONSTANT",
	gsql.SchemaObjectKindKDatabase:          "DATABASE",
	gsql.SchemaObjectKindKExternalTable:     "EXTERNAL_TABLE",
	gsql.SchemaObjectKindKFunction:          "FUNCTION",
	gsql.SchemaObjectKindKIndex:             "INDEX",
	gsql.SchemaObjectKindKMaterializedView:  "MATERIALIZED_VIEW",
	gsql.SchemaObjectKindKModel:             "MODEL",
	gsql.SchemaObjectKindKProcedure:         "PROCEDURE",
	gsql.SchemaObjectKindKSchema:            "SCHEMA",
	gsql.SchemaObjectKindKTable:             "TABLE",
	gsql.SchemaObjectKindKTableFunction:     "TABLE_FUNCTION",
	gsql.SchemaObjectKindKView:              "VIEW",
	gsql.SchemaObjectKindKSnapshotTable:     "SNAPSHOT_TABLE",
	gsql.SchemaObjectKindKPropertyGraph:     "PROPERTY_GRAPH",
	gsql.SchemaObjectKindKApproxView:        "APPROX_VIEW",
	gsql.SchemaObjectKindKExternalSchema:    "EXTERNAL_SCHEMA",
	gsql.SchemaObjectKindKConnection:        "CONNECTION",
	gsql.SchemaObjectKindKSequence:          "SEQUENCE",
}

func objectWord(k gsql.SchemaObjectKind) string {
	if word, ok := objectWords[k]; ok {
		return word
	}
	return "OBJECT"
}

// grantedOn is the kind of thing that GRANT and REVOKE are about: BigQuery counts external tables
// as tables, and every view as a view.
func grantedOn(n gsql.ASTStatementNode) string {
	var words []string
	count := must(n.NumChildren())
	for i := int32(0); i < count; i++ {
		if word, ok := must(n.Child(i)).(*gsql.ASTIdentifier); ok {
			words = append(words, strings.ToUpper(must(word.GetAsString())))
		}
	}
	if len(words) > 1 && (words[len(words)-1] == "TABLE" || words[len(words)-1] == "VIEW") {
		words = words[len(words)-1:]
	}
	return strings.Join(words, "_")
}

// upperSnake turns "AlterMaterializedView" into "ALTER_MATERIALIZED_VIEW".
func upperSnake(class string) string {
	var b strings.Builder
	for i, r := range class {
		if unicode.IsUpper(r) && i > 0 {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToUpper(r))
	}
	return b.String()
}
