package main

import (
	"context"
	"fmt"
	"time"

	"github.com/bqgate/bqgate/e2e/system"
)

// A download is of whole customers, of whose columns three are masked for the analyst.
func wideQuery(rows int64) string {
	return fmt.Sprintf("SELECT id, name, email, ssn, card_number, address, phones, created FROM crm.customers -- fake:rows=%d", rows)
}

// sized is the wide query whose answer has about so many bytes.
func (b *bench) sized(ctx context.Context, bytes int64) (*pair, error) {
	const sample = 10_000
	bearer, err := b.Token("analyst")
	if err != nil {
		return nil, err
	}
	n, err := b.Ask(ctx, bearer, wideQuery(sample), nil)
	if err != nil {
		return nil, err
	}
	return &pair{b: b, bearer: bearer, sql: wideQuery(bytes * sample / n)}, nil
}

// downloads is the masked download beside the same one through the echo.
func downloads(ctx context.Context, b *bench) error {
	if err := b.up(ctx); err != nil {
		return err
	}
	p, err := b.sized(ctx, b.download)
	if err != nil {
		return err
	}
	if p, err = b.pair(ctx, p.sql); err != nil {
		return err
	}
	log, err := b.openLog()
	if err != nil {
		return err
	}
	var masked, echoed []time.Duration
	var bytes, raw int64
	for range b.rounds {
		begin := time.Now()
		if bytes, err = p.bqgate(ctx); err != nil {
			return err
		}
		between := time.Now()
		if raw, err = p.echo(ctx); err != nil {
			return fmt.Errorf("echo: %w", err)
		}
		masked, echoed = append(masked, between.Sub(begin)), append(echoed, time.Since(between))
	}
	// What arrives upstream of both is the same, so the speed is that of the raw bytes.
	ratio := float64(median(echoed)) / float64(median(masked))
	b.table.add(row{
		fmt.Sprintf("masked JSON download of %.0f MB, full recording", float64(raw)/1e6), speed(raw, median(masked)),
		speed(raw, median(echoed)), fmt.Sprintf("%.2f×", ratio), "≥ 0.40×", ratio >= 0.4,
	})
	b.table.note("bytes that the client gets", mebibytes(bytes), mebibytes(raw))
	lines, err := log.lines()
	if err != nil {
		return err
	}
	for _, s := range stepMedians(lines, "answer") {
		b.table.note("ext_proc: "+s.name, ms(s.took), "")
	}
	return nil
}

// watch samples the resident memory of a process until stop is called, which returns the largest.
func watch(pid int) (stop func() int64) {
	end, most := make(chan struct{}), make(chan int64)
	go func() {
		var highest int64
		for {
			if n, err := system.Resident(pid); err == nil && n > highest {
				highest = n
			}
			select {
			case <-end:
				most <- highest
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	}()
	return func() int64 { close(end); return <-most }
}

// memory is how much `bqgate serve` grows while a large answer streams through it.
func memory(ctx context.Context, b *bench) error {
	if err := b.up(ctx); err != nil {
		return err
	}
	p, err := b.sized(ctx, b.stream)
	if err != nil {
		return err
	}
	before, err := system.Resident(b.Info.PIDs["bqgate"])
	if err != nil {
		return err
	}
	stop, stopEnvoy := watch(b.Info.PIDs["bqgate"]), watch(b.Info.PIDs["envoy"])
	begin := time.Now()
	n, err := p.bqgate(ctx)
	took, most, envoy := time.Since(begin), stop(), stopEnvoy()
	if err != nil {
		return err
	}
	growth := most - before
	b.table.add(row{
		fmt.Sprintf("memory growth while %.0f MB stream through", float64(n)/1e6), mebibytes(growth), "at rest " + mebibytes(before), "",
		"≤ 64.0 MiB", growth <= 64<<20,
	})
	b.table.note("speed; Envoy's largest resident memory", speed(n, took), mebibytes(envoy))
	return nil
}
