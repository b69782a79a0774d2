// Package client asks the approval HTTP endpoint, for reviewers who work in a terminal and for
// scripts.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/bqgate/bqgate/internal/approvals"
)

// Client asks one endpoint as one reviewer.
type Client struct {
	base      *url.URL
	tokenFile string
	http      *http.Client
}

// New makes a client for a console ("https://bqgate.internal.example"). The token file holds the
// reviewer's OIDC token for the console's audience; it is read for each request, so that something
// else may keep it fresh. Plain HTTP is taken on loopback only: the token passes here.
func New(console, tokenFile string) (*Client, error) {
	base, err := url.Parse(strings.TrimSuffix(console, "/"))
	if err != nil {
		return nil, fmt.Errorf("console %q: %w", console, err)
	}
	switch {
	case base.Host == "" || base.Scheme != "https" && base.Scheme != "http" || base.RawQuery != "" || base.Fragment != "" ||
		base.User != nil:
		return nil, fmt.Errorf("console %q: want a URL such as https://bqgate.internal.example", console)
	case base.Scheme == "http" && !loopback(base.Hostname()):
		return nil, fmt.Errorf("console %q: your token would pass in the clear; plain http is for loopback only", console)
	}
	return &Client{base, tokenFile, &http.Client{
		Timeout: 30 * time.Second,
		// The endpoint never redirects, and a token must not follow one.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// Error is a refusal of the endpoint, in its own words.
type Error struct {
	Status  int
	Reason  string // a word for programs: "alreadyDecided", "ownRequest" …
	Message string
}

func (e *Error) Error() string { return e.Message }

// List returns the requests of a state that the reviewer may see, all of them if state is "". More
// says that older ones were left out: it reads one page after another, for some 1,000 requests.
func (c *Client) List(ctx context.Context, state string) (requests []approvals.Request, more bool, err error) {
	after := ""
	for len(requests) < listed {
		var out struct {
			Requests []approvals.Request `json:"requests"`
			More     bool                `json:"more"`
			Next     string              `json:"next"`
		}
		query := url.Values{}
		if state != "" {
			query.Set("state", state)
		}
		if after != "" {
			query.Set("after", after)
		}
		path := "/api/v1/requests"
		if len(query) > 0 {
			path += "?" + query.Encode()
		}
		if err := c.call(ctx, http.MethodGet, path, nil, &out); err != nil {
			return nil, false, err
		}
		requests, more = append(requests, out.Requests...), out.More
		if !out.More || out.Next == "" || out.Next == after {
			break
		}
		after = out.Next
	}
	return requests, more, nil
}

// listed is how many requests List returns at least, where there are as many.
const listed = 1000

func (c *Client) list(ctx context.Context, path, state string, into any) error {
	if state != "" {
		path += "?state=" + url.QueryEscape(state)
	}
	return c.call(ctx, http.MethodGet, path, nil, into)
}

// Get returns one request.
func (c *Client) Get(ctx context.Context, id string) (r approvals.Request, err error) {
	return r, c.call(ctx, http.MethodGet, "/api/v1/requests/"+url.PathEscape(id), nil, &r)
}

// Vote approves or denies a request and returns what became of it. Terms make an approval stand
// for several runs; zero ones are left out.
func (c *Client) Vote(ctx context.Context, id string, choice approvals.Choice, reason string,
	terms approvals.Terms) (r approvals.Request, err error) {
	return r, c.post(ctx, "/api/v1/requests/"+url.PathEscape(id)+"/"+string(choice), reason, terms, &r)
}

// Grants returns the approvals of a state that the reviewer may see, all of them if state is "".
// More says that older ones were left out.
func (c *Client) Grants(ctx context.Context, state string) (grants []approvals.Grant, more bool, err error) {
	var out struct {
		Grants []approvals.Grant `json:"grants"`
		More   bool              `json:"more"`
	}
	err = c.list(ctx, "/api/v1/grants", state, &out)
	return out.Grants, out.More, err
}

// Revoke takes an approval back, by the id of its request, and returns what is left of it.
func (c *Client) Revoke(ctx context.Context, id, reason string) (g approvals.Grant, err error) {
	return g, c.post(ctx, "/api/v1/grants/"+url.PathEscape(id)+"/revoke", reason, approvals.Terms{}, &g)
}

func (c *Client) post(ctx context.Context, path, reason string, terms approvals.Terms, into any) error {
	in := map[string]any{"reason": reason}
	if terms.Uses != 0 {
		in["uses"] = terms.Uses
	}
	if terms.Hours != 0 {
		in["hours"] = terms.Hours
	}
	body, err := json.Marshal(in)
	if err != nil {
		return fmt.Errorf("encode reason: %w", err)
	}
	return c.call(ctx, http.MethodPost, path, body, into)
}

// maxAnswer bounds what is read of an answer: a list of requests with SQL of up to a megabyte each.
const maxAnswer = 256 << 20

func (c *Client) call(ctx context.Context, method, path string, body []byte, into any) error {
	token, err := os.ReadFile(c.tokenFile)
	if err != nil {
		return fmt.Errorf("read token: %w", err)
	}
	bearer := strings.TrimSpace(string(token))
	if bearer == "" || strings.ContainsAny(bearer, " \t\r\n") {
		return fmt.Errorf("%s holds no token: want one OIDC token for the console's audience", c.tokenFile)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base.String()+path, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("ask %s: %w", c.base.Host, err)
	}
	req.Header.Set("Authorization", "Bearer "+bearer)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return fmt.Errorf("ask the console: %w", err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil:
		return fmt.Errorf("read the console's answer: %w", err)
	case len(text) > maxAnswer:
		return errors.New("the console's answer is too large")
	case resp.StatusCode != http.StatusOK:
		return refusal(resp.StatusCode, text)
	}
	if err := json.Unmarshal(text, into); err != nil {
		return fmt.Errorf("%s answered something else than the approval endpoint does: %w", c.base.Host, err)
	}
	return nil
}

func refusal(status int, text []byte) error {
	var body struct {
		Error struct {
			Message string `json:"message"`
			Reason  string `json:"reason"`
		} `json:"error"`
	}
	if err := json.Unmarshal(text, &body); err != nil || body.Error.Message == "" {
		return &Error{Status: status, Message: fmt.Sprintf("the console answered %d %s without words; is this the URL of a bqgate console?",
			status, http.StatusText(status))}
	}
	return &Error{Status: status, Reason: body.Error.Reason, Message: body.Error.Message}
}
