package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bqgate/bqgate/internal/audit"
)

// durable is a decision in the journal with 64 writers, beside one write and one fdatasync.
func durable(ctx context.Context, b *bench) error {
	dir, err := os.MkdirTemp("build", "bench-audit")
	if err != nil {
		return fmt.Errorf("make a folder for the journal: %w", err)
	}
	defer os.RemoveAll(dir)
	floor, err := writeFloor(filepath.Join(dir, "floor"))
	if err != nil {
		return err
	}
	key, err := audit.GenerateKey(filepath.Join(dir, "key"))
	if err != nil {
		return err
	}
	journal, err := audit.Open(filepath.Join(dir, "audit"), key, audit.Options{})
	if err != nil {
		return err
	}
	defer journal.Close()
	decision := audit.Decision{
		ID: "d-01J9ZK4T7Q8R9S0T1V2W3X4Y5Z", Subject: audit.Subject{Issuer: "https://idp.example", Sub: "repo:acme/app:ref:refs/heads/main"},
		Method: "jobs.query", Effect: audit.EffectAllow,
		Rule: "crm/agents-read-crm", SQL: strings.Repeat("SELECT name FROM crm.customers ", 8), Tables: []string{"demo.crm.customers"},
	}
	const writers = 64
	const length = 3 * time.Second
	took := make([][]time.Duration, writers)
	failed := make([]error, writers)
	begin := time.Now()
	var group sync.WaitGroup
	for w := range writers {
		group.Go(func() {
			for time.Since(begin) < length && ctx.Err() == nil {
				at := time.Now()
				if _, err := journal.Append(ctx, decision); err != nil {
					failed[w] = err
					return
				}
				took[w] = append(took[w], time.Since(at))
			}
		})
	}
	group.Wait()
	elapsed := time.Since(begin)
	var all []time.Duration
	for w := range writers {
		if failed[w] != nil {
			return failed[w]
		}
		all = append(all, took[w]...)
	}
	rate := float64(len(all)) / elapsed.Seconds()
	p50 := median(all)
	b.table.add(row{"durable decision, 64 writers, p50", ms(p50), ms(median(floor)),
		fmt.Sprintf("%.1f×", float64(p50)/float64(median(floor))), "≤ 2.00 ms", p50 <= 2*time.Millisecond})
	b.table.add(row{"durable decisions, 64 writers", fmt.Sprintf("%.0f/s", rate), fmt.Sprintf("%.0f/s", 1/median(floor).Seconds()),
		fmt.Sprintf("%.1f×", rate*median(floor).Seconds()), "≥ 5000/s", rate >= 5000})
	return nil
}

// writeFloor is what the disk takes for one record: a write and an fdatasync, one after the other.
func writeFloor(path string) ([]time.Duration, error) {
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	record := make([]byte, 600)
	var took []time.Duration
	for begin := time.Now(); time.Since(begin) < time.Second; {
		at := time.Now()
		if _, err := f.Write(record); err != nil {
			return nil, err
		}
		if err := unix.Fdatasync(int(f.Fd())); err != nil {
			return nil, fmt.Errorf("fdatasync: %w", err)
		}
		took = append(took, time.Since(at))
	}
	return took, nil
}
