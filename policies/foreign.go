package policies

import (
	"strings"
	"unicode"

	"github.com/bqgate/bqgate/internal/googlesql"
)

// Statements of other databases and programs that BigQuery lacks, by their first word, and what to
// send in their place. BigQuery answers all of them with 400 invalidQuery. Its own statements:
// https://cloud.google.com/bigquery/docs/introduction-sql, and `statementType` in
// https://cloud.google.com/bigquery/docs/reference/rest/v2/Job#JobStatistics2
var foreignWords = map[string]string{
	"EXPLAIN":   "a dry run of the query itself (dryRun: true), which says what it would read and which columns it gives",
	"DESCRIBE":  metadataRemedy,
	"DESC":      metadataRemedy,
	"SHOW":      metadataRemedy,
	"LIST":      metadataRemedy,
	"SUMMARIZE": metadataRemedy,
	"PRAGMA":    metadataRemedy,
	"USE":       "names with their dataset (dataset.table), or defaultDataset in the request",
	"ANALYZE":   "the query alone: BigQuery keeps its statistics by itself",
	"VACUUM":    "the query alone: BigQuery cleans up by itself",
	"VALUES":    "SELECT * FROM UNNEST([…])",
	"GO":        programRemedy,
	"HELP":      programRemedy,
	"QUIT":      programRemedy,
	"EXIT":      programRemedy,
	"BQ":        programRemedy,
	`\`:         programRemedy,
	".":         programRemedy,
	"``":        "the SQL alone, without the Markdown around it",
	";":         "the same without the empty statement",
}

const (
	metadataRemedy = "tables.get, tables.list or datasets.list of the API, or a SELECT from INFORMATION_SCHEMA where the policy names it"
	programRemedy  = "the SQL alone: this is a command of a program that sends SQL"
)

// foreignKinds are the statements that Google's grammar knows and BigQuery has not. EXPLAIN has the
// statement that it is about behind it.
var foreignKinds = map[string]bool{
	"EXPLAIN": true, "DESCRIBE": true, "SHOW": true, "ANALYZE": true, "RENAME": true, "DEFINE_TABLE": true, "CLONE_DATA": true,
	"MODULE": true, "IMPORT": true, "START_BATCH": true, "RUN_BATCH": true, "ABORT_BATCH": true, "SET_TRANSACTION": true,
}

// foreign is the kind of a text that is one statement which BigQuery has not; "" for any other
// text.
func foreign(statements []googlesql.Statement) string {
	explained := len(statements) == 2 && statements[0].Kind == "EXPLAIN"
	if (len(statements) == 1 || explained) && foreignKinds[statements[0].Kind] {
		return statements[0].Kind
	}
	return ""
}

// instead is what to send in place of SQL that is not valid: known by the word at the place of the
// complaint, or by its first one; "" where nothing is known.
func (in *Input) instead(e *googlesql.Error) string {
	if e.Line > 0 && e.Column > 0 {
		lines := strings.Split(in.SQL, "\n")
		if e.Line <= len(lines) {
			if line := []rune(lines[e.Line-1]); e.Column <= len(line) {
				if remedy := foreignWords[firstWord(string(line[e.Column-1:]))]; remedy != "" {
					return remedy
				}
			}
		}
	}
	return foreignWords[firstWord(in.SQL)]
}

// firstWord is the word that a text begins with, in upper case and behind comments, or a sign that
// none begins with.
func firstWord(sql string) string {
	for {
		sql = strings.TrimLeftFunc(sql, unicode.IsSpace)
		end := ""
		switch {
		case strings.HasPrefix(sql, "--"), strings.HasPrefix(sql, "#"):
			end = "\n"
		case strings.HasPrefix(sql, "/*"):
			end = "*/"
		}
		if end == "" {
			break
		}
		_, rest, ok := strings.Cut(sql, end)
		if !ok {
			return ""
		}
		sql = rest
	}
	n := strings.IndexFunc(sql, func(r rune) bool { return !unicode.IsLetter(r) && r != '_' })
	switch {
	case n < 0:
		n = len(sql)
	case n == 0 && strings.HasPrefix(sql, "``"):
		n = 2
	case n == 0:
		n = 1
	}
	return strings.ToUpper(sql[:n])
}
