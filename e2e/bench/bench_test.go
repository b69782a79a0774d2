package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestPercentile(t *testing.T) {
	var values []time.Duration
	for i := range 100 {
		values = append(values, time.Duration(100-i))
	}
	for p, want := range map[float64]time.Duration{0: 1, 50: 51, 99: 100, 100: 100} {
		t.Run(fmt.Sprint(p), func(t *testing.T) {
			if got := percentile(values, p); got != want {
				t.Errorf("p%v is %d, want %d", p, got, want)
			}
		})
	}
	if percentile(nil, 50) != 0 {
		t.Error("no values have a percentile")
	}
}

func TestParseBench(t *testing.T) {
	got, err := parseBench("goos: linux\nBenchmarkResults/Learnt-2   \t  12\t  9000 ns/op\t1200.50 MB/s\t  64 B/op\t  3 allocs/op\nPASS\n")
	if err != nil || len(got) != 1 || got[0].name != "Results/Learnt-2" || got[0].values["MB/s"] != 1200.5 ||
		got[0].perOp() != 9*time.Microsecond {
		t.Errorf("got %+v, %v", got, err)
	}
	if _, err := parseBench("BenchmarkX 1 abc ns/op\n"); err == nil {
		t.Error("a figure that is no number was read")
	}
}

func TestStepTimes(t *testing.T) {
	var l logLine
	if err := json.Unmarshal([]byte(`{"msg":"decision","took":900,"steps":{"z":5,"a":7}}`), &l); err != nil {
		t.Fatal(err)
	}
	if len(l.Steps) != 2 || l.Steps[0] != (stepTime{"z", 5}) || l.step("a") != 7 || l.step("none") != 0 {
		t.Errorf("got %+v", l)
	}
}

func TestTable(t *testing.T) {
	var b strings.Builder
	var tab table
	tab.atMost("a", 30*time.Millisecond, 20*time.Millisecond, 1.15)
	tab.atMost("b", 21*time.Millisecond, 20*time.Millisecond, 1.15)
	if err := tab.write(&b); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(b.String(), "\n")
	if !strings.HasSuffix(lines[1], "missed") || !strings.Contains(lines[1], "1.50×") || !strings.HasSuffix(lines[2], "≤ 1.15×  met") {
		t.Errorf("got:\n%s", b.String())
	}
}

func TestWindowsBesideTheirNeighbours(t *testing.T) {
	of := func(d time.Duration) window { return window{bqgate: []time.Duration{d}} }
	// The machine gets slower all the time, and what is measured costs nothing.
	none, held := []window{of(100), of(120), of(140)}, []window{of(110), of(130)}
	ratios := besides(held, none, func(w window) []time.Duration { return w.bqgate })
	if len(ratios) != 2 || ratios[0] != 1 || ratios[1] != 1 {
		t.Errorf("got %v, want no difference", ratios)
	}
	for want, of := range map[float64][]float64{2: {3, 1, 2}, 2.5: {4, 1, 3, 2}, 7: {7}} {
		t.Run(fmt.Sprint(want), func(t *testing.T) {
			if got := middle(of); got != want {
				t.Errorf("the middle of %v is %v, want %v", of, got, want)
			}
		})
	}
}
