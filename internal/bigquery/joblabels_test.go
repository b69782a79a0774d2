package bigquery

import (
	"fmt"
	"strings"
	"testing"
)

// The gateway's own labels stand beside the client's, within what BigQuery takes, and are never the
// client's or the decision's.
func TestOwnLabels(t *testing.T) {
	own := map[string]string{"bqgate_rule": "crm-1"}
	many := map[string]string{}
	for i := range maxLabels {
		many[fmt.Sprintf("l%d", i)] = "x"
	}
	for name, c := range map[string]struct {
		client, own map[string]string
		good        bool
	}{
		"beside the client's":      {map[string]string{"team": "x"}, own, true},
		"beside as many as served": {many, own, true},
		"none":                     {nil, nil, true},
		"the decision's":           {nil, map[string]string{DecisionLabel: "x"}, false},
		"without our prefix":       {nil, map[string]string{"rule": "x"}, false},
		"a value with a capital":   {nil, map[string]string{"bqgate_rule": "Crm"}, false},
		"a value too long":         {nil, map[string]string{"bqgate_rule": strings.Repeat("x", 64)}, false},
	} {
		t.Run(name, func(t *testing.T) {
			op := Operation{Method: MethodInsert, Job: JobReference{ProjectID: "p", JobID: "j"},
				Query: &QueryRequest{SQL: "SELECT 1", Labels: c.client}}
			body, err := Encode(op, Mutation{Decision: "d-1", Labels: c.own})
			if (err == nil) != c.good {
				t.Fatalf("%s, %v", body, err)
			}
			for key, value := range c.own {
				if c.good && !strings.Contains(string(body), fmt.Sprintf("%q:%q", key, value)) {
					t.Errorf("%s is not in %s", key, body)
				}
			}
		})
	}
}
