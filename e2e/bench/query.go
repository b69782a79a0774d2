package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

// The query that latencies are measured with: three rows, one masked column. What stands behind it
// sets how long the upstream takes.
const shortQuery = "SELECT id, name, ssn FROM crm.customers LIMIT 3"

// pair is the same query on its two ways.
type pair struct {
	b      *bench
	bearer string
	sql    string
	body   map[string]any // as bqgate forwards it
	n      int
}

func (b *bench) pair(ctx context.Context, sql string) (*pair, error) {
	bearer, err := b.Token("analyst") // whose policy asks for no estimate
	if err != nil {
		return nil, err
	}
	p := &pair{b: b, bearer: bearer, sql: sql}
	if _, err := p.bqgate(ctx); err != nil {
		return nil, err
	}
	p.body, err = b.Forwarded(ctx)
	return p, err
}

func (p *pair) bqgate(ctx context.Context) (int64, error) {
	return p.b.Ask(ctx, p.bearer, p.sql, nil)
}

// echo asks the echo with what bqgate forwards. Each request has an id of its own, as bqgate gives
// it: else the upstream would find the job of an earlier one.
func (p *pair) echo(ctx context.Context) (int64, error) {
	p.n++
	p.body["requestId"] = fmt.Sprintf("bench-%d-%d", time.Now().UnixNano(), p.n)
	text, err := json.Marshal(p.body)
	if err != nil {
		return 0, err
	}
	return p.b.Send(ctx, http.MethodPost, p.b.Echo.URL+p.b.Queries(), "nobody", text, nil)
}

// turns measures both ways, one request each in turn, after some that do not count.
func (p *pair) turns(ctx context.Context, n int) (bqgate, echo []time.Duration, err error) {
	const warm = 50
	for i := range n + warm {
		begin := time.Now()
		if _, err := p.bqgate(ctx); err != nil {
			return nil, nil, err
		}
		between := time.Now()
		if _, err := p.echo(ctx); err != nil {
			return nil, nil, fmt.Errorf("echo: %w", err)
		}
		if i >= warm {
			bqgate, echo = append(bqgate, between.Sub(begin)), append(echo, time.Since(between))
		}
		if i%500 == 0 {
			if err := p.b.Forget(ctx); err != nil {
				return nil, nil, err
			}
		}
	}
	return bqgate, echo, nil
}

// latencies are the two query rows of the budget.
func latencies(ctx context.Context, b *bench) error {
	if err := b.up(ctx); err != nil {
		return err
	}
	slow, err := b.pair(ctx, shortQuery+" -- fake:delay=20ms")
	if err != nil {
		return err
	}
	bqgate, echo, err := slow.turns(ctx, b.requests)
	if err != nil {
		return err
	}
	b.table.atMost("allowed query, upstream 20 ms, p50", median(bqgate), median(echo), 1.15)
	b.table.atMost("allowed query, upstream 20 ms, p99", percentile(bqgate, 99), percentile(echo, 99), 1.5)

	instant, err := b.pair(ctx, shortQuery)
	if err != nil {
		return err
	}
	log, err := b.openLog()
	if err != nil {
		return err
	}
	if bqgate, echo, err = instant.turns(ctx, 2*b.requests); err != nil {
		return err
	}
	added := median(bqgate) - median(echo)
	b.table.add(row{"allowed query, instant upstream, added p50", ms(added), ms(median(echo)), "", "≤ 1.50 ms",
		added <= 1500*time.Microsecond})
	lines, err := log.lines()
	if err != nil {
		return err
	}
	rest := added
	for _, part := range []struct{ message, label string }{{"decision", "ext_authz"}, {"answer", "ext_proc"}} {
		for _, s := range stepMedians(lines, part.message) {
			b.table.note(part.label+": "+s.name, ms(s.took), "")
			rest -= s.took
		}
	}
	b.table.note("the rest: metadata, larger messages, scheduling", ms(rest), "")
	return nil
}

// newSQL is Check on SQL that was not seen before, beside the bare analysis of the same SQL.
func newSQL(ctx context.Context, b *bench) error {
	if err := b.up(ctx); err != nil {
		return err
	}
	bearer, err := b.Token("analyst")
	if err != nil {
		return err
	}
	log, err := b.openLog()
	if err != nil {
		return err
	}
	for i := range b.requests / 2 {
		if _, err := b.Ask(ctx, bearer, fmt.Sprintf("SELECT id, name, ssn FROM crm.customers WHERE id = %d LIMIT 3", i), nil); err != nil {
			return err
		}
	}
	lines, err := log.lines()
	if err != nil {
		return err
	}
	var took []time.Duration
	for _, l := range lines {
		if l.Message == "decision" {
			took = append(took, l.Took-l.step("credentials"))
		}
	}
	bare, err := goBench("./internal/googlesql/engine", "^BenchmarkBareAnalyzeStatement$", "1s")
	if err != nil {
		return err
	}
	base := bare[0].perOp()
	p50 := median(took)
	b.table.add(row{"Check, steps 1–6, new SQL, p50", ms(p50), ms(base), fmt.Sprintf("%.1f×", float64(p50)/float64(base)), "≤ 2.00 ms",
		p50 <= 2*time.Millisecond})
	for _, s := range stepMedians(lines, "decision") {
		b.table.note(s.name, ms(s.took), "")
	}
	return nil
}
