package fakegoogle

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"
)

// discoveryRevision is that of the checked-in document:
// https://bigquery.googleapis.com/discovery/v1/apis/bigquery/v2/rest.
const discoveryRevision = "20261009"

// discovery is the discovery document, as far as it says what answers look like.
type discovery struct {
	Revision  string                `json:"revision"`
	Schemas   map[string]typeSchema `json:"schemas"`
	Resources map[string]struct {
		Methods map[string]struct {
			HTTPMethod string                     `json:"httpMethod"`
			FlatPath   string                     `json:"flatPath"`
			Parameters map[string]json.RawMessage `json:"parameters"`
			Response   struct {
				Ref string `json:"$ref"`
			} `json:"response"`
		} `json:"methods"`
	} `json:"resources"`
}

// typeSchema is a type of the discovery document (JSON Schema draft 3, as Google uses it).
type typeSchema struct {
	Ref                  string                `json:"$ref"`
	Type                 string                `json:"type"`
	Format               string                `json:"format"`
	Enum                 []string              `json:"enum"`
	Default              string                `json:"default"`
	Properties           map[string]typeSchema `json:"properties"`
	AdditionalProperties *typeSchema           `json:"additionalProperties"`
	Items                *typeSchema           `json:"items"`
}

func readDiscovery(t testing.TB) discovery {
	t.Helper()
	text, err := os.ReadFile("../../internal/bigquery/discovery.json")
	if err != nil {
		t.Fatal(err)
	}
	var d discovery
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	if d.Revision != discoveryRevision {
		t.Errorf("the document has the revision %s; hold what is written here against it, then say so in discoveryRevision", d.Revision)
	}
	return d
}

// invalid lists what of a decoded value is not as a type has it: members that it does not know, and
// values of other kinds. path is where the value stands.
func (d discovery) invalid(path string, s typeSchema, v any) []string {
	if s.Ref != "" {
		named, ok := d.Schemas[s.Ref]
		if !ok {
			return []string{path + ": the document has no type " + s.Ref}
		}
		return d.invalid(path, named, v)
	}
	wrong := func(format string, args ...any) []string { return []string{path + ": " + fmt.Sprintf(format, args...)} }
	switch s.Type {
	case "object":
		members, ok := v.(map[string]any)
		if !ok {
			return wrong("a %T is no object", v)
		}
		var out []string
		for _, name := range slices.Sorted(maps.Keys(members)) {
			at := path + "." + name
			switch property, known := s.Properties[name]; {
			case known:
				if name == "kind" && property.Default != "" && members[name] != property.Default {
					out = append(out, fmt.Sprintf("%s: %v, want %s", at, members[name], property.Default))
				}
				out = append(out, d.invalid(at, property, members[name])...)
			case s.AdditionalProperties != nil:
				out = append(out, d.invalid(at, *s.AdditionalProperties, members[name])...)
			default:
				out = append(out, at+": unknown")
			}
		}
		return out
	case "array":
		list, ok := v.([]any)
		if !ok {
			return wrong("a %T is no array", v)
		}
		var out []string
		for i, e := range list {
			out = append(out, d.invalid(fmt.Sprintf("%s[%d]", path, i), *s.Items, e)...)
		}
		return out
	case "any":
		return nil
	case "boolean":
		if _, ok := v.(bool); !ok {
			return wrong("a %T is no boolean", v)
		}
		return nil
	case "integer", "number":
		n, ok := v.(float64)
		if !ok {
			return wrong("a %T is no number", v)
		}
		if low, high := -2147483648.0, 4294967295.0; s.Type == "integer" && (n != float64(int64(n)) || n < low || n > high) {
			return wrong("%v is no %s", n, s.Format)
		}
		return nil
	case "string":
		text, ok := v.(string)
		if !ok {
			return wrong("a %T is no string", v)
		}
		if s.Enum != nil && !slices.Contains(s.Enum, text) {
			return wrong("%q is none of %q", text, s.Enum)
		}
		if err := formats[s.Format](text); err != nil {
			return wrong("%q is no %s: %v", text, s.Format, err)
		}
		return nil
	}
	return wrong("the type %q is not known here", s.Type)
}

// formats check the texts of the formats that a string has in the document.
var formats = map[string]func(string) error{
	"":                func(string) error { return nil },
	"int64":           func(s string) error { _, err := strconv.ParseInt(s, 10, 64); return err },
	"uint64":          func(s string) error { _, err := strconv.ParseUint(s, 10, 64); return err },
	"byte":            func(s string) error { _, err := base64.StdEncoding.DecodeString(s); return err },
	"date-time":       func(s string) error { _, err := time.Parse(time.RFC3339Nano, s); return err },
	"google-datetime": func(s string) error { _, err := time.Parse(time.RFC3339Nano, s); return err },
	"google-duration": func(s string) error { _, err := time.ParseDuration(s); return err },
	"google-fieldmask": func(s string) error {
		_, err := parseFields(s)
		return err
	},
}

// errorType is the error of Google's APIs, which is not in the document: https://google.aip.dev/193
// with the errors[] of https://cloud.google.com/bigquery/docs/error-messages.
var errorType = func() typeSchema {
	text, number := typeSchema{Type: "string"}, typeSchema{Type: "integer", Format: "int32"}
	one := typeSchema{Type: "object", Properties: map[string]typeSchema{
		"message": text, "domain": text, "reason": text, "location": text, "locationType": text, "debugInfo": text,
	}}
	detail := typeSchema{Type: "object", Properties: map[string]typeSchema{"@type": text, "detail": text}}
	return typeSchema{Type: "object", Properties: map[string]typeSchema{"error": {Type: "object", Properties: map[string]typeSchema{
		"code": number, "message": text, "errors": {Type: "array", Items: &one}, "status": text, "details": {Type: "array", Items: &detail},
	}}}}
}()

// The validator refuses what it is there to refuse.
func TestTheValidatorRefuses(t *testing.T) {
	d := readDiscovery(t)
	for name, test := range map[string]struct{ of, text, want string }{
		"right": {"Job", `{"kind":"bigquery#job","statistics":{"creationTime":"1"},"configuration":{"labels":{"a":"b"}}}`,
			""},
		"an unknown member":    {"Job", `{"state":"DONE"}`, "Job.state: unknown"},
		"of a member":          {"Job", `{"status":{"stat":"DONE"}}`, "Job.status.stat: unknown"},
		"of an element":        {"TableSchema", `{"fields":[{"name":"a"},{"nam":"b"}]}`, "TableSchema.fields[1].nam: unknown"},
		"an int64 as a number": {"Job", `{"statistics":{"creationTime":1}}`, "Job.statistics.creationTime: a float64 is no string"},
		"an int64 with a letter": {"Job", `{"statistics":{"creationTime":"1s"}}`,
			`Job.statistics.creationTime: "1s" is no int64: strconv.ParseInt: parsing "1s": invalid syntax`},
		"a boolean as a text": {"QueryResponse", `{"jobComplete":"true"}`, "QueryResponse.jobComplete: a string is no boolean"},
		"a number as a text":  {"ProjectList", `{"totalItems":"1"}`, "ProjectList.totalItems: a string is no number"},
		"a broken number":     {"ProjectList", `{"totalItems":1.5}`, "ProjectList.totalItems: 1.5 is no int32"},
		"an object as a list": {"QueryResponse", `{"rows":{}}`, "QueryResponse.rows: a map[string]interface {} is no array"},
		"a list as an object": {"QueryResponse", `{"schema":[]}`, "QueryResponse.schema: a []interface {} is no object"},
		"another kind":        {"Job", `{"kind":"bigquery#jobs"}`, "Job.kind: bigquery#jobs, want bigquery#job"},
		"no word of an enum": {"JobCreationReason", `{"code":"BECAUSE"}`,
			`JobCreationReason.code: "BECAUSE" is none of ["CODE_UNSPECIFIED" "REQUESTED" "LONG_RUNNING" "LARGE_RESULTS" "OTHER"]`},
		"null":                 {"QueryResponse", `{"pageToken":null}`, "QueryResponse.pageToken: a <nil> is no string"},
		"a label that is none": {"Job", `{"configuration":{"labels":{"a":1}}}`, "Job.configuration.labels.a: a float64 is no string"},
	} {
		t.Run(name, func(t *testing.T) {
			var v any
			if err := json.Unmarshal([]byte(test.text), &v); err != nil {
				t.Fatal(err)
			}
			got := ""
			if wrong := d.invalid(test.of, typeSchema{Ref: test.of}, v); len(wrong) > 0 {
				got = wrong[0]
			}
			if got != test.want {
				t.Errorf("%s: %s, want %s", name, got, test.want)
			}
		})
	}
}
