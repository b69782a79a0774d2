package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// result is a line of `go test -bench`.
type result struct {
	name   string
	values map[string]float64 // by unit: "ns/op", "MB/s", "allocs/op"
}

func (r result) perOp() time.Duration { return time.Duration(r.values["ns/op"]) }

// goBench runs benchmarks of a package of this module.
func goBench(pkg, pattern, benchtime string) ([]result, error) {
	cmd := exec.Command("go", "test", "-run", "^$", "-bench", pattern, "-benchtime", benchtime, "-benchmem", "-cpu", "1", pkg)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go test -bench %s %s: %w\n%s%s", pattern, pkg, err, out, errs.Bytes())
	}
	results, err := parseBench(string(out))
	if err == nil && len(results) == 0 {
		err = fmt.Errorf("go test -bench %s %s: no such benchmark", pattern, pkg)
	}
	return results, err
}

// parseBench reads the output of `go test -bench`, whose format is
// https://go.dev/design/14313-benchmark-format.
func parseBench(text string) ([]result, error) {
	var out []result
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) < 4 || !strings.HasPrefix(fields[0], "Benchmark") || len(fields)%2 != 0 {
			continue
		}
		r := result{strings.TrimPrefix(fields[0], "Benchmark"), map[string]float64{}}
		for i := 2; i < len(fields); i += 2 {
			v, err := strconv.ParseFloat(fields[i], 64)
			if err != nil {
				return nil, fmt.Errorf("benchmark line %q: %w", line, err)
			}
			r.values[fields[i+1]] = v
		}
		out = append(out, r)
	}
	return out, nil
}

// verifications are OIDC tokens that were not seen before, verified whole on one core.
func verifications(_ context.Context, b *bench) error {
	results, err := goBench("./internal/identity", "^BenchmarkVerifyAlgorithm$", "2s")
	if err != nil {
		return err
	}
	const budget = 5000
	for _, r := range results {
		rate := float64(time.Second) / float64(r.perOp())
		b.table.add(row{
			"OIDC tokens verified, one core, " + strings.TrimPrefix(r.name, "VerifyAlgorithm/"), fmt.Sprintf("%.0f/s", rate), "", "",
			fmt.Sprintf("≥ %d/s", budget), rate >= budget,
		})
	}
	return nil
}

// masker is the JSON masker alone, on one core.
func masker(_ context.Context, b *bench) error {
	by := map[string]result{}
	for _, pattern := range []string{"^BenchmarkBaseline", "^BenchmarkResults$/^(Learnt|Generic)$/^Compact$/^FourRules$"} {
		results, err := goBench("./internal/masking/jsonmask", pattern, "2s")
		if err != nil {
			return err
		}
		for _, r := range results {
			by[r.name] = r
		}
	}
	copied, tokens := by["BaselineCopy"].values["MB/s"], by["BaselineJsontextTokens"].values["MB/s"]
	if copied == 0 || tokens == 0 {
		return fmt.Errorf("the masking baselines did not run")
	}
	for _, c := range []struct {
		path   string
		budget float64
	}{{"Learnt", 1000}, {"Generic", 400}} {
		r, ok := by["Results/"+c.path+"/Compact/FourRules"]
		if !ok {
			return fmt.Errorf("the benchmark of the %s path did not run", strings.ToLower(c.path))
		}
		v := r.values["MB/s"]
		b.table.add(row{
			"JSON masker alone, " + strings.ToLower(c.path) + " path", fmt.Sprintf("%.0f MB/s", v),
			fmt.Sprintf("jsontext %.0f MB/s", tokens), fmt.Sprintf("%.1f×", v/tokens),
			fmt.Sprintf("≥ %.0f MB/s", c.budget), v >= c.budget,
		})
		b.table.note("allocations in 20,000 rows", fmt.Sprintf("%.0f", r.values["allocs/op"]), "")
	}
	b.table.note("copy", fmt.Sprintf("%.0f MB/s", copied), "")
	return nil
}
