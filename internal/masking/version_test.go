package masking

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
)

// TestPlanIsReadBack: a plan that was sealed is the same plan, with its version beside it.
func TestPlanIsReadBack(t *testing.T) {
	for name, plan := range map[string]Plan{
		"none":      {},
		"sensitive": {Sensitive: true},
		"columns": {Sensitive: true, Columns: []Column{
			{Name: "a", Type: "STRING", Mask: LastFourCharacters, Ambiguous: true},
			{Name: "s", Type: "STRUCT", Repeated: true, Fields: []Column{{Name: "x", Type: "INT64", Mask: Clear, Expect: SHA256}}},
		}},
		"metadata": {Metadata: true, Told: true, Columns: []Column{{Name: "a", Type: "STRING", Mask: Clear}}},
	} {
		t.Run(name, func(t *testing.T) {
			text, err := json.Marshal(plan)
			if err != nil || !strings.HasPrefix(string(text), `{"version":1,`) {
				t.Fatalf("%s, %v", text, err)
			}
			var back Plan
			if err := json.Unmarshal(text, &back); err != nil || !reflect.DeepEqual(back, plan) {
				t.Errorf("%s: %+v, %v", text, back, err)
			}
		})
	}
}

// TestPlanOfAnotherVersion: what cannot be known of a plan is never guessed.
func TestPlanOfAnotherVersion(t *testing.T) {
	for name, c := range map[string]struct {
		text    string
		version bool
	}{
		"before there were versions": {`{"columns":[{"name":"a","type":"STRING","mask":"CLEAR"}]}`, true},
		"a later one":                {`{"version":2,"columns":[{"name":"a","type":"STRING","mask":"CLEAR"}]}`, true},
		"a version below":            {`{"version":-1,"columns":[]}`, true},
		"of another type":            {`{"version":"1","columns":[]}`, false},
		"a member that is not known": {`{"version":1,"columns":[],"rows":"id > 7"}`, false},
		"a column's, too":            {`{"version":1,"columns":[{"name":"a","type":"STRING","mask":"CLEAR","hides":true}]}`, false},
	} {
		t.Run(name, func(t *testing.T) {
			back := Plan{Sensitive: true}
			err := json.Unmarshal([]byte(c.text), &back)
			if err == nil || errors.Is(err, ErrVersion) != c.version || back.Columns != nil {
				t.Errorf("%+v, %v", back, err)
			}
		})
	}
}
