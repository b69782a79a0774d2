package limits_test

import (
	"strings"
	"testing"

	"github.com/bqgate/bqgate/internal/limits"
)

func TestConfig(t *testing.T) {
	for name, c := range map[string]struct {
		config limits.Config
		wrong  string // "" where nothing is
	}{
		"nothing":             {nil, ""},
		"a number at once":    {limits.Config{"queries": {AtOnce: 1}}, ""},
		"a rate":              {limits.Config{"lookups": {Burst: 1, PerSecond: 0.001}}, ""},
		"bytes an hour":       {limits.Config{"recorded_bytes": {PerHour: 1 << 20}}, ""},
		"an unknown key":      {limits.Config{"querys": {AtOnce: 1}}, "limits.querys is no limit (did you mean queries?)"},
		"a limit of another":  {limits.Config{"queries": {AtOnce: 1, Burst: 1}}, "limits.queries: want at_once from 1"},
		"another form":        {limits.Config{"queries": {Burst: 1, PerSecond: 1}}, "limits.queries: want at_once"},
		"none at all":         {limits.Config{"queries": {}}, "limits.queries: want at_once"},
		"below zero":          {limits.Config{"queries": {AtOnce: -1}}, "limits.queries: want at_once"},
		"too many":            {limits.Config{"queries": {AtOnce: 1_000_001}}, "limits.queries: want at_once"},
		"half a rate":         {limits.Config{"lookups": {Burst: 600}}, "limits.lookups: want burst from 1"},
		"the other half":      {limits.Config{"lookups": {PerSecond: 10}}, "limits.lookups: want burst"},
		"a rate below zero":   {limits.Config{"lookups": {Burst: 600, PerSecond: -1}}, "limits.lookups: want burst"},
		"a rate of nothing":   {limits.Config{"lookups": {Burst: 600, PerSecond: 1e-12}}, "limits.lookups: want burst"},
		"an endless rate":     {limits.Config{"lookups": {Burst: 600, PerSecond: inf}}, "limits.lookups: want burst"},
		"no number":           {limits.Config{"lookups": {Burst: 600, PerSecond: inf - inf}}, "limits.lookups: want burst"},
		"few bytes":           {limits.Config{"recorded_bytes": {PerHour: 1<<20 - 1}}, "limits.recorded_bytes: want per_hour from 1MiB"},
		"two mistakes, first": {limits.Config{"a": {}, "queries": {}}, "limits.a is no limit"},
		"two mistakes, next":  {limits.Config{"a": {}, "queries": {}}, "limits.queries: want"},
	} {
		t.Run(name, func(t *testing.T) {
			err := c.config.Check()
			if (err == nil) != (c.wrong == "") || err != nil && !strings.Contains(err.Error(), c.wrong) {
				t.Errorf("%v, want %q", err, c.wrong)
			}
		})
	}
}

var inf = func() float64 { n := 0.0; return 1 / n }()

// The defaults are what the configuration could say.
func TestDefaults(t *testing.T) {
	all := limits.Config{}
	for _, s := range limits.Kinds {
		if s.Key == "" || s.What == "" || s.Counts == "" || s.Why == "" || s.Beyond == "" || s.Reason == "" {
			t.Errorf("%q lacks words: %+v", s.Key, s)
		}
		all[s.Key] = s.Default
	}
	if err := all.Check(); err != nil || len(all) != len(limits.Kinds) {
		t.Errorf("%d keys of %d: %v", len(all), len(limits.Kinds), err)
	}
}

func TestSizes(t *testing.T) {
	for text, want := range map[string]limits.Size{
		"64GiB": 64 << 30, "1TiB": 1 << 40, "1MiB": 1 << 20, "1B": 1, "0B": 0, "1500KiB": 1500 << 10,
	} {
		var s limits.Size
		if err := s.UnmarshalText([]byte(text)); err != nil || s != want || want > 0 && s.String() != text {
			t.Errorf("%s is %d %s: %v", text, s, s, err)
		}
	}
	for _, text := range []string{"", "64", "GiB", "-1GiB", "1.5GiB", "64 GiB", "64GB", "9999999999TiB", "99999999999999999999B"} {
		var s limits.Size
		if err := s.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is %d", text, s)
		}
	}
}
