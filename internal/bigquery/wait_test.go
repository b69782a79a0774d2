package bigquery

import "testing"

// The one label of the gateway's that a client sets. It is not forwarded.
func TestWaitLabel(t *testing.T) {
	for labels, want := range map[string]bool{
		`{"bqgate_wait":"no","team":"x"}`: true, `{"bqgate_wait":"yes","team":"x"}`: false, `{"team":"x"}`: false,
	} {
		t.Run(labels, func(t *testing.T) {
			op, err := Decode(Request{
				Verb: "POST", Path: "/bigquery/v2/projects/p/queries", Header: map[string][]string{"content-type": {"application/json"}},
				Body: []byte(`{"query":"SELECT 1","useLegacySql":false,"labels":` + labels + `}`),
			})
			if err != nil {
				t.Fatal(err)
			}
			if op.Query.NoWait != want || len(op.Query.Labels) != 1 || op.Query.Labels["team"] != "x" {
				t.Errorf("%s: NoWait %v, labels %v", labels, op.Query.NoWait, op.Query.Labels)
			}
		})
	}
}
