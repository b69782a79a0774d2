package policies

import (
	"strings"

	"github.com/bqgate/bqgate/internal/googlesql"
)

// scriptKind is a block, a branch or a loop.
const scriptKind = "SCRIPT"

// selectKind is the only kind of statement that may pass.
const selectKind = "SELECT"

// harm orders kinds by what they would do, worst first, so that a script is named by the worst that
// hides in it. A kind that is not listed stands last.
var harm = []string{
	"DROP_", "TRUNCATE_", "DELETE", "GRANT", "REVOKE", "ALTER_", "MERGE", "UPDATE", "INSERT", "EXPORT_", "LOAD_", "CREATE_", "UNDROP_",
	"EXECUTE_IMMEDIATE", "CALL",
}

// worstStatement is the statement that is not a SELECT and does most harm; nil if all are SELECT. A
// kind that is empty is not a SELECT.
func worstStatement(statements []googlesql.Statement) *googlesql.Statement {
	var worst *googlesql.Statement
	least := len(harm) + 2
	for i := range statements {
		if statements[i].Kind == selectKind {
			continue
		}
		if h := harmOf(statements[i].Kind); h < least {
			worst, least = &statements[i], h
		}
	}
	return worst
}

func harmOf(kind string) int {
	for i, prefix := range harm {
		if strings.HasPrefix(kind, prefix) {
			return i
		}
	}
	if kind == scriptKind { // says only that there are statements inside
		return len(harm) + 1
	}
	return len(harm)
}
