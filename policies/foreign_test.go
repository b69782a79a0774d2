package policies

import (
	"strings"
	"testing"

	"github.com/bqgate/bqgate/internal/googlesql"
)

// What other databases or programs understand is called what it is, with what to send in its place:
// BigQuery's own 400 where BigQuery has no such statement, a refusal where it has.
func TestStatementsOfOthers(t *testing.T) {
	set := mustLoad(t, readAll)
	syntax := func(line, column int) *googlesql.Error {
		return &googlesql.Error{Code: googlesql.ErrorSyntax, Message: "Syntax error: Unexpected x", Line: line, Column: column}
	}
	for sql, c := range map[string]struct {
		kinds   string
		err     *googlesql.Error
		invalid bool
		says    string
		remedy  string
	}{
		"EXPLAIN SELECT 1": {"EXPLAIN SELECT", nil, true, "EXPLAIN is not a statement of BigQuery's",
			"a dry run of the query itself"},
		"explain drop table t":                 {"EXPLAIN DROP_TABLE", nil, true, "EXPLAIN is not a statement", "a dry run"},
		"EXPLAIN SELECT 1; DROP TABLE t":       {"EXPLAIN SELECT DROP_TABLE", nil, false, "a script that contains DROP_TABLE", "SELECT on"},
		"DROP TABLE t; EXPLAIN SELECT 1":       {"DROP_TABLE EXPLAIN SELECT", nil, false, "a script that contains DROP_TABLE", "SELECT on"},
		"SELECT 1; EXPLAIN":                    {"SELECT EXPLAIN", nil, false, "a script that contains EXPLAIN", "SELECT on"},
		"EXPLAIN ANALYZE SELECT 1":             {"", syntax(1, 17), true, "is not valid", "a dry run"},
		"EXPLAIN FORMAT=JSON SELECT 1":         {"", syntax(1, 9), true, "is not valid", "a dry run"},
		"DESCRIBE t":                           {"DESCRIBE", nil, true, "DESCRIBE is not a statement", "tables.get"},
		"DESC t":                               {"DESCRIBE", nil, true, "DESCRIBE is not a statement", "tables.get"},
		"SHOW TABLES":                          {"SHOW", nil, true, "SHOW is not a statement", "datasets.list"},
		"SHOW CREATE TABLE t":                  {"", syntax(1, 6), true, "is not valid", "tables.get"},
		"SHOW TABLES; DELETE FROM t WHERE 1=1": {"SHOW DELETE", nil, false, "a script that contains DELETE", "SELECT on"},
		"-- note\n/* more */ # even\nUSE crm":  {"", syntax(3, 1), true, "is not valid", "defaultDataset"},
		"ANALYZE t":                            {"ANALYZE", nil, true, "ANALYZE is not a statement", "statistics by itself"},
		"RENAME TABLE a TO b":                  {"RENAME", nil, true, "RENAME is not a statement", ""},
		`\d orders`:                            {"", syntax(1, 1), true, "is not valid", "a command of a program"},
		`SELECT 1 \g`:                          {"", syntax(1, 10), true, "is not valid", "a command of a program"},
		".tables":                              {"", syntax(1, 1), true, "is not valid", "a command of a program"},
		"SELECT 1\nGO":                         {"", syntax(2, 1), true, "is not valid", "a command of a program"},
		"```sql\nSELECT 1\n```":                {"", syntax(1, 1), true, "is not valid", "without the Markdown"},
		"SELECT 1;;":                           {"", syntax(1, 10), true, "is not valid", "without the empty statement"},
		";":                                    {"", syntax(1, 1), true, "is not valid", "without the empty statement"},
		"SELECT 1; /* ö */ ;":                  {"", syntax(1, 19), true, "is not valid", "without the empty statement"},
		"SELECT explain FROM":                  {"", syntax(1, 20), true, "is not valid", ""},
		"/* never ends":                        {"", syntax(1, 1), true, "is not valid", ""},
		"SELECT 1":                             {"", syntax(7, 900), true, "is not valid", ""},
		"BEGIN SELECT 1; END": {"SCRIPT SELECT", nil, false, "a script is not allowed: only a single SELECT is",
			"SELECT on"},
		"SET x = 1":                       {"SET", nil, false, "SET is not allowed: only a single SELECT is", "SELECT on"},
		"COMMIT":                          {"COMMIT_TRANSACTION", nil, false, "COMMIT_TRANSACTION is not allowed", "SELECT on"},
		"ALTER DATABASE x SET OPTIONS ()": {"ALTER_DATABASE", nil, false, "ALTER_DATABASE is not allowed", "SELECT on"},
	} {
		t.Run(sql, func(t *testing.T) {
			analysis := &googlesql.Analysis{Error: c.err}
			for _, kind := range strings.Fields(c.kinds) {
				analysis.Statements = append(analysis.Statements, googlesql.Statement{Kind: kind})
			}
			r := ask(subject("x", "g"), analysis)
			r.SQL = sql
			d := set.decide(r)
			if d.Effect != Refuse || d.Invalid != c.invalid || !strings.Contains(d.Message, c.says) {
				t.Errorf("%s, invalid %t: %s", d.Effect, d.Invalid, d.Message)
			}
			if !strings.Contains(d.Remedy, c.remedy) || c.remedy == "" && d.Remedy != "" {
				t.Errorf("would pass %q, want %q", d.Remedy, c.remedy)
			}
		})
	}
}
