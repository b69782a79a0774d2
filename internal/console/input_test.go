package console

import (
	"encoding/json"
	"testing"
)

func FuzzDecision(f *testing.F) {
	for _, seed := range []string{
		"", "{}", `{"reason":"x"}`, `{"reason":null}`, `{"reason":"x","reason":"y"}`, `null`, `[]`, "{\"reason\":\"\\ud800\"}",
		`{"reason":"x"}}`,
		`{"reason":"x","uses":5,"hours":8}`, `{"uses":1e3}`, `{"uses":0}`, `{"uses":-1}`, `{"uses":5.5}`, `{"uses":"5"}`,
		`{"hours":99999999999999999999}`, `{"Uses":5}`,
	} {
		f.Add([]byte(seed))
	}
	known := map[string]bool{"reason": true, "uses": true, "hours": true}
	f.Fuzz(func(t *testing.T, body []byte) {
		in, err := parseBallot(body)
		if err != nil {
			return
		}
		// Whatever is taken means to the strictest reader what it means to a lenient one.
		var lenient map[string]any
		if len(body) > 0 {
			if err := json.Unmarshal(body, &lenient); err != nil {
				t.Fatalf("%q is taken, but is no JSON object: %v", body, err)
			}
		}
		for key := range lenient {
			if !known[key] {
				t.Fatalf("%q is taken with the unknown key %q", body, key)
			}
		}
		reason, _ := lenient["reason"].(string)
		uses, _ := lenient["uses"].(float64)
		hours, _ := lenient["hours"].(float64)
		if reason != in.Reason || uses != float64(in.Uses) || hours != float64(in.Hours) || in.Uses < 0 || in.Hours < 0 {
			t.Fatalf("%q is taken as %+v, a lenient reader sees %v", body, in, lenient)
		}
	})
}
