package limits

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/bqgate/bqgate/internal/spelling"
)

// Limit is how much of a kind an owner may have. Which fields are set depends on the kind's Form.
type Limit struct {
	AtOnce    int     `yaml:"at_once,omitempty"`
	Burst     int     `yaml:"burst,omitempty"`
	PerSecond float64 `yaml:"per_second,omitempty"`
	PerHour   Size    `yaml:"per_hour,omitempty"`
}

// Config is `limits:` of the configuration: limits by the key of their kind. A kind that is left
// out has its default.
type Config map[string]Limit

// What a limit may be. The least are above zero: a limit of nothing would refuse everybody.
const (
	mostAtOnce    = 1_000_000
	mostBurst     = 100_000_000
	leastSecond   = 0.001
	mostSecond    = 1_000_000
	leastPerHour  = 1 << 20
	mostPerHour   = 1 << 50
	pleaseAtOnce  = "at_once from 1 to 1000000"
	pleaseRate    = "burst from 1 to 100000000, and per_second from 0.001 to 1000000"
	pleasePerHour = "per_hour from 1MiB to 1024TiB"
)

// Check says everything that is wrong with a configuration.
func (c Config) Check() error {
	var wrong []error
	for _, key := range slices.Sorted(maps.Keys(c)) {
		k, known := kindOf(key)
		if !known {
			wrong = append(wrong, fmt.Errorf("limits.%s is no limit%s; there are: %s", key, spelling.DidYouMean(key, Keys()),
				strings.Join(Keys(), ", ")))
			continue
		}
		if form := Kinds[k].Form; !form.fits(c[key]) {
			wrong = append(wrong, fmt.Errorf("limits.%s: want %s", key, form.please()))
		}
	}
	return errors.Join(wrong...)
}

// Keys are the keys of all kinds, in their order.
func Keys() []string {
	var all []string
	for _, s := range Kinds {
		all = append(all, s.Key)
	}
	return all
}

func kindOf(key string) (Kind, bool) {
	i := slices.IndexFunc(Kinds[:], func(s Spec) bool { return s.Key == key })
	return Kind(max(0, i)), i >= 0 //nolint:gosec // G115: an index of Kinds
}

func (f Form) fits(l Limit) bool {
	switch f {
	case AtOnce:
		return l == Limit{AtOnce: l.AtOnce} && 1 <= l.AtOnce && l.AtOnce <= mostAtOnce
	case Rate:
		return l == Limit{Burst: l.Burst, PerSecond: l.PerSecond} && 1 <= l.Burst && l.Burst <= mostBurst && !math.IsNaN(l.PerSecond) &&
			leastSecond <= l.PerSecond && l.PerSecond <= mostSecond
	case PerHour:
		return l == Limit{PerHour: l.PerHour} && leastPerHour <= l.PerHour && l.PerHour <= mostPerHour
	default:
		return false
	}
}

func (f Form) please() string {
	return [...]string{AtOnce: pleaseAtOnce, Rate: pleaseRate, PerHour: pleasePerHour}[f]
}

// all are the limits of every kind, with defaults for those that are left out.
func (c Config) all() [kinds]Limit {
	var all [kinds]Limit
	for k, s := range Kinds {
		all[k] = s.Default
		if l, ok := c[s.Key]; ok {
			all[k] = l
		}
	}
	return all
}
