package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"
)

// TestList joins what two processes wrote at the same time, in whatever order it stands there.
func TestList(t *testing.T) {
	dir, key := t.TempDir(), testKey(t)
	one, two := open(t, dir, key, Options{}), open(t, dir, key, Options{})
	later := func(s int) time.Time { return when.Add(time.Duration(s) * time.Second) }
	appendAll(t, one,
		Outcome{Time: later(9), Decision: "d-2", State: StateBroken, Status: 200, Rows: 3, Bytes: 40, Reason: "response broken off",
			Job: Job{"p", "late", "EU"}},
		Decision{Time: later(5), ID: "d-2", Subject: Subject{Sub: "repo:x"}, Effect: EffectAllow, SQL: "SELECT\n 2", RequestID: "r-1"},
		Frame{Decision: "d-2", Seq: 0, Bytes: make([]byte, 30)},
		Frame{Decision: "d-2", Seq: 1, Bytes: make([]byte, 10)},
		Approval{Time: later(4), RequestID: "r-1", Kind: "approve", Phase: PhaseCommitted, By: "dana", Reason: "ok", Nonce: "n2",
			Previous: "n1"},
		Approval{Time: later(4), RequestID: "r-1", Kind: "approve", Phase: PhaseAttempt, By: "dana", Reason: "ok", Nonce: "n2",
			Previous: "n1"},
		Approval{Time: later(6), RequestID: "r-1", Kind: "deny", Phase: PhaseAttempt, By: "eve", Nonce: "n3", Previous: "n2"},
		Outcome{Time: later(10), Decision: "d-2", State: StateUnknown},
	)
	appendAll(t, two,
		Decision{Time: later(1), ID: "d-1", Subject: Subject{Sub: "evil\x1b[2J\nd-9  allow", Issuer: "i"}, Method: "jobs.query",
			Effect: EffectRefuse, Rule: "crm/read", Message: "no", SQL: "DROP TABLE x"},
		Decision{Time: later(2), ID: "d-0", Subject: Subject{Sub: "repo:x"}, Effect: EffectHold, RequestID: "r-1",
			Masked: []string{"p.d.t.c"}, Tables: []string{"p.d.t"}, Job: Job{ProjectID: "p", JobID: "j"}},
		Approval{Time: later(3), RequestID: "r-1", Kind: "held", Phase: PhaseAttempt, Nonce: "n1"},
	)
	if err := one.Close(); err != nil {
		t.Fatal(err)
	}
	l, err := List(dir, key) // two is running still
	if err := errors.Join(err, l.Err()); err != nil {
		t.Fatal(err)
	}
	if len(l.Notes) != 1 || !strings.Contains(l.Notes[0], "is being written") {
		t.Errorf("notes %q", l.Notes)
	}
	if len(l.Files) != 2 || !l.Files[0].Closed && !l.Files[1].Closed || l.Files[0].Closed && l.Files[1].Closed {
		t.Errorf("files %+v", l.Files)
	}
	var b bytes.Buffer
	if err := l.WriteJSON(&b); err != nil {
		t.Fatal(err)
	}
	var lines []map[string]any
	for line := range strings.Lines(b.String()) {
		var m map[string]any
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatal(err)
		}
		for _, name := range strings.Fields("time subject decision rule sql tables masked_columns bytes rows job_id request_id") {
			if v, ok := m[name]; !ok || v == nil {
				t.Errorf("%s is missing in %s", name, line)
			}
		}
		lines = append(lines, m)
	}
	want := []struct{ id, decision, request, job, outcome string }{
		{"d-1", "refuse", "", "", ""}, {"d-0", "hold", "r-1", "j", ""}, {"d-2", "allow", "r-1", "late", "broken"},
	}
	if len(lines) != len(want) {
		t.Fatalf("%d lines:\n%s", len(lines), b.String())
	}
	for i, w := range want {
		t.Run(w.id, func(t *testing.T) {
			m := lines[i]
			if m["decision_id"] != w.id || m["decision"] != w.decision || m["request_id"] != w.request || m["job_id"] != w.job ||
				m["outcome"] != w.outcome {
				t.Errorf("line %d: %v, want %+v", i, m, w)
			}
		})
	}
	if e := l.Entries[2]; e.Rows != 3 || e.Bytes != 40 || e.Recorded != 40 {
		t.Errorf("%+v", e)
	}

	// The hold is proved by what follows it, the approval by its commit, the denial by nothing: it
	// lost.
	var steps []string
	for _, a := range l.Entries[2].Approvals {
		steps = append(steps, a.Kind+" "+a.Phase+" "+a.By)
	}
	if got := strings.Join(steps, ", "); got != "held committed , approve committed dana, deny attempt eve" {
		t.Errorf("approvals: %s", got)
	}

	b.Reset()
	if err := l.WriteTable(&b); err != nil {
		t.Fatal(err)
	}
	table := b.String()
	if strings.Contains(table, "\x1b") || strings.Count(table, "\n") != 4 || !strings.Contains(table, "SELECT 2") ||
		!strings.Contains(table, "allow (broken)") {
		t.Errorf("table:\n%s", table)
	}
	if err := two.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestListRefusesTwins(t *testing.T) {
	dir, key := t.TempDir(), testKey(t)
	j := open(t, dir, key, Options{})
	appendAll(t, j, Decision{ID: "same", Effect: EffectRefuse}, Decision{ID: "same", Effect: EffectAllow})
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if l, err := List(dir, key); err != nil || len(l.Findings) != 1 || !strings.Contains(l.Err().Error(), "twice") ||
		l.Entries[0].Decision != EffectRefuse {
		t.Errorf("%+v, %v", l, err)
	}
}

// TestTimeIsFilledIn: a record without a time gets the time at which it was appended.
func TestTimeIsFilledIn(t *testing.T) {
	dir, key := t.TempDir(), testKey(t)
	j := open(t, dir, key, Options{now: func() time.Time { return when }})
	if _, err := j.Append(context.Background(), Decision{ID: "a"}); err != nil {
		t.Fatal(err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	records, _ := readAll(t, dir, key)
	if got := records[0].(Decision).Time; !got.Equal(when) {
		t.Errorf("time %v", got)
	}
}

// A sum of strangers is a line for each of its counts, with the fields of any other.
func TestListOfStrangers(t *testing.T) {
	dir, key := t.TempDir(), testKey(t)
	j := open(t, dir, key, Options{})
	appendAll(t, j,
		Decision{Time: when.Add(time.Minute), ID: "d-1", Effect: EffectAllow, Cause: "none"},
		Unauthenticated{Time: when, Since: when.Add(-10 * time.Second), Counts: []UnauthenticatedCount{
			{Cause: "missing", Addresses: "192.0.2.0/24", Requests: 120}, {Cause: "signature", Requests: 7},
		}},
	)
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	l, err := List(dir, key)
	if err := errors.Join(err, l.Err()); err != nil {
		t.Fatal(err)
	}
	var lines, table bytes.Buffer
	if err := errors.Join(l.WriteJSON(&lines), l.WriteTable(&table)); err != nil {
		t.Fatal(err)
	}
	var got []map[string]any
	for line := range strings.Lines(lines.String()) {
		var m map[string]any
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatal(err)
		}
		const names = "time subject decision rule sql tables masked_columns bytes rows job_id request_id kind cause"
		for _, name := range strings.Fields(names) {
			if v, ok := m[name]; !ok || v == nil {
				t.Errorf("%s is missing in %s", name, line)
			}
		}
		got = append(got, m)
	}
	if len(got) != 3 {
		t.Fatalf("%d lines:\n%s", len(got), lines.String())
	}
	for i, want := range []struct {
		name, kind, decision, cause, addresses string
		requests                               float64
	}{
		{"a block", EntryUnauthenticated, "refuse", "missing", "192.0.2.0/24", 120},
		{"the rest", EntryUnauthenticated, "refuse", "signature", "", 7},
		{"a decision", EntryDecision, "allow", "none", "", 1},
	} {
		t.Run(want.name, func(t *testing.T) {
			m := got[i]
			addresses, _ := m["addresses"].(string)
			if m["kind"] != want.kind || m["decision"] != want.decision || m["cause"] != want.cause || addresses != want.addresses ||
				m["requests"] != want.requests {
				t.Errorf("%v, want %+v", m, want)
			}
		})
	}
	for _, cell := range []string{"refuse ×120", "192.0.2.0/24", "(missing)", "other addresses"} {
		if !strings.Contains(table.String(), cell) {
			t.Errorf("the table lacks %q:\n%s", cell, table.String())
		}
	}
}
