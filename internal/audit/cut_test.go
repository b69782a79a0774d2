package audit

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"
)

// Of what was refused, long texts are cut in the middle: their beginning, end, length and digest
// stay. All that a client may choose is bounded.
func TestBrief(t *testing.T) {
	long := strings.Repeat("a", 20_000) + strings.Repeat("é", 300_000) + "the end"
	many := make([]string, 50_000)
	for i := range many {
		many[i] = fmt.Sprintf("demo.crm.t%d", i)
	}
	d := Decision{
		ID: "d", Effect: EffectRefuse, Method: long, Message: long, Remedy: long, Reply: long, SQL: long, ForwardedSQL: long, Client: long,
		RequestID: long, Rule: long, Place: long, Credential: long, Principal: long, Tables: many, Sensitive: many, Masked: []string{long},
		Job: Job{long, long, long},
	}
	brief := d.Brief()
	text, err := encode(brief)
	if err != nil || len(text) > 64<<10 {
		t.Errorf("%d bytes, %v", len(text), err)
	}
	sum := sha256.Sum256([]byte(long))
	cuts := map[string]Cut{}
	for _, c := range brief.Cut {
		cuts[c.Member] = c
	}
	if len(cuts) != 18 || len(brief.Cut) != 18 {
		t.Errorf("%d texts are cut: %v", len(brief.Cut), brief.Cut)
	}
	if want := (Cut{"sql", len(long), hex.EncodeToString(sum[:])}); cuts["sql"] != want {
		t.Errorf("%+v, want %+v", cuts["sql"], want)
	}
	for _, s := range []string{brief.SQL, brief.Message, brief.Job.JobID} {
		if len(s) > keptHead+keptTail+64 || !utf8.ValidString(s) || !strings.HasPrefix(s, long[:keptHead-2]) ||
			!strings.HasSuffix(s, "the end") || !strings.Contains(s, "bytes of the record are cut here") {
			t.Errorf("%d bytes: %.40q … %q", len(s), s, s[len(s)-80:])
		}
	}
	if len(brief.Tables) != keptList || brief.Tables[3] != many[3] || len(brief.Masked) != 0 {
		t.Errorf("%d tables, %d masked columns", len(brief.Tables), len(brief.Masked))
	}
	if len(d.Cut) != 0 || d.SQL != long || len(d.Tables) != len(many) {
		t.Error("the decision itself was changed")
	}
}

func TestBriefLeavesWhatIsShort(t *testing.T) {
	for name, size := range map[string]int{
		"nothing": 0, "a line": 80, "as much as is kept": keptHead + keptTail, "a little more": keptHead + keptTail + 1024,
	} {
		t.Run(name, func(t *testing.T) {
			d := Decision{ID: "d", SQL: strings.Repeat("x", size), Tables: []string{"a.b.c"}}
			if got := d.Brief(); !reflect.DeepEqual(got, d) {
				t.Errorf("%d bytes became %d, %v", size, len(got.SQL), got.Cut)
			}
			a := Asked{Decision: "d", SQL: strings.Repeat("x", size)}
			if got := a.Brief(); !reflect.DeepEqual(got, a) {
				t.Errorf("%d bytes of a question became %d, %v", size, len(got.SQL), got.Cut)
			}
		})
	}
}

// An error's text may quote what somebody else wrote: no outcome needs it whole.
func TestReasonsAreBounded(t *testing.T) {
	text, err := encode(Outcome{Decision: "d", Reason: strings.Repeat("x", 1<<20)})
	if err != nil {
		t.Fatal(err)
	}
	r, err := decode(text)
	if err != nil || len(r.(Outcome).Reason) > keptReason+64 {
		t.Errorf("%d bytes, %v", len(r.(Outcome).Reason), err)
	}
}
