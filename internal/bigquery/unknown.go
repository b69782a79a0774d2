package bigquery

import (
	"errors"
	"fmt"
	"slices"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// What the gateway decides by must be understood whole: a member of a view or a routine that is not
// known here could change what its text means, as useExplicitColumnNames changed the names of a
// view's columns (I6). What only describes a table, and grows with every release of the API, is not
// looked at.

// shape says which members of an object are known; below those that map to nil, nothing is looked
// at.
type shape map[string]shape

// Members that are understood, or say nothing about what a query reads. What is documented and
// missing here (userDefinedFunctionResources, privacyPolicy and foreignDefinitions of a view;
// options of routines in other languages) is not supported, and counts as unknown.
// https://cloud.google.com/bigquery/docs/reference/rest/v2/tables#ViewDefinition
// https://cloud.google.com/bigquery/docs/reference/rest/v2/routines#Routine
var (
	reference = shape{"projectId": nil, "datasetId": nil, "tableId": nil}

	tableShapes = shape{
		"view": {"query": nil, "useLegacySql": nil, "useExplicitColumnNames": nil},
		"materializedView": {
			"query": nil, "enableRefresh": nil, "refreshIntervalMs": nil, "lastRefreshTime": nil,
			"allowNonIncrementalDefinition": nil, "maxStaleness": nil,
		},
		"snapshotDefinition": {"baseTableReference": reference, "snapshotTime": nil},
		"cloneDefinition":    {"baseTableReference": reference, "cloneTime": nil},
	}

	dataType     = shape{"typeKind": nil}
	routineShape = shape{
		"kind": nil, "etag": nil, "selfLink": nil, "description": nil, "creationTime": nil, "lastModifiedTime": nil,
		"routineReference": nil, "routineType": nil, "language": nil, "definitionBody": nil, "remoteFunctionOptions": nil,
		"arguments": {
			"name": nil, "argumentKind": nil, "mode": nil, "isAggregate": nil, "dataType": dataType,
		},
		"returnType":       dataType,
		"returnTableType":  {"columns": {"name": nil, "type": dataType}},
		"determinismLevel": nil, "strictMode": nil, "securityMode": nil, "dataGovernanceType": nil, "buildStatus": nil,
	}
)

func init() {
	dataType["arrayElementType"], dataType["rangeElementType"] = dataType, dataType
	dataType["structType"] = shape{"fields": {"name": nil, "type": dataType}}
}

// ErrNotUnderstood says that BigQuery gave a whole answer, of a form that is not known. Asked
// again, it would give the same: what rests on it is refused, not tried again.
var ErrNotUnderstood = errors.New("BigQuery's answer has a form that is not understood")

// readWhole tells an answer that is not understood from one that came broken.
func readWhole(text []byte, into any) error {
	err := json.Unmarshal(text, into)
	if err != nil && whole(text) {
		return fmt.Errorf("%w: %w", ErrNotUnderstood, err)
	}
	return err
}

// whole says whether a text is JSON to its end.
func whole(text []byte) bool {
	return jsontext.Value(text).IsValid(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
}

// ReadTable reads a Table resource. Members of its definition that are not known are named in
// Unknown.
func ReadTable(text []byte) (*Table, error) {
	t := &Table{}
	var definitions map[string]jsontext.Value
	if err := readWhole(text, t); err != nil {
		return nil, fmt.Errorf("read table: %w", err)
	}
	if err := readWhole(text, &definitions); err != nil {
		return nil, fmt.Errorf("read table: %w", err)
	}
	for name, known := range tableShapes {
		unknown, err := known.unknown(definitions[name], name)
		if err != nil {
			return nil, fmt.Errorf("read table: %w", err)
		}
		t.Unknown = append(t.Unknown, unknown...)
	}
	slices.Sort(t.Unknown)
	return t, nil
}

// ReadRoutine reads a Routine resource. Members that are not known are named in Unknown.
func ReadRoutine(text []byte) (*Routine, error) {
	r := &Routine{}
	if err := readWhole(text, r); err != nil {
		return nil, fmt.Errorf("read routine: %w", err)
	}
	var err error
	if r.Unknown, err = routineShape.unknown(text, ""); err != nil {
		return nil, fmt.Errorf("read routine: %w", err)
	}
	slices.Sort(r.Unknown)
	return r, nil
}

// unknown names, each once and by its path, the members of a value that are not in the shape. A
// null and an empty list say nothing.
func (s shape) unknown(value jsontext.Value, at string) ([]string, error) {
	var found []string
	look := func(value jsontext.Value, at string) error {
		more, err := s.unknown(value, at)
		for _, name := range more {
			if !slices.Contains(found, name) {
				found = append(found, name)
			}
		}
		return err
	}
	switch value.Kind() {
	case '[':
		var all []jsontext.Value
		if err := json.Unmarshal(value, &all); err != nil {
			return nil, err
		}
		for _, element := range all {
			if err := look(element, at); err != nil {
				return nil, err
			}
		}
	case '{':
		var members map[string]jsontext.Value
		if err := json.Unmarshal(value, &members); err != nil {
			return nil, err
		}
		for name, inner := range members {
			path := name
			if at != "" {
				path = at + "." + name
			}
			below, known := s[name]
			switch {
			case !known && !saysNothing(inner):
				found = append(found, path)
			case known && below != nil:
				more, err := below.unknown(inner, path)
				if err != nil {
					return nil, err
				}
				found = append(found, more...)
			}
		}
	}
	return found, nil
}

func saysNothing(value jsontext.Value) bool {
	var all []jsontext.Value
	return value.Kind() == 'n' || value.Kind() == '[' && json.Unmarshal(value, &all) == nil && len(all) == 0
}
