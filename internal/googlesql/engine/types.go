package engine

import (
	gsql "github.com/goccy/go-googlesql"

	"github.com/bqgate/bqgate/internal/googlesql/wire"
)

// scalarTypes are the scalar types of BigQuery that the engine knows by the same name.
var scalarTypes = []string{
	"STRING", "BYTES", "INT64", "FLOAT64", "NUMERIC", "BIGNUMERIC", "BOOL", "TIMESTAMP", "DATE", "TIME", "DATETIME", "GEOGRAPHY", "JSON",
	"INTERVAL", "RANGE<DATE>", "RANGE<DATETIME>", "RANGE<TIMESTAMP>",
}

// aliasesOfINT64 are names that the engine does not have: "INT, SMALLINT, INTEGER, BIGINT, TINYINT,
// and BYTEINT are aliases for INT64" (BigQuery, Data types). It has those of the other types.
var aliasesOfINT64 = []string{"INT", "SMALLINT", "INTEGER", "BIGINT", "TINYINT", "BYTEINT"}

// typeOf builds the engine's type. What names the column or parameter, for the refusal of a type
// that is not known.
func (e *engine) typeOf(t wire.Type, what string) gsql.Googlesql_TypeNode {
	var made gsql.Googlesql_TypeNode
	switch {
	case t.Element != nil:
		made = must(e.factory.MakeArrayType2(e.typeOf(*t.Element, what)))
	case len(t.Fields) > 0:
		fields := make([]*gsql.StructField, len(t.Fields))
		for i := range t.Fields {
			fields[i] = &gsql.StructField{Name: t.Fields[i].Name, Type_: e.typeOf(t.Fields[i].Type, what+"."+t.Fields[i].Name)}
		}
		made = must(e.factory.MakeStructTypeFromVector2(fields))
	default:
		known, ok := e.scalars[t.Name]
		if !ok {
			refuse(-1, "%s has the type %s, which bqgate does not know", what, t.Name)
		}
		return known
	}
	e.pinned = append(e.pinned, made)
	return made
}

// typeName is a type in GoogleSQL's spelling, as BigQuery prints it.
func typeName(t gsql.Googlesql_TypeNode) string {
	named, ok := t.(interface {
		TypeName(gsql.ProductMode) (string, error)
	})
	if !ok {
		refuse(-1, "a type in this statement is not known to bqgate")
	}
	name := must(named.TypeName(gsql.ProductModeProductExternal))
	if len(name) > maxTypeName {
		panic(abort{&wire.Error{Code: codeLimit, Message: "a result column has too many fields", Offset: -1}})
	}
	return name
}

// maxTypeName bounds the spelling of one column's type, in bytes.
const maxTypeName = 256 << 10
