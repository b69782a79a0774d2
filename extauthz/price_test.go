package extauthz

import "testing"

func TestPrices(t *testing.T) {
	p := Prices{Default: 6.25, ByLocation: map[string]float64{"europe-west2": 7.82, "EU": 6.25, "us-free": 0}}
	for location, want := range map[string]float64{"US": 6.25, "Europe-West2": 7.82, "eu": 6.25, "us-free": 0, "": 6.25} {
		t.Run(location, func(t *testing.T) {
			if got := p.of(1<<40, location); got != want {
				t.Errorf("a tebibyte in %q costs %v, want %v", location, got, want)
			}
		})
	}
	if got := (Prices{}).of(1<<40, "US"); got != 0 {
		t.Errorf("without prices a tebibyte costs %v", got)
	}
}
