package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bqgate/bqgate/e2e/system"
)

// pause is how long an honest caller waits between two queries.
const pause = 5 * time.Second

// patience is how long an honest caller waits for an answer. What takes longer is an error.
const patience = 30 * time.Second

// door is one of the two ways to BigQuery that are compared.
type door struct {
	name    string
	rest    string   // URL of the listener
	restTLS string   // and of the one that speaks TLS
	token   string   // URL of the token endpoint
	console string   // URL of the console, "" where there is none
	bearers []string // of the honest callers
	jwts    []string // what they exchange
}

// caller is one honest agent.
type caller struct {
	door   door
	path   string
	bearer string
	client *http.Client
}

// experience is what honest callers met in a time.
type experience struct {
	mu     sync.Mutex
	took   []time.Duration
	asked  int
	errors map[string]int // by what was wrong
}

func (e *experience) add(took time.Duration, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.asked++
	if err == nil {
		e.took = append(e.took, took)
		return
	}
	if e.errors == nil {
		e.errors = map[string]int{}
	}
	e.errors[err.Error()]++
}

// failed is how many requests were not served.
func (e *experience) failed() (n int) {
	for _, k := range e.errors {
		n += k
	}
	return n
}

// worst is the most frequent thing that went wrong.
func (e *experience) worst() string {
	var most string
	for what, k := range e.errors {
		if most == "" || k > e.errors[most] {
			most = what
		}
	}
	return most
}

func (e *experience) percentile(p float64) time.Duration {
	if len(e.took) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(e.took))
	return sorted[min(int(p/100*float64(len(sorted))), len(sorted)-1)]
}

// texts is how many queries the gateway knows after a while; every fourth query is a new one. The
// stand-in takes 20 ms for each, which would be quick for BigQuery.
const texts = 64

var serial atomic.Int64

func sqlText(n int64) string {
	if n%4 == 0 {
		return fmt.Sprintf("SELECT name, %d FROM crm.customers LIMIT 1 -- fake:delay=20ms", n+time.Now().UnixNano())
	}
	return fmt.Sprintf("SELECT name, %d FROM crm.customers LIMIT 1 -- fake:delay=20ms", n%texts)
}

// steady lets all honest callers ask for a time, one after the other at even distances, and returns
// what they met.
func (n *neighbourhood) steady(ctx context.Context, d door, length time.Duration) *experience {
	var e experience
	var all sync.WaitGroup
	callers := len(d.bearers)
	end := time.Now().Add(length)
	for i := range callers {
		// Every second one keeps its connection, the others come anew each time, as commands do.
		c := caller{door: d, path: n.Queries(), bearer: d.bearers[i], client: &http.Client{
			Timeout: patience, Transport: &http.Transport{DisableKeepAlives: i%2 == 1, DisableCompression: true},
		}}
		first := time.Duration(i) * pause / time.Duration(callers)
		all.Go(func() {
			defer c.client.CloseIdleConnections()
			wait(ctx, first)
			for next := time.Now(); next.Before(end) && ctx.Err() == nil; {
				begin := time.Now()
				e.add(timed(begin, c.ask(ctx)))
				next = next.Add(pause)
				wait(ctx, time.Until(next))
			}
		})
	}
	if d.console != "" { // the gateway's own services beside its queries
		all.Go(func() { n.exchanges(ctx, d, end, &e) })
	}
	all.Wait()
	return &e
}

func timed(begin time.Time, err error) (time.Duration, error) { return time.Since(begin), err }

// exchanges asks for a session each half second, as agents do that begin.
func (n *neighbourhood) exchanges(ctx context.Context, d door, end time.Time, e *experience) {
	client := &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	for i := 0; time.Now().Before(end) && ctx.Err() == nil; i++ {
		err := exchange(ctx, client, d.token, d.jwts[i%len(d.jwts)])
		if err != nil {
			e.add(0, fmt.Errorf("token: %w", err))
		}
		wait(ctx, 500*time.Millisecond)
	}
}

func (c *caller) ask(ctx context.Context) error {
	body, err := json.Marshal(map[string]any{"query": sqlText(serial.Add(1)), "useLegacySql": false,
		"requestId": fmt.Sprintf("honest-%d-%d", time.Now().UnixNano(), serial.Load())})
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.door.rest+c.path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("content-type", "application/json")
	req.Header.Set("authorization", "Bearer "+c.bearer)
	resp, err := c.client.Do(req)
	if err != nil {
		return system.Shortened(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	switch {
	case err != nil:
		return system.Shortened(err)
	case resp.StatusCode != http.StatusOK:
		return fmt.Errorf("%d: %.160s", resp.StatusCode, message(text))
	case !bytes.Contains(text, []byte(`"jobComplete":true`)):
		return fmt.Errorf("not complete: %.120s", text)
	}
	return nil
}

// message is the message of an error of BigQuery's, or the text.
func message(text []byte) string {
	var e struct {
		Error struct {
			Message string `json:"message"`
		} `json:"error"`
	}
	if json.Unmarshal(text, &e) == nil && e.Error.Message != "" {
		line, _, _ := bytes.Cut([]byte(e.Error.Message), []byte("\nDecision"))
		return string(line)
	}
	return string(text)
}

// wait waits, or until ctx ends.
func wait(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
