package soak

import (
	"context"
	"errors"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bqgate/bqgate/e2e/canaries"
	"github.com/bqgate/bqgate/e2e/system"
	"github.com/bqgate/bqgate/internal/audit"
)

// found are the findings of a soak that got these answers, with a fault from minute 1 to 2 that may
// be felt for 10 seconds more.
func found(answers ...answer) string {
	s := &Soak{Options: Options{Callers: 1}, world: &world{looked: canaries.Find([]canaries.Canary{{Value: "605-30-3840", Column: "ssn"}})}}
	s.notes.looked = s.looked
	s.struck = []Struck{{Fault: Fault{Part: "Redis", Kind: "killed", Well: 10 * time.Second}, From: at(60), Till: at(120)}}
	for _, a := range answers {
		s.notes.take(a)
	}
	r := s.report()
	s.conclude(r)
	return strings.Join(r.Findings, "\n")
}

func at(seconds int) time.Time { return time.Unix(1_000_000+int64(seconds), 0) }

// What callers must not get is found, and what they may get while a part is broken is not.
func TestFindings(t *testing.T) {
	fault := []byte(`{"error": {"code": 503, "message": "bqgate: try again"}}`)
	for name, c := range map[string]struct {
		a    answer
		want string
	}{
		"rows": {answer{begin: at(0), end: at(1), status: 200, body: []byte(`{"rows": []}`)}, ""},
		"a canary": {answer{begin: at(0), end: at(1), status: 200, body: []byte(`{"rows": ["605-30-3840"]}`)},
			"canary of ssn (plain) in an answer"},
		"a canary in another form": {answer{begin: at(70), end: at(71), status: 503, body: []byte(`{"e": "NjA1LTMwLTM4NDA="}`)},
			"canary of ssn (base64 at 0) in an answer"},
		"a canary in a header": {answer{begin: at(0), end: at(1), status: 200, header: http.Header{"X": {"605-30-3840"}},
			body: []byte(`{}`)}, "canary of ssn (plain) in an answer"},
		"a page of somebody's":  {answer{begin: at(70), end: at(71), status: 502, body: []byte(`<html>`)}, "without an error in the form"},
		"a hang":                {answer{begin: at(60), end: at(160), status: 503, body: fault}, "took 1m40s"},
		"a fault":               {answer{begin: at(0), end: at(1), status: 503, body: fault}, "outside of any fault, 1 times"},
		"a fault in its time":   {answer{begin: at(70), end: at(71), status: 503, body: fault}, ""},
		"it began before":       {answer{begin: at(58), end: at(61), status: 503, body: fault}, ""},
		"as long as is stated":  {answer{begin: at(129), end: at(135), status: 503, body: fault}, ""},
		"longer than is stated": {answer{begin: at(131), end: at(132), status: 503, body: fault}, "outside of any fault, 1 times"},
		"broken off":            {answer{begin: at(0), end: at(1), status: 200, err: errors.New("EOF")}, "outside of any fault, 1 times"},
		"not what is due":       {answer{begin: at(0), end: at(1), status: 403, body: fault, wrong: "403, not 200"}, "403, not 200"},
		"the client went away":  {answer{begin: at(0), end: at(1), status: 200, err: errors.New("EOF"), left: true}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			if got := found(c.a); (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
				t.Errorf("found %q, want %q", got, c.want)
			}
		})
	}
}

// An answer that somebody got whole, a decision that was named and a vote that was acknowledged are
// missed where the journal does not have them, also if it has them once and they were got twice.
func TestJournalIsHeldAgainstAnswers(t *testing.T) {
	dir := t.TempDir()
	keyFile := filepath.Join(dir, "key")
	key, err := audit.GenerateKey(keyFile)
	if err != nil {
		t.Fatal(err)
	}
	const refused = "d-01M8RTXNSHC9SRS1H3AW8K7C1S"
	j, err := audit.Open(filepath.Join(dir, "audit"), key, audit.Options{Reserve: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range []audit.Record{
		audit.Decision{ID: "d-1", Subject: audit.Subject{Sub: "a"}}, audit.Frame{Decision: "d-1", Bytes: []byte("ro")},
		audit.Frame{Decision: "d-1", Seq: 1, Bytes: []byte("ws")},
		audit.Decision{ID: "d-2", Subject: audit.Subject{Sub: "b"}, Reply: "listed"},
		audit.Decision{ID: refused}, audit.Approval{RequestID: "r-1", Kind: "approved"},
	} {
		if _, err := j.Append(context.Background(), r); err != nil {
			t.Fatal(err)
		}
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	whole := func(subject, body string) answer {
		return answer{action: "q", subject: subject, status: 200, body: []byte(body), recorded: true}
	}
	for name, c := range map[string]struct {
		answers []answer
		vote    string
		want    string
	}{
		"all is there":        {[]answer{whole("a", "rows"), whole("b", "listed")}, "r-1", ""},
		"other bytes":         {[]answer{whole("a", "rowz")}, "", "1 answers that somebody got whole are 0 times in the journal"},
		"of somebody else":    {[]answer{whole("b", "rows")}, "", "are 0 times in the journal"},
		"twice":               {[]answer{whole("a", "rows"), whole("a", "rows")}, "", "2 answers that somebody got whole are 1 times"},
		"a decision is there": {[]answer{whole("a", "rows"), {status: 403, body: []byte(`{"m": "Decision ` + refused + `."}`)}}, "", ""},
		"a decision is missing": {[]answer{{status: 403, body: []byte(`{"m": "Decision d-01M8RTXNSHC9SRS1H3AW8K7C1T."}`)}}, "",
			"is not in the journal"},
		"a vote is missing":   {[]answer{whole("a", "rows")}, "r-2", "the approval of r-2 was acknowledged"},
		"nobody got anything": {nil, "", "nothing was looked for"},
	} {
		t.Run(name, func(t *testing.T) {
			s := &Soak{world: &world{looked: canaries.Find(nil), System: &system.System{
				Info: system.Info{AuditDir: filepath.Join(dir, "audit"), AuditKey: keyFile}}}}
			s.notes.looked = s.looked
			for _, a := range c.answers {
				s.notes.take(a)
			}
			if c.vote != "" {
				s.notes.vote(c.vote)
			}
			if err := s.readJournal(); err != nil {
				t.Fatal(err)
			}
			got := strings.Join(s.notes.findings, "\n")
			if (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
				t.Errorf("found %q, want %q", got, c.want)
			}
		})
	}
}
