package gateway

import "testing"

func TestPace(t *testing.T) {
	for name, test := range map[string]struct {
		live uint64
		want int
	}{
		"before the first collection": {0, 600},
		"a small heap":                {32 << 20, 150},
		"a large heap":                {96 << 20, 50},
		"a huge heap":                 {4 << 30, 50},
	} {
		t.Run(name, func(t *testing.T) {
			if got := pace(test.live); got != test.want {
				t.Errorf("GOGC is %d, want %d", got, test.want)
			}
		})
	}
}
