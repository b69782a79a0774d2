package googlesql

import (
	"strings"

	"github.com/bqgate/bqgate/internal/googlesql/functions"
	"github.com/bqgate/bqgate/internal/googlesql/wire"
)

// understood refuses a statement whose outline already says that it cannot be understood.
func (j *job) understood(s *wire.Statement) *Error {
	if s.Nested {
		return j.at(s.Start, ErrorUnsupported, "%s inside another statement is not analysed; send one SELECT", s.Kind)
	}
	for i := range s.Paths {
		if p := &s.Paths[i]; !p.Plain(j.query.SQL) {
			return j.at(p.Start, ErrorUnsupported, "this name is not supported; write `project`.`dataset`.`table` without escapes")
		}
	}
	switch {
	case structural(s):
		return nil
	case dataflow(s.Kind), s.Kind == j.body && j.body != "":
		return j.understoodNames(s)
	case s.Kind == "SCRIPT", s.Kind == "DECLARE", s.Kind == "SET", s.Kind == "CALL", s.Kind == "EXECUTE_IMMEDIATE":
		return j.at(s.Start, ErrorUnsupported, "scripts are not analysed (%s); send one SELECT", s.Kind)
	case s.Kind == "CREATE_FUNCTION":
		return j.at(s.Start, ErrorUnsupported,
			"%s is recognised, but what it does with data is not analysed; write the function's expression in place of its calls", s.Kind)
	default:
		return j.at(s.Start, ErrorUnsupported, "%s is recognised, but what it does with data is not analysed", s.Kind)
	}
}

// dataflow reports whether the engine analyses how a statement of this kind moves data.
func dataflow(kind string) bool {
	switch kind {
	case "SELECT", "INSERT", "UPDATE", "DELETE", "MERGE", "CREATE_TABLE_AS_SELECT", "CREATE_VIEW", "CREATE_MATERIALIZED_VIEW",
		"EXPORT_DATA", "ASSERT":
		return true
	default:
		return false
	}
}

// understoodNames refuses what a statement names besides tables.
func (j *job) understoodNames(s *wire.Statement) *Error {
	for i := range s.Paths {
		p := &s.Paths[i]
		name := strings.Join(p.Parts, ".")
		switch p.Role {
		case wire.RoleTable, wire.RoleTarget:
		case wire.RoleBuiltin:
			if f, known := functions.Lookup(strings.TrimPrefix(strings.ToUpper(name), "SAFE.")); known && f.Refused != "" {
				return j.at(p.Start, ErrorUnsupported, "%s", functions.Refusal(f.Name))
			}
		case wire.RoleTVF:
			switch {
			case strings.EqualFold(name, "EXTERNAL_QUERY"):
				return j.at(p.Start, ErrorUnsupported, "EXTERNAL_QUERY is not supported: what it reads is outside BigQuery")
			case builtinNamespace(p.Parts):
				return j.at(p.Start, ErrorUnsupported,
					"the table function %s is not supported; read the tables themselves (your own functions are called as "+
						"dataset.function)", name)
			}
		case wire.RoleFunction:
		case wire.RoleModel:
			return j.at(p.Start, ErrorUnsupported, "models are not supported (%s)", name)
		default:
			return j.at(p.Start, ErrorUnsupported, "%s is not supported in a %s", name, s.Kind)
		}
	}
	return nil
}

// builtinNamespace reports whether a table function's name is one of BigQuery's own: a single word,
// or in one of its name spaces.
func builtinNamespace(parts []string) bool {
	if len(parts) != 2 {
		return len(parts) == 1
	}
	switch strings.ToUpper(parts[0]) {
	case "SAFE", "NET", "KEYS", "AEAD", "HLL_COUNT", "KLL_QUANTILES", "ML", "AI", "OBJ", "BQ", "APPROX":
		return true
	}
	return false
}

// structural reports whether a statement only changes what exists: its kind and target say all of
// it, no data flows.
func structural(s *wire.Statement) bool {
	for i := range s.Paths {
		if role := s.Paths[i].Role; role != wire.RoleTarget && role != wire.RoleBuiltin && role != wire.RoleConnection {
			return false
		}
	}
	switch s.Kind {
	case "CREATE_SCHEMA", "CREATE_EXTERNAL_SCHEMA", "CREATE_TABLE", "CREATE_EXTERNAL_TABLE", "CREATE_ROW_ACCESS_POLICY",
		"CREATE_SEARCH_INDEX", "CREATE_VECTOR_INDEX",
		"CREATE_CONNECTION", "CREATE_DATA_POLICY", "CREATE_CAPACITY", "CREATE_RESERVATION", "CREATE_ASSIGNMENT", "LOAD_DATA",
		"TRUNCATE_TABLE", "RENAME",
		"BEGIN_TRANSACTION", "COMMIT_TRANSACTION", "ROLLBACK_TRANSACTION":
		return true
	}
	for _, verb := range []string{"DROP_", "UNDROP_", "ALTER_", "GRANT_ON_", "REVOKE_ON_"} {
		if strings.HasPrefix(s.Kind, verb) {
			return true
		}
	}
	return false
}

// existing reports whether the target of a kind is a table that is there before the statement runs.
func existing(kind string) bool {
	switch kind {
	case "INSERT", "UPDATE", "DELETE", "MERGE", "TRUNCATE_TABLE", "DROP_TABLE", "DROP_EXTERNAL_TABLE", "DROP_VIEW",
		"DROP_MATERIALIZED_VIEW",
		"DROP_SNAPSHOT_TABLE", "ALTER_TABLE", "ALTER_VIEW", "ALTER_MATERIALIZED_VIEW", "GRANT_ON_TABLE", "GRANT_ON_VIEW", "REVOKE_ON_TABLE",
		"REVOKE_ON_VIEW",
		"CREATE_ROW_ACCESS_POLICY", "DROP_ROW_ACCESS_POLICY", "CREATE_SEARCH_INDEX", "ALTER_SEARCH_INDEX", "DROP_SEARCH_INDEX",
		"CREATE_VECTOR_INDEX", "ALTER_VECTOR_INDEX",
		"DROP_VECTOR_INDEX", "EXPORT_METADATA":
		return true
	default:
		return false
	}
}
