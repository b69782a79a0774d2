package fakegoogle

import (
	"fmt"
	"strings"
	"testing"
)

func TestCheckLabels(t *testing.T) {
	many := map[string]string{}
	for i := range 65 {
		many[fmt.Sprintf("l%d", i)] = ""
	}
	for name, c := range map[string]struct {
		labels map[string]string
		good   bool
	}{
		"none": {nil, true}, "one": {map[string]string{"bqgate_rule": "crm-1"}, true}, "an empty value": {map[string]string{"a": ""}, true},
		"of another script": {map[string]string{"a": "проект"}, true}, "too many": {many, false},
		"a capital": {map[string]string{"a": "B"}, false}, "a slash": {map[string]string{"a": "b/c"}, false},
		"a long value":     {map[string]string{"a": strings.Repeat("b", 64)}, false},
		"a key of a digit": {map[string]string{"1a": "b"}, false}, "no key": {map[string]string{"": "b"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			if err := checkLabels(c.labels); (err == nil) != c.good {
				t.Errorf("%v", err)
			}
		})
	}
}
