package soak

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/bqgate/bqgate/e2e/system"
)

// caller is one agent.
type caller struct {
	s       *Soak
	subject string
	random  *rand.Rand
	client  *http.Client
	first   time.Duration // until it begins

	bearer string
	minted time.Time
}

const (
	tokenTTL   = 55 * time.Minute
	tokenFresh = 25 * time.Minute
)

// callers makes the agents with their tokens.
func (s *Soak) callers(ctx context.Context) ([]*caller, error) {
	var all []*caller
	for i := range s.Callers {
		c := &caller{
			s: s, subject: fmt.Sprintf("soak-%d@agents.example", i),
			first:  time.Duration(i) * s.Pause / time.Duration(s.Callers),
			random: rand.New(rand.NewPCG(s.Seed, uint64(i)+1)),
			// Every second one keeps its connections, the others come anew, as commands do.
			client: &http.Client{Timeout: 2 * hang, Transport: &http.Transport{
				DialContext: s.conns.dial, DisableKeepAlives: i%2 == 1, DisableCompression: true, MaxIdleConnsPerHost: 2,
			}},
		}
		if err := c.login(ctx); err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	return all, nil
}

// login gets a token from the issuer, which is outside of the load.
func (c *caller) login(ctx context.Context) error {
	body, err := json.Marshal(map[string]any{"subject": c.subject, "groups": []string{"ai-agents"}, "ttl_seconds": int(tokenTTL.Seconds()),
		"claims": map[string]string{"email": c.subject}})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.s.Info.Issuer+"/mint", bytes.NewReader(body))
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	var out struct {
		Token string `json:"token"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&out); err != nil {
		return fmt.Errorf("mint a token: status %d, %w", resp.StatusCode, err)
	}
	c.bearer, c.minted = out.Token, time.Now()
	return nil
}

// live asks until ctx ends.
func (c *caller) live(ctx context.Context) {
	defer c.client.CloseIdleConnections()
	pause(ctx, c.first)
	for next := time.Now(); ctx.Err() == nil; pause(ctx, time.Until(next)) {
		if time.Since(c.minted) > tokenFresh {
			c.login(ctx)
		}
		pick(c.random).do(ctx, c)
		next = next.Add(c.s.Pause)
		if late := time.Now(); next.Before(late) {
			next = late
		}
	}
}

// request is one that a caller makes.
type request struct {
	action string
	method string
	url    string // absolute, or a path below projects/PROJECT
	bearer string // "" for the caller's token
	body   any    // JSON, or url.Values
	want   int    // status; 0 for any below 500
	leave  int    // the client goes away after so many bytes, if above 0
	mild   bool   // the answer need not be in the journal: the gateway gives it without a record of its own
}

var serial atomic.Int64

// ask makes a request and notes what came of it.
func (c *caller) ask(ctx context.Context, r request) (answer, bool) {
	a := answer{action: r.action, subject: c.subject, begin: time.Now(), recorded: !r.mild && strings.HasPrefix(r.url, "/")}
	c.send(ctx, r, &a)
	a.end = time.Now()
	if r.want != 0 && a.err == nil && a.status != r.want && a.status < 500 {
		a.wrong = fmt.Sprintf("%d %s, not %d", a.status, said(a.body), r.want)
	}
	if ctx.Err() != nil {
		a.left = true
	}
	c.s.notes.take(a)
	return a, a.err == nil && !a.left && a.wrong == "" && a.status < 400
}

func (c *caller) send(ctx context.Context, r request, a *answer) {
	target, kind := r.url, "application/json"
	if strings.HasPrefix(target, "/") {
		target = c.s.Info.REST + "/bigquery/v2/projects/" + c.s.Info.Project + target
	}
	var body io.Reader
	switch b := r.body.(type) {
	case nil:
	case url.Values:
		kind, body = "application/x-www-form-urlencoded", strings.NewReader(b.Encode())
	default:
		text, err := json.Marshal(b)
		if err != nil {
			a.err = err
			return
		}
		body = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, r.method, target, body)
	if err != nil {
		a.err = err
		return
	}
	if body != nil {
		req.Header.Set("content-type", kind)
	}
	switch {
	case kind != "application/json": // the token endpoint takes no other credential
	case r.bearer != "":
		req.Header.Set("authorization", "Bearer "+r.bearer)
	default:
		req.Header.Set("authorization", "Bearer "+c.bearer)
	}
	resp, err := c.client.Do(req)
	if err != nil {
		a.err = system.Shortened(err)
		return
	}
	defer resp.Body.Close()
	a.status, a.header = resp.StatusCode, resp.Header
	if r.leave > 0 {
		a.body, a.err = io.ReadAll(io.LimitReader(resp.Body, int64(r.leave)))
		a.left = len(a.body) == r.leave
	} else {
		a.body, a.err = io.ReadAll(resp.Body)
	}
	if a.err != nil {
		a.err = system.Shortened(a.err)
	}
}

// well waits until a query that the gateway has not seen passes, on a connection of its own, and
// the console lists requests.
func (s *Soak) well(ctx context.Context, patience time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	last := errors.New("it was not asked")
	for ctx.Err() == nil {
		one, end := context.WithTimeout(ctx, 15*time.Second) // the machine may be busy with others
		err := s.probe(one)
		end()
		if err == nil {
			return nil
		}
		if ctx.Err() == nil {
			last = err
		}
		pause(ctx, 100*time.Millisecond)
	}
	return fmt.Errorf("it is not well again after %s: %w", patience, last)
}

func (s *Soak) probe(ctx context.Context) error {
	body := fmt.Sprintf(`{"query": "SELECT id, ssn FROM crm.customers LIMIT 3 -- well %d", "useLegacySql": false}`, serial.Add(1))
	for _, r := range []struct{ method, url, token, body, want string }{
		{http.MethodPost, s.Info.REST + s.Queries(), s.Info.Personas["agent"].TokenFile, body, `"rows"`},
		{http.MethodGet, s.Info.Console + "/api/v1/requests?state=pending", s.Info.Personas["reviewer"].ConsoleTokenFile, "", `"requests"`},
	} {
		token, err := os.ReadFile(r.token)
		if err != nil {
			return err
		}
		req, err := http.NewRequestWithContext(ctx, r.method, r.url, strings.NewReader(r.body))
		if err != nil {
			return err
		}
		req.Header.Set("content-type", "application/json")
		req.Header.Set("authorization", "Bearer "+strings.TrimSpace(string(token)))
		resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
		if err != nil {
			return err
		}
		text, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		for _, found := range s.looked.In(text) {
			s.notes.find("%s in an answer of %s", found, r.url)
		}
		if err != nil || resp.StatusCode != http.StatusOK || !bytes.Contains(text, []byte(r.want)) {
			return errors.Join(err, fmt.Errorf("%s: %d %s", r.url, resp.StatusCode, said(text)))
		}
	}
	return nil
}
