package extproc

import (
	"fmt"
	"strings"
	"testing"

	procv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"

	"github.com/bqgate/bqgate/internal/limits"
	"github.com/bqgate/bqgate/internal/verdict"
)

// A35: of a result with more rows than the policy lets leave, none does, though its first page is
// short.
func TestAResultOfTooManyRowsStaysBehind(t *testing.T) {
	for _, c := range []struct {
		limit int64
		total string
		pass  bool
	}{
		{limit: 1, total: `"totalRows":"1",`, pass: true},
		{limit: 0, total: `"totalRows":"9000000",`, pass: true},
		{limit: 5, total: `"totalRows":"5",`, pass: true},
		{limit: 1, total: `"totalRows":"2",`},
		{limit: 5, total: `"totalRows":"6",`},
		{limit: 5, total: `"totalRows":"18446744073709551615",`},
		{limit: 5, total: ``},
	} {
		t.Run(fmt.Sprintf("%d of %s", c.limit, c.total), func(t *testing.T) {
			s := newService(t, &journal{})
			first := request(t, s, func(f *verdict.Forward) { f.MaxRows = c.limit })
			body := strings.Replace(rowsBody, `"totalRows":"1",`, c.total, 1)
			sent, err := run(t, s, true, first, responseHeadersOf("via_upstream", "200"), responseBodyOf(body, true))
			if err != nil {
				t.Fatal(err)
			}
			if passed := strings.Contains(got(sent), "XXXXX6789"); passed != c.pass || leaked(sent) {
				t.Errorf("passed %v, leaked %v, want passed %v: %s", passed, leaked(sent), c.pass, got(sent))
			}
		})
	}
}

// Answers of which nothing may leave before they are whole are kept in memory: of one owner's no
// more MiB at once than the limit, and the refusal names it. Others notice nothing, and what was
// kept is free again when its exchange has ended.
func TestWithheldAnswersAreBounded(t *testing.T) {
	body := `{"jobReference":{"projectId":"demo","jobId":"j1","location":"US"},"jobComplete":true,"rows":[` +
		strings.TrimSuffix(strings.Repeat(`{"f":[{"v":"`+secret+`"}]},`, 120_000), ",") + `],"totalRows":"120000"}`
	if len(body) < 3<<20 || len(body) > 4<<20 {
		t.Fatalf("the answer has %d bytes", len(body))
	}
	for _, c := range []struct {
		name  string
		limit int
		owner string
		held  int // MiB that the owner "greedy" has kept already
		cap   int64
		pass  bool
	}{
		{"within", 3, "greedy", 0, 1 << 40, true},
		{"beyond", 1, "greedy", 0, 1 << 40, false},
		{"beyond, with others of its own", 4, "greedy", 3, 1 << 40, false},
		{"somebody else", 4, "honest", 4, 1 << 40, true},
		{"nothing is kept", 1, "greedy", 1, 0, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newService(t, &journal{})
			s.Limits = limits.New(limits.Config{"withheld_mib": {AtOnce: c.limit}})
			for range c.held {
				if _, err := s.Limits.Begin("greedy", limits.Withheld); err != nil {
					t.Fatal(err)
				}
			}
			messages := []*procv3.ProcessingRequest{
				request(t, s, func(f *verdict.Forward) { f.MaxRows, f.Subject.Budget = c.cap, c.owner }),
				responseHeadersOf("via_upstream", "200"),
			}
			const piece = 64 << 10
			for at := 0; at < len(body); at += piece {
				end := min(len(body), at+piece)
				messages = append(messages, responseBodyOf(body[at:end], end == len(body)))
			}
			sent, _ := run(t, s, true, messages...)
			text := got(sent)
			if passed := strings.Contains(text, "XXXXX6789"); passed != c.pass || leaked(sent) {
				t.Errorf("passed %v, leaked %v: %.300s", passed, leaked(sent), text)
			}
			named := fmt.Sprintf("too many MiB of answers at once that are kept until they are whole: %d are served", c.limit)
			if !c.pass && (!strings.Contains(text, "rateLimitExceeded") || !strings.Contains(text, named)) {
				t.Errorf("refused as %.600s", text)
			}
			for i := range c.limit - c.held {
				if _, err := s.Limits.Begin("greedy", limits.Withheld); err != nil {
					t.Errorf("MiB %d is not free again: %v", i, err)
				}
			}
		})
	}
}
