package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// holds is what queries that wait for a person cost those that do not. Each waits as a client does: with a poll that is held for up to ten seconds.
func holds(ctx context.Context, b *bench) error {
	if err := b.up(ctx); err != nil {
		return err
	}
	p, err := b.pair(ctx, shortQuery)
	if err != nil {
		return err
	}
	free, echo, err := p.turns(ctx, b.requests)
	if err != nil {
		return err
	}
	before, err := resident(b.info.PIDs["bqgate"])
	if err != nil {
		return err
	}
	waiting, stop := context.WithCancel(ctx)
	var pollers sync.WaitGroup
	defer pollers.Wait()
	defer stop()
	var broken atomic.Pointer[error]
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(8)
	for i := range b.options.holds {
		g.Go(func() error {
			bearer, err := b.mint(gctx, fmt.Sprintf("agent-%d@bench.example", i))
			if err != nil {
				return err
			}
			job, err := b.hold(gctx, bearer)
			if err != nil {
				return err
			}
			pollers.Go(func() {
				for waiting.Err() == nil {
					if _, err := b.send(waiting, http.MethodGet, b.info.REST+job, bearer, nil, nil); err != nil && waiting.Err() == nil {
						broken.Store(&err)
						return
					}
				}
			})
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	after := watch(b.info.PIDs["bqgate"])
	held, echoMeanwhile, err := p.turns(ctx, b.requests)
	if err != nil {
		return err
	}
	growth := after() - before
	if err := broken.Load(); err != nil {
		return fmt.Errorf("a poll of a held query: %w", *err)
	}
	b.table.add(row{fmt.Sprintf("memory growth with %d queries on hold", b.options.holds), mebibytes(growth), "at rest " + mebibytes(before), "", "≤ 100.0 MiB", growth <= 100<<20})
	b.table.atMost("other queries meanwhile, p50, beside none on hold", median(held), median(free), 1.05)
	// What the clients that poll and their Envoy take from the machine, they take from the echo as well.
	b.table.note("queries through the echo meanwhile", ms(median(echoMeanwhile)), ms(median(echo)))
	return nil
}

// mint asks the demo's issuer for the token of an agent.
func (s *system) mint(ctx context.Context, subject string) (string, error) {
	body, err := json.Marshal(map[string]any{"subject": subject, "groups": []string{"ai-agents"}, "claims": map[string]string{"email": subject}})
	if err != nil {
		return "", err
	}
	var text bytes.Buffer
	if _, err := s.send(ctx, http.MethodPost, s.info.Issuer+"/mint", "", body, &text); err != nil {
		return "", err
	}
	var out struct {
		Token string `json:"token"`
	}
	return out.Token, json.Unmarshal(text.Bytes(), &out)
}

// hold asks for payroll, which waits for a person, and returns the path to poll it by.
func (s *system) hold(ctx context.Context, bearer string) (string, error) {
	var text bytes.Buffer
	if _, err := s.ask(ctx, bearer, "SELECT employee FROM finance.payroll", &text); err != nil {
		return "", err
	}
	var out struct {
		JobComplete  bool `json:"jobComplete"`
		JobReference struct {
			JobID    string `json:"jobId"`
			Location string `json:"location"`
		} `json:"jobReference"`
	}
	if err := json.Unmarshal(text.Bytes(), &out); err != nil {
		return "", err
	}
	if out.JobComplete || out.JobReference.JobID == "" {
		return "", fmt.Errorf("a query of payroll was not held: %s", text.Bytes())
	}
	return fmt.Sprintf("/bigquery/v2/projects/%s/queries/%s?location=%s&timeoutMs=%d&prettyPrint=false", s.info.Project, out.JobReference.JobID, out.JobReference.Location,
		(10 * time.Second).Milliseconds()), nil
}
