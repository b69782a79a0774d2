package fakegoogle

import (
	"encoding/json"
	"fmt"

	"github.com/bqgate/bqgate/internal/bigquery"
)

// sqlRoutine is a function or table function as the SQL engine tells of it.
type sqlRoutine struct {
	ID        sqlTable         `json:"id"`
	Table     bool             `json:"table"`
	Arguments []bigquery.Field `json:"arguments"`
	Returns   *bigquery.Field  `json:"returns"`
	Body      string           `json:"body"`
}

// standardKinds are the words of StandardSqlDataType where they differ from those of schemas.
var standardKinds = map[string]string{"INTEGER": "INT64", "FLOAT": "FLOAT64", "BOOLEAN": "BOOL"}

func standardType(f bigquery.Field) (*bigquery.StandardSQLDataType, error) {
	if f.Mode == "REPEATED" {
		f.Mode = ""
		element, err := standardType(f)
		return &bigquery.StandardSQLDataType{TypeKind: "ARRAY", ArrayElementType: element}, err
	}
	switch f.Type {
	case "RECORD":
		made := &bigquery.StandardSQLStructType{}
		for _, sub := range f.Fields {
			t, err := standardType(sub)
			if err != nil {
				return nil, err
			}
			made.Fields = append(made.Fields, bigquery.StandardSQLField{Name: sub.Name, Type: t})
		}
		return &bigquery.StandardSQLDataType{TypeKind: "STRUCT", StructType: made}, nil
	case "RANGE":
		return nil, fmt.Errorf("the argument %s is a RANGE, which is not told of here", f.Name)
	}
	kind := f.Type
	if word, ok := standardKinds[kind]; ok {
		kind = word
	}
	return &bigquery.StandardSQLDataType{TypeKind: kind}, nil
}

func (r sqlRoutine) resource() (bigquery.Routine, error) {
	made := bigquery.Routine{
		RoutineReference: bigquery.RoutineID{Project: r.ID.Project, Dataset: r.ID.Dataset, Routine: r.ID.Table},
		RoutineType:      "SCALAR_FUNCTION", Language: "SQL", DefinitionBody: r.Body,
	}
	if r.Table {
		made.RoutineType = "TABLE_VALUED_FUNCTION"
	}
	for _, a := range r.Arguments {
		t, err := standardType(a)
		if err != nil {
			return made, err
		}
		made.Arguments = append(made.Arguments, bigquery.RoutineArgument{Name: a.Name, DataType: t})
	}
	if r.Returns != nil {
		t, err := standardType(*r.Returns)
		if err != nil {
			return made, err
		}
		made.ReturnType = t
	}
	return made, nil
}

// getRoutine is routines.get, for a caller who may read metadata.
func (s *Server) getRoutine(project, dataset, name string) handler {
	return func(c *call) (object, *apiError) {
		id := bigquery.RoutineID{Project: project, Dataset: dataset, Routine: name}
		text := "Routine " + project + ":" + dataset + "." + name
		cat, apiErr := s.catalog(c, text)
		if apiErr != nil {
			return nil, apiErr
		}
		for _, r := range cat.Routines {
			if r.RoutineReference != id {
				continue
			}
			body, err := json.Marshal(r)
			if err != nil {
				return nil, errNotFound(err.Error())
			}
			var members map[string]any
			if err := json.Unmarshal(body, &members); err != nil {
				return nil, errNotFound(err.Error())
			}
			out := object{{"etag", etag(string(body))}, {"creationTime", "1700000000000"}, {"lastModifiedTime", "1700000000000"}}
			for _, key := range []string{"routineReference", "routineType", "language", "arguments", "returnType", "definitionBody"} {
				if v, ok := members[key]; ok {
					out = append(out, member{key, fromJSON(v)})
				}
			}
			return out, nil
		}
		return nil, errNotFound("Not found: " + text)
	}
}

func routineReferences(ids []bigquery.RoutineID) []any {
	out := make([]any, len(ids))
	for i, r := range ids {
		out[i] = object{{"projectId", r.Project}, {"datasetId", r.Dataset}, {"routineId", r.Routine}}
	}
	return out
}
