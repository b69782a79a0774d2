package bigquery

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/bqgate/bqgate/internal/golden"
)

// described is what the discovery document says of methods and of what they take.
type described struct {
	Revision   string                        `json:"revision"`
	Parameters map[string]describedParameter `json:"parameters"`
	Schemas    map[string]describedType      `json:"schemas"`
	Resources  map[string]struct {
		Methods map[string]describedMethod `json:"methods"`
	} `json:"resources"`
}

type describedMethod struct {
	HTTPMethod string                        `json:"httpMethod"`
	FlatPath   string                        `json:"flatPath"`
	Parameters map[string]describedParameter `json:"parameters"`
}

type describedParameter struct {
	Type     string   `json:"type"`
	Location string   `json:"location"`
	Enum     []string `json:"enum"`
	Repeated bool     `json:"repeated"`
}

type describedType struct {
	Ref        string                   `json:"$ref"`
	Type       string                   `json:"type"`
	Enum       []string                 `json:"enum"`
	Properties map[string]describedType `json:"properties"`
}

func description(t *testing.T) described {
	t.Helper()
	var d described
	if err := json.Unmarshal(discovery, &d); err != nil {
		t.Fatal(err)
	}
	if d.Revision != "20261009" {
		t.Errorf("the document has revision %s: look at what is new, then write it here", d.Revision)
	}
	return d
}

// values are texts that a parameter of the document may have.
func (p describedParameter) values(name string) []string {
	switch {
	case p.Enum != nil:
		return p.Enum
	case p.Type == "boolean":
		return []string{"true", "false"}
	case p.Type == "integer", name == "startIndex", strings.HasSuffix(name, "CreationTime"):
		return []string{"1"}
	}
	if value, ok := map[string]string{"location": "US", "fields": "kind"}[name]; ok {
		return []string{value}
	}
	return []string{"AAAA"}
}

// verdictOf says how a request is taken: "taken", or the refusal's status and sentence.
func verdictOf(t *testing.T, r Request, names ...string) string {
	t.Helper()
	_, err := Decode(r)
	if err == nil {
		return "taken"
	}
	var e *RequestError
	if !errors.As(err, &e) {
		t.Fatalf("%s %s: %v is no refusal", r.Verb, r.Path, err)
	}
	if e.Status != http.StatusForbidden && e.Status != http.StatusBadRequest {
		t.Errorf("%s %s: status %d", r.Verb, r.Path, e.Status)
	}
	for _, name := range names {
		if !strings.Contains(e.Message, name) {
			t.Errorf("%s %s: %q does not name %s", r.Verb, r.Path, e.Message, name)
		}
	}
	if len(strings.Fields(e.Message)) < 6 {
		t.Errorf("%s %s: %q tells neither why nor what else", r.Verb, r.Path, e.Message)
	}
	return fmt.Sprint(e.Status, " ", e.Message)
}

var placeholders = strings.NewReplacer("{projectsId}", "demo", "{datasetsId}", "crm", "{tablesId}", "customers", "{jobsId}", "j1",
	"{queriesId}", "j1",
	"{modelsId}", "m", "{routinesId}", "r", "{rowAccessPoliciesId}", "p")

// Every parameter of every method of the discovery document, with every value that it has there, is
// known to the gateway or refused with a sentence that names it; testdata/walk.txt says which.
func TestEveryParameterIsKnown(t *testing.T) {
	d := description(t)
	var lines []string
	for _, resource := range slices.Sorted(maps.Keys(d.Resources)) {
		for _, verb := range slices.Sorted(maps.Keys(d.Resources[resource].Methods)) {
			m := d.Resources[resource].Methods[verb]
			method := resource + "." + verb
			path := Root + placeholders.Replace(m.FlatPath)
			plain := request(m.HTTPMethod, path)
			if verdict := verdictOf(t, plain, method); verdict != "taken" {
				lines = append(lines, method+"\t"+verdict)
				continue // its parameters do not matter
			}
			parameters := maps.Clone(d.Parameters)
			for name, p := range m.Parameters {
				if p.Location == "query" {
					parameters[name] = p
				}
			}
			for _, name := range slices.Sorted(maps.Keys(parameters)) {
				values := parameters[name].values(name)
				for _, value := range values {
					r := request(m.HTTPMethod, path+"?"+url.QueryEscape(name)+"="+url.QueryEscape(value))
					lines = append(lines, fmt.Sprintf("%s %s=%s\t%s", method, name, value, verdictOf(t, r, name)))
				}
				if parameters[name].Repeated {
					r := request(m.HTTPMethod, path+"?"+name+"="+values[0]+"&"+name+"="+values[1])
					lines = append(lines, fmt.Sprintf("%s %s twice\t%s", method, name, verdictOf(t, r, name)))
				}
			}
		}
	}
	golden.File(t, "testdata/walk.txt", []byte(strings.Join(lines, "\n")+"\n"))
}

// Every member of the bodies of jobs.query and of a query job is known or refused by name;
// testdata/bodies.txt says which.
func TestEveryMemberIsKnown(t *testing.T) {
	d := description(t)
	var lines []string
	for _, body := range []struct{ of, path, around string }{
		{"QueryRequest", "queries", `{"query":"SELECT 1","useLegacySql":false%s}`},
		{"Job", "jobs", `{"configuration":{"query":{"query":"SELECT 1","useLegacySql":false}}%s}`},
		{"JobReference", "jobs", `{"configuration":{"query":{"query":"SELECT ` +
			`1","useLegacySql":false}},"jobReference":{"projectId":"demo"%s}}`},
		{"JobConfiguration", "jobs", `{"configuration":{"query":{"query":"SELECT 1","useLegacySql":false}%s}}`},
		{"JobConfigurationQuery", "jobs", `{"configuration":{"query":{"query":"SELECT 1","useLegacySql":false%s}}}`},
	} {
		t.Run(body.of, func(t *testing.T) {
			properties := maps.Clone(d.Schemas[body.of].Properties)
			for name := range properties {
				if strings.Contains(body.around, `"`+name+`":`) {
					delete(properties, name) // there already
				}
			}
			for _, name := range slices.Sorted(maps.Keys(properties)) {
				for _, value := range properties[name].samples() {
					r := request(http.MethodPost, Root+"projects/demo/"+body.path)
					r.Body = fmt.Appendf(nil, body.around, fmt.Sprintf(",%q:%s", name, value))
					lines = append(lines, fmt.Sprintf("%s.%s %s\t%s", body.of, name, value, verdictOf(t, r, name)))
				}
			}
		})
	}
	golden.File(t, "testdata/bodies.txt", []byte(strings.Join(lines, "\n")+"\n"))
}

// samples are values of a type, as JSON.
func (s describedType) samples() []string {
	switch {
	case s.Ref != "" || s.Type == "object":
		return []string{"{}", `{"sample":"value"}`}
	case s.Type == "array":
		return []string{"[]", `[{"sample":"value"}]`}
	case s.Type == "boolean":
		return []string{"true", "false"}
	case s.Type == "integer" || s.Type == "number":
		return []string{"1"}
	case s.Enum != nil:
		var out []string
		for _, word := range s.Enum {
			out = append(out, `"`+word+`"`)
		}
		return out
	}
	return []string{`"1"`}
}

// request is a request of a method with the least that its body may hold.
func request(verb, path string) Request {
	r := Request{Verb: verb, Path: path, Header: map[string][]string{}}
	if verb != http.MethodPost {
		return r
	}
	route, _, _ := Match(verb, strings.SplitN(path, "?", 2)[0])
	switch route.Method {
	case MethodQuery:
		r.Body = []byte(`{"query":"SELECT 1","useLegacySql":false}`)
	case MethodInsert:
		r.Body = []byte(`{"configuration":{"query":{"query":"SELECT 1","useLegacySql":false}}}`)
	}
	if r.Body != nil {
		r.Header["content-type"] = []string{"application/json"}
	}
	return r
}
