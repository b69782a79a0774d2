package extauthz

import "strings"

// Prices are what a tebibyte read costs, in US dollars, for reviewers and the record. The zero
// Prices show no price.
type Prices struct {
	Default    float64
	ByLocation map[string]float64 // "EU", "europe-west2", in any case
}

// of is what reading so many bytes in a location costs, 0 where no price is known.
func (p Prices) of(bytes int64, location string) float64 {
	price := p.Default
	for name, v := range p.ByLocation {
		if strings.EqualFold(name, location) {
			price = v
		}
	}
	return price * float64(bytes) / (1 << 40)
}
