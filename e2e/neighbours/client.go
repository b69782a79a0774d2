package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/bqgate/bqgate/e2e/system"
)

// exchange asks the token endpoint for a session (RFC 8693).
func exchange(ctx context.Context, client *http.Client, endpoint, token string) error {
	form := url.Values{
		"grant_type":         {"urn:ietf:params:oauth:grant-type:token-exchange"},
		"subject_token_type": {"urn:ietf:params:oauth:token-type:jwt"},
		"subject_token":      {token},
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, strings.NewReader(form.Encode()))
	if err != nil {
		return err
	}
	req.Header.Set("content-type", "application/x-www-form-urlencoded")
	resp, err := client.Do(req)
	if err != nil {
		return system.Shortened(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return system.Shortened(err)
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%d: %.160s", resp.StatusCode, text)
	}
	return nil
}

// api is an attacker's way to the data path, on one connection.
type api struct {
	attacker
	client *http.Client
	refuse bool // at the echo: be refused, since bqgate refuses this
}

func (a attacker) api(refuse bool) *api {
	return &api{a, oneConnection(), refuse}
}

// oneConnection is a client that keeps to one connection.
func oneConnection() *http.Client {
	return &http.Client{Timeout: patience, Transport: &http.Transport{MaxConnsPerHost: 1, MaxIdleConnsPerHost: 1, DisableCompression: true}}
}

// do sends one request, and returns the status and the answer.
func (c *api) do(ctx context.Context, method, path string, body []byte, header ...string) (int, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://"+c.REST+"/bigquery/v2/projects/"+c.Project+path, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	if len(body) > 0 {
		req.Header.Set("content-type", "application/json")
	}
	req.Header.Set("authorization", "Bearer "+c.Bearer)
	for i := 0; i < len(header); i += 2 {
		if header[i+1] == "" {
			req.Header.Del(header[i])
		} else {
			req.Header.Set(header[i], header[i+1])
		}
	}
	if c.refuse && c.Echo {
		req.Header.Set(system.RefuseHeader, "1")
	}
	resp, err := c.client.Do(req)
	if err != nil {
		return 0, nil, system.Shortened(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return resp.StatusCode, text, err
}

// count does one request and counts its status.
func (c *api) count(ctx context.Context, t *tally, method, path string, body []byte, header ...string) {
	status, _, err := c.do(ctx, method, path, body, header...)
	switch {
	case ctx.Err() != nil:
	case err != nil:
		t.add(err.Error())
		wait(ctx, 10*time.Millisecond) // what is refused at once costs the attacker more than the gateway
	default:
		t.add(fmt.Sprint(status))
	}
}

func (a attacker) query(sql string) []byte {
	body, _ := json.Marshal(map[string]any{"query": sql, "useLegacySql": false}) // a map of strings encodes
	return body
}

// bigPage makes a result of about nine megabytes, and returns the path of the page.
func (a attacker) bigPage(ctx context.Context, columns string) (string, error) {
	status, text, err := a.api(false).do(ctx, http.MethodPost, "/queries",
		a.query("SELECT x, "+columns+" FROM UNNEST(GENERATE_ARRAY(1, 40000)) AS x"))
	if err != nil {
		return "", err
	}
	var answer struct {
		JobReference struct {
			JobID string `json:"jobId"`
		} `json:"jobReference"`
	}
	if err := json.Unmarshal(text, &answer); err != nil || status != http.StatusOK || answer.JobReference.JobID == "" {
		return "", fmt.Errorf("the query for the big page was answered by %d %.200s", status, text)
	}
	return "/queries/" + answer.JobReference.JobID + "?maxResults=100000", nil
}

const wide = "REPEAT('z', 200) AS pad"

// request is the start of a request as it goes over the wire, with no body.
func (a attacker) request(method, path string) []byte {
	return fmt.Appendf(nil, "%s /bigquery/v2/projects/%s%s HTTP/1.1\r\nHost: neighbours\r\nAuthorization: Bearer %s\r\n\r\n",
		method, a.Project, path, a.Bearer)
}
