package console

import (
	"encoding/json"
	"testing"
)

func FuzzReason(f *testing.F) {
	for _, seed := range []string{"", "{}", `{"reason":"x"}`, `{"reason":null}`, `{"reason":"x","reason":"y"}`, `null`, `[]`, "{\"reason\":\"\\ud800\"}", `{"reason":"x"}}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		reason, err := parseReason(body)
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
		got, _ := lenient["reason"].(string)
		if got != reason || len(lenient) > 1 || (len(lenient) == 1 && !hasKey(lenient, "reason")) {
			t.Fatalf("%q is taken as %q, a lenient reader sees %v", body, reason, lenient)
		}
	})
}

func hasKey(m map[string]any, key string) bool { _, ok := m[key]; return ok }
