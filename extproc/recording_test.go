package extproc

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	procv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"

	"github.com/bqgate/bqgate/internal/audit"
	"github.com/bqgate/bqgate/internal/limits"
	"github.com/bqgate/bqgate/internal/masking"
	"github.com/bqgate/bqgate/internal/verdict"
)

// manyRows is a page of about so many bytes.
func manyRows(bytes int) string {
	var b strings.Builder
	b.WriteString(strings.TrimSuffix(strings.Replace(rowsBody, `"totalRows":"1"`, `"totalRows":"100000"`, 1), "]}"))
	for i := 0; b.Len() < bytes; i++ {
		fmt.Fprintf(&b, `,{"f":[{"v":"%s%09d"}]}`, secret, i)
	}
	return b.String() + "]}"
}

// A page that the same asker gets once more, masked by the same plan, is recorded by a reference;
// under another plan, for somebody else, or with another byte in it, it is recorded whole. The
// decision is another one each time (A54).
func TestAPageIsRecordedOnce(t *testing.T) {
	page := manyRows(400 << 10)
	for name, c := range map[string]struct {
		change func(*verdict.Forward)
		page   string
		same   bool
	}{
		"the same again": {nil, page, true},
		"another plan": {func(f *verdict.Forward) {
			f.Plan.Columns = slices.Clone(f.Plan.Columns)
			f.Plan.Columns[0].Mask = masking.AlwaysNull
		}, page, false},
		"another plan, the same bytes": {func(f *verdict.Forward) { f.Plan.Sensitive = false }, page, false},
		"somebody else":                {func(f *verdict.Forward) { f.Subject.Owner = "another" }, page, false},
		"another page":                 {func(f *verdict.Forward) { f.Query = "pageToken=2" }, page, false},
		"another last row":             {nil, page[:len(page)-8] + "7" + page[len(page)-7:], false},
	} {
		t.Run(name, func(t *testing.T) {
			j := &journal{}
			s := newService(t, j)
			get := func(decision, body string, change func(*verdict.Forward)) string {
				t.Helper()
				messages := []*procv3.ProcessingRequest{request(t, s, func(f *verdict.Forward) {
					f.Decision = decision
					if change != nil {
						change(f)
					}
				}), responseHeadersOf("via_upstream", "200")}
				for part := range slices.Chunk([]byte(body), 50_000) {
					messages = append(messages, responseBodyOf(string(part), false))
				}
				sent, err := run(t, s, true, append(messages, responseBodyOf("", true))...)
				if err != nil {
					t.Fatal(err)
				}
				var out strings.Builder
				for _, r := range sent {
					out.Write(r.GetResponseBody().GetResponse().GetBodyMutation().GetStreamedResponse().GetBody())
				}
				return out.String()
			}
			first := get("d-1", page, nil)
			again := get("d-2", c.page, c.change)
			if (first == again) != (c.same || name == "somebody else" || name == "another page" || name == "another plan, the same bytes") {
				t.Fatalf("%d bytes, then %d", len(first), len(again))
			}
			var literal, refers int
			complete := false
			for _, r := range j.Records() {
				switch r := r.(type) {
				case audit.Frame:
					if r.Decision == "d-2" {
						literal += len(r.Bytes)
						if r.Same != nil {
							refers++
						}
					}
				case audit.Outcome:
					complete = r.Decision == "d-2" && r.State == audit.StateComplete && r.Bytes == uint64(len(again))
				}
			}
			if c.same && (literal != 0 || refers != 1) || !c.same && literal == 0 || !complete {
				t.Errorf("%d bytes and %d references for %d bytes, complete: %t", literal, refers, len(again), complete)
			}
		})
	}
}

// What an answer takes in the journal counts against its owner, and an answer that is on its way
// arrives whole for all that: the owner's next requests wait.
func TestRecordedBytesAreCharged(t *testing.T) {
	key, err := audit.GenerateKey(t.TempDir() + "/key")
	if err != nil {
		t.Fatal(err)
	}
	onDisk, err := audit.Open(t.TempDir(), key, audit.Options{Reserve: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer onDisk.Close()
	s := newService(t, &journal{})
	s.Journal = onDisk
	s.Limits = limits.New(limits.Config{limits.RecordedBytes.String(): {PerHour: 1 << 20}})
	own := func(f *verdict.Forward) { f.Subject.Budget = "repo:a" }
	for n := 1; s.Limits.Left("repo:a", limits.RecordedBytes) == nil; n++ {
		if n > 100 {
			t.Fatal("100 pages are charged to nobody")
		}
		f := func(f *verdict.Forward) { own(f); f.Query = fmt.Sprint("n=", n) } // a page of its own
		sent, err := run(t, s, true, request(t, s, f), responseHeadersOf("via_upstream", "200"), responseBodyOf(manyRows(600<<10), true))
		if err != nil || len(sent) < 3 {
			t.Fatalf("page %d: %d messages, %v", n, len(sent), err)
		}
	}
	if err := s.Limits.Left("repo:b", limits.RecordedBytes); err != nil {
		t.Errorf("another owner waits: %v", err)
	}
}
