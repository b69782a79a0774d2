//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/bqgate/bqgate/e2e/fakegoogle"
	"github.com/bqgate/bqgate/internal/bigquery"
)

// retrying is a client that repeats its requests as the stock ones do: the same request, with the
// same requestId or job id, after what its library calls transient, until its own deadline.
// https://github.com/googleapis/google-cloud-python (bigquery/retry.py, _job_helpers.py)
type retrying struct {
	d      *demo
	http   *http.Client
	bearer string
	mu     sync.Mutex
	got    [][]byte
}

// patience is how long a query may take, retries included.
const patience = 60 * time.Second

func newRetrying(d *demo, persona string) *retrying { //nolint:unparam // who asks is said where the client is made
	return &retrying{d: d, http: &http.Client{Timeout: 30 * time.Second}, bearer: d.token(persona)}
}

// transient says of an answer whether the libraries send the request again.
func (a answer) transient(err error) bool {
	return err != nil || a.Status == 429 || a.Status >= 500 ||
		slices.ContainsFunc([]string{"rateLimitExceeded", "backendError", "internalError", "badGateway"}, func(reason string) bool {
			return bytes.Contains(a.Body, []byte(`"reason":"`+reason+`"`))
		})
}

// send sends a request until it is answered for good, or the context ends.
func (c *retrying) send(ctx context.Context, method, path string, body any) (a answer, err error) {
	pause := 50 * time.Millisecond
	for tries := 1; ; tries++ {
		a, err = c.once(ctx, method, path, body)
		if !a.transient(err) {
			return a, nil
		}
		select {
		case <-ctx.Done():
			return a, fmt.Errorf("%s %s, sent %d times, ends with %d %s: %w", method, path, tries, a.Status, a.Body, ctx.Err())
		case <-time.After(time.Duration(rand.Int64N(int64(pause)))):
		}
		pause = min(2*pause, 2*time.Second)
	}
}

func (c *retrying) once(ctx context.Context, method, path string, body any) (answer, error) {
	var text []byte
	if body != nil {
		var err error
		if text, err = json.Marshal(body); err != nil {
			return answer{}, err
		}
	}
	r, err := http.NewRequestWithContext(ctx, method, c.d.REST+"/bigquery/v2/projects/"+c.d.Project+path, bytes.NewReader(text))
	if err != nil {
		return answer{}, err
	}
	r.Header.Set("authorization", "Bearer "+c.bearer)
	if body != nil {
		r.Header.Set("content-type", "application/json")
	}
	resp, err := c.http.Do(r)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	all, err := io.ReadAll(resp.Body)
	c.mu.Lock()
	c.got = append(c.got, all)
	c.mu.Unlock()
	return answer{resp.StatusCode, resp.Header, all}, err
}

// keep gives what was got to the search for canaries.
func (c *retrying) keep() { c.d.got = append(c.d.got, c.got...) }

// byQuery is query_and_wait: jobs.query, then jobs.getQueryResults while it is not complete.
func (c *retrying) byQuery(ctx context.Context, sql, requestID string) (answer, error) {
	a, err := c.send(ctx, "POST", "/queries", map[string]any{"query": sql, "useLegacySql": false, "requestId": requestID})
	if err != nil || a.Status != 200 {
		return a, err
	}
	return c.results(ctx, a)
}

// byInsert is query().result(): jobs.insert, jobs.get where the job is there already, then the
// results.
func (c *retrying) byInsert(ctx context.Context, sql, jobID string) (answer, error) {
	a, err := c.send(ctx, "POST", "/jobs", map[string]any{
		"jobReference":  map[string]any{"projectId": c.d.Project, "jobId": jobID},
		"configuration": map[string]any{"query": map[string]any{"query": sql, "useLegacySql": false}},
	})
	if err == nil && a.Status == 409 {
		a, err = c.send(ctx, "GET", "/jobs/"+jobID+"?projection=full", nil)
	}
	if err != nil || a.Status != 200 {
		return a, err
	}
	a, err = c.send(ctx, "GET", "/queries/"+jobID+"?location=US", nil)
	if err != nil || a.Status != 200 {
		return a, err
	}
	return c.results(ctx, a)
}

// results asks for the results until the job is complete.
func (c *retrying) results(ctx context.Context, a answer) (answer, error) {
	for {
		var page struct {
			JobComplete  bool                  `json:"jobComplete"`
			JobReference bigquery.JobReference `json:"jobReference"`
		}
		if err := json.Unmarshal(a.Body, &page); err != nil {
			return a, fmt.Errorf("status %d, not JSON: %w", a.Status, err)
		}
		if page.JobComplete {
			return a, nil
		}
		var err error
		if a, err = c.send(ctx, "GET", "/queries/"+page.JobReference.JobID+"?location="+page.JobReference.Location, nil); err != nil ||
			a.Status != 200 {
			return a, err
		}
	}
}

// arm has the stand-in fail.
func (c *retrying) arm(ctx context.Context, f fakegoogle.Fault) error {
	text, err := json.Marshal(f)
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.d.Fake+"/_fake/faults", bytes.NewReader(text))
	if err != nil {
		return err
	}
	resp, err := c.http.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != 200 {
		return fmt.Errorf("arm %+v: status %d", f, resp.StatusCode)
	}
	return nil
}

// known asks the stand-in what it keeps.
func (d *demo) known(t *testing.T, what string, into any) {
	t.Helper()
	resp, err := http.Get(d.Fake + "/_fake/" + what)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(into); err != nil {
		t.Fatal(err)
	}
}

// struck is how many requests have met one of the armed faults.
func (d *demo) struck(t *testing.T) (n int) {
	t.Helper()
	var all struct {
		Faults []fakegoogle.Fault `json:"faults"`
	}
	d.known(t, "faults", &all)
	for _, f := range all.Faults {
		n += f.Struck
	}
	return n
}

// ran are all jobs that the stand-in ever started.
func (d *demo) ran(t *testing.T) []fakegoogle.JobRecord {
	t.Helper()
	var all struct {
		Jobs []fakegoogle.JobRecord `json:"jobs"`
	}
	d.known(t, "jobs", &all)
	return all.Jobs
}

// disarm takes all faults away.
func (d *demo) disarm(t *testing.T) {
	t.Helper()
	r, err := http.NewRequest(http.MethodDelete, d.Fake+"/_fake/faults", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
}
