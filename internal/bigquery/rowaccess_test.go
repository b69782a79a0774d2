package bigquery

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bqgate/bqgate/internal/durable"
)

// rowPolicy is a RowAccessPolicy as BigQuery answers it.
func rowPolicy(table string) string {
	return fmt.Sprintf(`{"etag":"e","rowAccessPolicyReference":{"projectId":"demo","datasetId":"crm","tableId":%q,"policyId":"apac"},`+
		`"filterPredicate":"region = '%s'","creationTime":"x"}`, table, canary)
}

func TestClientRowAccess(t *testing.T) {
	id := TableID{"demo", "crm", "t 1"}
	has := `{"rowAccessPolicies":[` + rowPolicy("t 1") + `]}`
	for name, c := range map[string]struct {
		server server
		want   RowAccess
		is     error // nil where want is set: any error
	}{
		"none":          {server{status: 200, body: `{}`}, RowAccessNone, nil},
		"an empty list": {server{status: 200, body: `{"rowAccessPolicies":[]}`}, RowAccessNone, nil},
		"one":           {server{status: 200, body: has}, RowAccessPolicies, nil},
		"one of more": {server{status: 200, body: strings.Replace(has, `]}`, `],"nextPageToken":"x"}`, 1)}, RowAccessPolicies,
			nil},
		"not found": {server{status: 404, body: `{"error":{"errors":[{"reason":"notFound"}]}}`}, "", ErrNotFound},
		"denied": {server{status: 403, body: `{"error":{"message":"` + canary + `",` +
			`"errors":[{"reason":"accessDenied"}]}}`}, "", ErrRowAccessDenied},
		"too many requests":        {server{status: 403, body: `{"error":{"errors":[{"reason":"rateLimitExceeded"}]}}`}, "", nil},
		"no body":                  {server{status: 200}, "", nil},
		"null":                     {server{status: 200, body: `null`}, "", errNoRowAccessList},
		"a list":                   {server{status: 200, body: `[` + rowPolicy("t 1") + `]`}, "", errNoRowAccessList},
		"text":                     {server{status: 200, body: `"` + canary + `"`}, "", errNoRowAccessList},
		"broken off":               {server{status: 200, body: has[:len(has)-3]}, "", nil},
		"something behind":         {server{status: 200, body: `{} {}`}, "", nil},
		"a member that is unknown": {server{status: 200, body: `{"unreachable":["` + canary + `"]}`}, "", errNoRowAccessList},
		"a member twice": {server{status: 200, body: `{"rowAccessPolicies":[` + rowPolicy("t 1") + `],"rowAccessPolicies":[]}`},
			"", errNoRowAccessList},
		"other case of letters":   {server{status: 200, body: `{"RowAccessPolicies":[` + rowPolicy("t 1") + `]}`}, "", errNoRowAccessList},
		"no list":                 {server{status: 200, body: `{"rowAccessPolicies":{"a":"` + canary + `"}}`}, "", errNoRowAccessList},
		"a token of another type": {server{status: 200, body: `{"nextPageToken":7}`}, "", errNoRowAccessList},
		"no policy":               {server{status: 200, body: `{"rowAccessPolicies":["` + canary + `"]}`}, "", errNoRowAccessList},
		"of another table":        {server{status: 200, body: `{"rowAccessPolicies":[` + rowPolicy("t2") + `]}`}, "", errNoRowAccessList},
		"an error":                {server{status: 500, body: canary}, "", nil},
		"too long":                {server{status: 200, body: `{"nextPageToken":"` + strings.Repeat("x", maxAnswer) + `"}`}, "", nil},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second) // a fault that passes is waited out
			defer cancel()
			got, err := start(t, &c.server).RowAccess(ctx, decided(t), id)
			if got != c.want || (err == nil) != (c.want != "") || c.is != nil && !errors.Is(err, c.is) {
				t.Errorf("%q, %v", got, err)
			}
			if c.is == nil && (errors.Is(err, ErrRowAccessDenied) || errors.Is(err, ErrNotFound)) {
				t.Errorf("taken for another error: %v", err)
			}
			if strings.Contains(fmt.Sprintf("%v %+v %#v", err, err, err), canary) && !errors.As(err, new(*APIError)) || err != nil &&
				strings.Contains(err.Error(), canary) {
				t.Errorf("a policy's text is in the error: %v", err)
			}
			again := slices.Contains([]string{"no body", "broken off", "something behind", "an error", "too many requests"}, name)
			if n := len(c.server.seen); n == 0 || n > 1 != again {
				t.Fatalf("%d requests", n)
			}
			r := c.server.seen[0]
			if r.Method != "GET" ||
				r.RequestURI != "/bigquery/v2/projects/demo/datasets/crm/tables/t%201/rowAccessPolicies"+
					"?alt=json&pageSize=1&prettyPrint=false" ||
				r.Header.Get("Authorization") != "Bearer inspection" {
				t.Errorf("%s %s %v", r.Method, r.RequestURI, r.Header)
			}
		})
	}
	s := &server{status: 200, body: `{}`}
	c := start(t, s)
	for _, bad := range []TableID{{}, {"demo", "crm", ".."}, {"demo", "crm", "t_*"}, {"demo", "crm", "t$20260101"}, {"demo", "a/b", "t"},
		{"x.y:z", "d", "t"}} {
		if got, err := c.RowAccess(t.Context(), decided(t), bad); !errors.Is(err, ErrNotFound) || got != "" {
			t.Errorf("%q: %q, %v", bad, got, err)
		}
	}
	if len(s.seen) != 0 {
		t.Error("a request went out for the name of no table")
	}
}

// A page may be empty although more follow.
func TestClientRowAccessReadsToTheEnd(t *testing.T) {
	pages := map[string]string{"": `{"nextPageToken":"a"}`, "a": `{"rowAccessPolicies":[],"nextPageToken":"b"}`,
		"b": `{"rowAccessPolicies":[` + rowPolicy("t") + `]}`, "c": `{"nextPageToken":"c"}`}
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, pages[r.URL.Query().Get("pageToken")])
	}))
	defer h.Close()
	c, err := NewClient(ClientOptions{BaseURL: h.URL, HTTPClient: h.Client(), Token: func(context.Context, durable.Facts) (string, error) {
		return "inspection", nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	id := TableID{"demo", "crm", "t"}
	if got, err := c.RowAccess(t.Context(), decided(t), id); got != RowAccessPolicies || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	pages["b"] = `{}`
	if got, err := c.RowAccess(t.Context(), decided(t), id); got != RowAccessNone || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	pages["b"] = `{"nextPageToken":"c"}`
	if got, err := c.RowAccess(t.Context(), decided(t), id); got != "" || !errors.Is(err, ErrTooMany) {
		t.Errorf("without end: %q, %v", got, err)
	}
}

func FuzzRowAccess(f *testing.F) {
	f.Add([]byte(`{}`))
	f.Add([]byte(`{"rowAccessPolicies":[` + rowPolicy("t") + `]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		found, next, err := readRowAccess(body, TableID{"demo", "crm", "t"})
		if err != nil && (found || next != "" || !errors.Is(err, errNoRowAccessList)) {
			t.Errorf("%v, %q, %v", found, next, err)
		}
		if err != nil {
			return
		}
		var members map[string]any
		if err := json.Unmarshal(body, &members); err != nil {
			t.Fatalf("%s was read, and is no object: %v", body, err)
		}
		list, _ := members["rowAccessPolicies"].([]any)
		token, _ := members["nextPageToken"].(string)
		if found != (len(list) > 0) || next != token {
			t.Errorf("%s: %v, %q", body, found, next)
		}
	})
}

// accessSource knows what tables have; a table itself is of no interest.
type accessSource struct {
	calls  atomic.Int64
	access RowAccess
	err    error
}

func (s *accessSource) GetTable(context.Context, durable.Facts, TableID) (*Table, error) {
	return nil, ErrNotFound
}
func (s *accessSource) RowAccess(context.Context, durable.Facts, TableID) (RowAccess, error) {
	s.calls.Add(1)
	return s.access, s.err
}

// What is known is believed for the catalog's time and no longer; what is not known is not
// remembered.
func TestCatalogRowAccess(t *testing.T) {
	s := &accessSource{access: RowAccessNone}
	c, err := NewCatalog(s, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	var clock time.Duration
	c.now = func() time.Time { return time.Unix(0, 0).Add(clock) }
	ask := func(want RowAccess, is error, calls int64) {
		t.Helper()
		got, err := c.For(decided(t)).RowAccess(t.Context(), TableID{"demo", "crm", "t"})
		if got != want || (err == nil) != (want != "") || is != nil && !errors.Is(err, is) || s.calls.Load() != calls {
			t.Errorf("%q, %v after %d calls; want %q, %v after %d", got, err, s.calls.Load(), want, is, calls)
		}
	}
	ask(RowAccessNone, nil, 1)
	s.access, clock = RowAccessPolicies, time.Minute-1
	ask(RowAccessNone, nil, 1)
	clock = time.Minute
	ask(RowAccessPolicies, nil, 2)
	s.access = RowAccessNone
	c.Forget()
	ask(RowAccessNone, nil, 3)
	c.Forget()
	s.access, s.err = "", ErrRowAccessDenied
	ask("", ErrRowAccessDenied, 4)
	ask("", ErrRowAccessDenied, 5)
	s.err = nil // nothing was said, and no error
	ask("", nil, 6)
	other, err := NewCatalog(&source{}, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := other.For(decided(t)).RowAccess(t.Context(), TableID{"demo", "crm", "t"}); err == nil || got != "" {
		t.Errorf("a source that does not know: %q", got)
	}
}
