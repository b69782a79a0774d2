package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/bqgate/bqgate/e2e/system"
	"golang.org/x/net/http2"
)

// requests come as fast as they are answered (A38, A39).
var requests = []flood{
	{"nobody", "16 callers without a credential",
		func(ctx context.Context, a attacker, t *tally, ready func()) error {
			ready()
			hammer(ctx, a, 16, func(ctx context.Context, c *api, _ int) {
				c.count(ctx, t, http.MethodGet, "/jobs/x", nil, "authorization", "")
			})
			return nil
		}},
	{"forged", "16 callers with tokens of 10 KB that nobody signed",
		func(ctx context.Context, a attacker, t *tally, ready func()) error {
			ready()
			part := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
			token := "Bearer " + part(`{"alg":"RS256","kid":"a"}`) + "." + part(`{"iss":"`+strings.Repeat("A", 7000)+`"}`) + ".eA"
			hammer(ctx, a, 16, func(ctx context.Context, c *api, _ int) {
				c.count(ctx, t, http.MethodGet, "/jobs/x", nil, "authorization", token)
			})
			return nil
		}},
	{"token-nothing", "16 callers who ask the token endpoint for nothing",
		func(ctx context.Context, a attacker, t *tally, ready func()) error {
			ready()
			repeat(ctx, t, http.MethodPost, "http://"+a.Token+"/v1/token", "x=1", "content-type", "application/x-www-form-urlencoded")
			return nil
		}},
	{"token-same", "16 callers who exchange one token again and again",
		func(ctx context.Context, a attacker, t *tally, ready func()) error {
			ready()
			crowd(ctx, 16, func(ctx context.Context, _ int) {
				client := oneConnection()
				for ctx.Err() == nil {
					if err := exchange(ctx, client, "http://"+a.Token+"/v1/token", a.JWT); err != nil {
						t.add(fmt.Sprintf("%.40s", err))
					} else {
						t.add("200")
					}
				}
			})
			return nil
		}},
	{"refused-text", "16 callers whose refused statements have 1 MB",
		func(ctx context.Context, a attacker, t *tally, ready func()) error {
			ready()
			hammer(ctx, a, 16, func(ctx context.Context, c *api, _ int) {
				c.count(ctx, t, http.MethodPost, "/queries", a.query("DROP TABLE crm.x -- "+noise(740_000)))
			})
			return nil
		}},
	{"broken-text", "16 callers whose 1 MB of text is no SQL",
		func(ctx context.Context, a attacker, t *tally, ready func()) error {
			ready()
			hammer(ctx, a, 16, func(ctx context.Context, c *api, _ int) {
				c.count(ctx, t, http.MethodPost, "/queries", a.query("SELEC '"+noise(740_000)+"'"))
			})
			return nil
		}},
	{"gzip-text", "16 callers whose 1 MB of text comes in 1 KB",
		func(ctx context.Context, a attacker, t *tally, ready func()) error {
			ready()
			var packed bytes.Buffer
			w := gzip.NewWriter(&packed)
			w.Write(a.query("DROP TABLE a -- " + strings.Repeat(" x", 480_000)))
			w.Close()
			hammer(ctx, a, 16, func(ctx context.Context, c *api, _ int) {
				c.count(ctx, t, http.MethodPost, "/queries", packed.Bytes(), "content-encoding", "gzip")
			})
			return nil
		}},
	{"same-page", "6 callers who read their own page of 9 MB again and again",
		func(ctx context.Context, a attacker, t *tally, ready func()) error {
			page, err := a.bigPage(ctx, "GENERATE_UUID() AS a, GENERATE_UUID() AS b, GENERATE_UUID() AS c, GENERATE_UUID() AS d")
			if err != nil {
				return err
			}
			ready()
			crowd(ctx, 6, func(ctx context.Context, _ int) {
				c := a.api(false)
				for ctx.Err() == nil {
					c.count(ctx, t, http.MethodGet, page, nil)
				}
			})
			return nil
		}},
	{"polls", "4,800 polls at once of one held query",
		func(ctx context.Context, a attacker, t *tally, ready func()) error {
			job := "held-by-nobody"
			if !a.Echo {
				var err error
				if job, err = a.hold(ctx, a.api(false), "-- one"); err != nil {
					return err
				}
			}
			ready()
			crowd(ctx, 40, func(ctx context.Context, _ int) {
				a.polls(ctx, t, "/queries/"+job, 120)
			})
			return nil
		}},
	{"unknown-tables", "16 callers, each query with a table of its own that is not there",
		func(ctx context.Context, a attacker, t *tally, ready func()) error {
			ready()
			begin := time.Now().UnixNano()
			hammer(ctx, a, 16, func(ctx context.Context, c *api, k int) {
				c.count(ctx, t, http.MethodPost, "/queries", a.query(fmt.Sprintf("SELECT 1 FROM crm.y%d_%d", begin, k)))
			})
			return nil
		}},
	{"many-tables", "4 callers, each query with 100 tables that are not there",
		func(ctx context.Context, a attacker, t *tally, ready func()) error {
			ready()
			begin := time.Now().UnixNano()
			hammer(ctx, a, 4, func(ctx context.Context, c *api, k int) {
				var names []string
				for i := range 100 {
					names = append(names, fmt.Sprintf("crm.z%d_%d_%d", begin, k, i))
				}
				c.count(ctx, t, http.MethodPost, "/queries", a.query("SELECT 1 FROM "+strings.Join(names, ",")))
			})
			return nil
		}},
	{"lists", "16 callers who list 60 jobs of theirs",
		func(ctx context.Context, a attacker, t *tally, ready func()) error {
			c := a.api(false)
			for i := range 60 {
				status, text, err := c.do(ctx, http.MethodPost, "/queries", a.query(fmt.Sprintf("SELECT %d", i)))
				if err != nil || status != http.StatusOK {
					return fmt.Errorf("a query of the list was answered by %d %.200s, %w", status, text, err)
				}
			}
			ready()
			hammer(ctx, a, 16, func(ctx context.Context, c *api, _ int) { c.count(ctx, t, http.MethodGet, "/jobs?maxResults=100", nil) })
			return nil
		}},
}

// hammer lets n callers ask, each on a connection of its own. What they ask bqgate refuses, or
// answers by itself, so that the echo does not send it on.
func hammer(ctx context.Context, a attacker, n int, one func(ctx context.Context, c *api, k int)) {
	crowd(ctx, n, func(ctx context.Context, i int) {
		c := a.api(true)
		for k := i; ctx.Err() == nil; k += n {
			one(ctx, c, k)
		}
	})
}

// repeat lets 16 callers send one request again and again, to what is not the data path.
func repeat(ctx context.Context, t *tally, method, url, body, header, value string) {
	crowd(ctx, 16, func(ctx context.Context, _ int) {
		client := oneConnection()
		for ctx.Err() == nil {
			req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
			if err != nil {
				t.add(err.Error())
				return
			}
			req.Header.Set(header, value)
			resp, err := client.Do(req)
			if ctx.Err() != nil {
				return
			}
			if err != nil {
				t.add(system.Shortened(err).Error())
				wait(ctx, 10*time.Millisecond)
				continue
			}
			io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
			t.add(fmt.Sprint(resp.StatusCode))
		}
	})
}

// noise is text that no compression makes smaller.
func noise(n int) string {
	b := make([]byte, n)
	rand.Read(b)
	return base64.StdEncoding.EncodeToString(b)
}

// hold makes a query that waits for a person, and returns its job id.
func (a attacker) hold(ctx context.Context, c *api, comment string) (string, error) {
	id := fmt.Sprintf("flood_%d", time.Now().UnixNano())
	status, text, err := c.do(ctx, http.MethodPost, "/jobs", a.heldJob(id, comment))
	if err != nil || status != http.StatusOK {
		return "", fmt.Errorf("a query that is to be held was answered by %d %.200s, %w", status, text, err)
	}
	return id, nil
}

func (a attacker) heldJob(id, value string) []byte {
	body, _ := json.Marshal(map[string]any{ // a map of strings encodes
		"jobReference": map[string]any{"projectId": a.Project, "jobId": id},
		"configuration": map[string]any{"query": map[string]any{
			"query": "SELECT employee FROM finance.payroll WHERE @a <> ''", "useLegacySql": false, "parameterMode": "NAMED",
			"queryParameters": []any{map[string]any{"name": "a", "parameterType": map[string]any{"type": "STRING"},
				"parameterValue": map[string]any{"value": value}}},
		}},
	})
	return body
}

// polls keeps n polls open on one HTTP/2 connection.
func (a attacker) polls(ctx context.Context, t *tally, path string, n int) {
	a.converse(ctx, t, path, n, func(h *http2conn, f http2.Frame) {
		ended := false
		switch f := f.(type) {
		case *http2.MetaHeadersFrame:
			t.add(f.PseudoValue("status"))
			ended = f.StreamEnded()
		case *http2.DataFrame:
			if k := len(f.Data()); k > 0 {
				h.WriteWindowUpdate(0, uint32(k))
			}
			ended = f.StreamEnded()
		case *http2.RSTStreamFrame:
			t.add("streams reset")
			ended = true
		}
		if ended {
			h.ask()
		}
	})
}
