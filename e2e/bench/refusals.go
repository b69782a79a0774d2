package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bqgate/bqgate/e2e/system"
)

const (
	refusalCallers = 16
	refusalRounds  = 4
	refusalWindow  = 3 * time.Second
)

// refusals is how many statements a second are refused to 16 callers through Envoy, each decision
// in the journal, beside an ext_authz that refuses from memory. The two take turns.
func refusals(ctx context.Context, b *bench) error {
	if err := b.up(ctx); err != nil {
		return err
	}
	bearers := make([]string, refusalCallers)
	for i := range bearers {
		var err error
		if bearers[i], err = b.Mint(ctx, fmt.Sprintf("refused-%d@bench.example", i)); err != nil {
			return err
		}
	}
	body, err := json.Marshal(map[string]any{"query": "SELECT employee, note FROM hr.reviews WHERE employee = 'x'", "useLegacySql": false})
	if err != nil {
		return err
	}
	count := func(url, header string) (float64, error) {
		var done atomic.Int64
		var failed atomic.Pointer[error]
		var all sync.WaitGroup
		begin := time.Now()
		for _, bearer := range bearers {
			all.Go(func() {
				client := &http.Client{Transport: &http.Transport{MaxConnsPerHost: 1, DisableCompression: true}}
				defer client.CloseIdleConnections()
				for time.Since(begin) < refusalWindow {
					if err := refusedOnce(ctx, client, url, bearer, header, body); err != nil {
						failed.Store(&err)
						return
					}
					done.Add(1)
				}
			})
		}
		all.Wait()
		if err := failed.Load(); err != nil {
			return 0, *err
		}
		return float64(done.Load()) / time.Since(begin).Seconds(), nil
	}
	var bqgate, echo float64
	var cpu time.Duration
	for range refusalRounds {
		before, err := system.CPUTime(b.Info.PIDs["bqgate"])
		if err != nil {
			return err
		}
		n, err := count(b.Info.REST+b.Queries(), "")
		if err != nil {
			return err
		}
		after, err := system.CPUTime(b.Info.PIDs["bqgate"])
		if err != nil {
			return err
		}
		cpu += time.Duration(float64(after-before) / (n * refusalWindow.Seconds()))
		bqgate += n
		if n, err = count(b.Echo.URL+b.Queries(), system.RefuseHeader); err != nil {
			return fmt.Errorf("echo: %w", err)
		}
		echo += n
	}
	b.table.add(row{"refused decisions at 16 callers, journal on", fmt.Sprintf("%.0f/s", bqgate/refusalRounds),
		fmt.Sprintf("%.0f/s", echo/refusalRounds), fmt.Sprintf("%.2f×", bqgate/echo), "≥ 1.00×", bqgate >= echo})
	b.table.note("CPU of bqgate for each", ms(cpu/refusalRounds), "")
	return nil
}

func refusedOnce(ctx context.Context, client *http.Client, url, bearer, header string, body []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("content-type", "application/json")
	req.Header.Set("authorization", "Bearer "+bearer)
	if header != "" {
		req.Header.Set(header, "1")
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusForbidden {
		err = fmt.Errorf("a statement that is refused was answered by %d %.200s", resp.StatusCode, text)
	}
	return err
}
