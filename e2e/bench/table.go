package main

import (
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"
)

// row is a line of the table. A row without a budget explains the one above it.
type row struct {
	what, measured, baseline, ratio, budget string
	met                                     bool
}

type table struct{ rows []row }

func (t *table) add(r row) { t.rows = append(t.rows, r) }

// note adds a figure that no budget speaks of.
func (t *table) note(what, measured, baseline string) {
	t.add(row{what: "  " + what, measured: measured, baseline: baseline})
}

func (t *table) write(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "what\tmeasured\tbaseline\tratio\tbudget\t")
	for _, r := range t.rows {
		verdict := ""
		if r.budget != "" {
			verdict = "missed"
			if r.met {
				verdict = "met"
			}
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", r.what, r.measured, r.baseline, r.ratio, r.budget, verdict)
	}
	return w.Flush()
}

// atMost is a row whose figure must not be larger than limit times the baseline's.
func (t *table) atMost(what string, measured, baseline time.Duration, limit float64) {
	ratio := float64(measured) / float64(baseline)
	t.add(row{what, ms(measured), ms(baseline), fmt.Sprintf("%.2f×", ratio), fmt.Sprintf("≤ %.2f×", limit), ratio <= limit})
}

// ms prints a duration in milliseconds.
func ms(d time.Duration) string { return fmt.Sprintf("%.2f ms", float64(d)/float64(time.Millisecond)) }

// mebibytes prints a size.
func mebibytes(n int64) string { return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20)) }

// speed prints bytes over a time in decimal megabytes a second.
func speed(bytes int64, d time.Duration) string {
	return fmt.Sprintf("%.0f MB/s", float64(bytes)/1e6/d.Seconds())
}

// percentile is the smallest value that p of 100 values do not exceed.
func percentile(values []time.Duration, p float64) time.Duration {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	at := int(p / 100 * float64(len(sorted)))
	return sorted[min(at, len(sorted)-1)]
}

func median(values []time.Duration) time.Duration { return percentile(values, 50) }
