package audit

import (
	"bytes"
	"encoding/json"
	"testing"
)

func TestEnvelopesAreAsJSONWouldHaveThem(t *testing.T) {
	for name, e := range map[string]envelope{
		"a record":        {Kind: "decision", Record: json.RawMessage(`{"sql":"SELECT \u003c1"}`)},
		"an encoded body": {Kind: "frame", Record: json.RawMessage(`{}`), Encoding: "s2"},
		"an empty one":    {Record: json.RawMessage(`null`)},
	} {
		t.Run(name, func(t *testing.T) {
			want, err := json.Marshal(e)
			if err != nil || !bytes.Equal(e.bytes(), want) {
				t.Errorf("%s, want %s %v", e.bytes(), want, err)
			}
		})
	}
}
