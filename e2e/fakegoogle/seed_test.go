package fakegoogle

import (
	"context"
	"strings"
	"syscall"
	"testing"
	"time"
)

// demoColumns are the columns that the demo's policy marks, and the notes nobody may read.
var demoColumns = [][2]string{
	{"crm.customers", "ssn"}, {"crm.customers", "card_number"}, {"crm.customers", "email"}, {"crm.customers", "phones.number"},
	{"finance.payroll", "ssn"}, {"finance.payroll", "salary"}, {"hr.reviews", "note"},
}

func TestCanariesAreUnmistakable(t *testing.T) {
	s := start(t)
	var all []string
	for _, c := range demoColumns {
		values, err := s.Values(t.Context(), c[0], c[1])
		if err != nil {
			t.Fatal(err)
		}
		if len(values) < 20 {
			t.Errorf("%s.%s: %d values", c[0], c[1], len(values))
		}
		all = append(all, values...)
	}
	for i, a := range all {
		if len(a) < 9 {
			t.Errorf("%q is shorter than 9", a)
		}
		for j, b := range all {
			if i != j && strings.Contains(b, a) {
				t.Errorf("%q is part of %q", a, b)
			}
		}
	}
	// Nothing that a client may see holds one of them.
	for _, table := range []string{"crm.orders", "crm.events"} {
		r := as(t, s, reader).query("SELECT * FROM "+table, nil)
		for _, a := range all {
			if strings.Contains(string(r.body), a) {
				t.Errorf("%s holds %q", table, a)
			}
		}
	}
	for _, table := range []string{"crm.customers", "crm.orders", "crm.events", "finance.payroll", "hr.reviews"} {
		r := as(t, s, reader).query("SELECT COUNT(*) >= 20 FROM "+table, nil)
		if cell(t, r.tree(t), 0, 0) != "true" {
			t.Errorf("%s has fewer than 20 rows", table)
		}
	}
	if _, err := s.Values(t.Context(), "crm.customers", "phones"); err == nil {
		t.Error("a RECORD has no values of its own")
	}
	if _, err := s.Values(t.Context(), "crm.customers", "nope.x"); err == nil {
		t.Error("a column that does not exist gave values")
	}
}

func TestSplitStatements(t *testing.T) {
	got := splitStatements("-- a;b\nSELECT ';', \";\", `a;b`, '''x;\n';''' /* ; */;\n\n;SELECT r'\\';# end;\n-- trailing;")
	want := []string{"-- a;b\nSELECT ';', \";\", `a;b`, '''x;\n';''' /* ; */", "SELECT r'\\';# end;\n-- trailing;"}
	if len(got) != 2 || got[0] != want[0] {
		t.Fatalf("%q", got)
	}
}

func TestSeedSizes(t *testing.T) {
	for text, want := range map[string]int64{"5GiB": 5 << 30, "17": 17, "3KiB": 3072, "9B": 9} {
		t.Run(text, func(t *testing.T) {
			if n, err := parseSize(text); err != nil || n != want {
				t.Errorf("%s: %d %v", text, n, err)
			}
		})
	}
	for _, bad := range []string{"", "GiB", "5GB", "-1MiB", "99999999999TiB", "5XiB"} {
		if n, err := parseSize(bad); err == nil {
			t.Errorf("%q: %d", bad, n)
		}
	}
	s := start(t, func(o *Options) { o.Seeds = nil })
	for _, bad := range []string{"CREATE TABLE nods.t (a INT64)", "SELEC 1", "-- bqgate:bytes crm.t much"} {
		if err := s.Seed(t.Context(), bad); err == nil {
			t.Errorf("%s: no error", bad)
		}
	}
}

// The engine is killed: what is in flight fails, it is started again after a second with the seeds,
// and what was asked meanwhile is answered.
func TestEngineDies(t *testing.T) {
	s := start(t)
	c := as(t, s, reader)
	old := s.EnginePID()
	if old == 0 {
		t.Fatal("no pid")
	}
	if err := syscall.Kill(old, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(15 * time.Second)
	for s.EnginePID() == old && time.Now().Before(deadline) {
		time.Sleep(10 * time.Millisecond)
	}
	r := c.query("SELECT COUNT(*) FROM crm.customers", map[string]any{"useQueryCache": false})
	if r.status != 200 || cell(t, r.tree(t), 0, 0) != "24" {
		t.Fatalf("after the restart: %d %s", r.status, r.body)
	}
	if pid := s.EnginePID(); pid == 0 || pid == old {
		t.Fatalf("pid %d", pid)
	}
}

func TestConcurrentQueries(t *testing.T) {
	s := start(t)
	c := as(t, s, reader)
	errs := make(chan string, 40)
	for i := range 40 {
		go func() {
			n := int64Text(int64(i))
			r := c.query("SELECT "+n+" AS n, COUNT(*) FROM crm.customers", nil)
			if r.status != 200 || !strings.Contains(string(r.body), `"v": "`+n+`"`) {
				errs <- string(r.body)
				return
			}
			errs <- ""
		}()
	}
	for range 40 {
		if e := <-errs; e != "" {
			t.Error(e)
		}
	}
}

func TestEmulatorAgrees(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	e, err := NewEmulator(ctx, built(t, "bigquery-emulator"), "demo", sqlEngine(t), quiet())
	if err != nil {
		t.Fatal(err)
	}
	second := start(t, func(o *Options) { o.Engine = e })
	first := start(t)
	a, b := as(t, first, reader), as(t, second, reader)
	for _, sql := range []string{
		"SELECT * FROM crm.customers ORDER BY id",
		"SELECT id, UPPER(name) FROM crm.customers ORDER BY id LIMIT 3",
		"SELECT c.ssn, o.amount FROM crm.customers c JOIN crm.orders o ON o.customer_id = c.id ORDER BY o.id",
		"WITH x AS (SELECT email FROM crm.customers) SELECT COUNT(*), COUNT(email) FROM x",
		"FROM crm.customers |> WHERE id < 4 |> SELECT id, address.city AS city |> ORDER BY id",
		"SELECT p.number FROM crm.customers, UNNEST(phones) p ORDER BY 1",
	} {
		ra, rb := a.query(sql, nil).tree(t), b.query(sql, nil).tree(t)
		for _, key := range []string{"schema", "rows", "totalRows"} {
			if ja, jb := jsonText(t, ra[key]), jsonText(t, rb[key]); ja != jb {
				t.Errorf("%s: %s differ\n%.300s\n%.300s", sql, key, ja, jb)
			}
		}
	}
	for _, sql := range []string{
		"CREATE SCHEMA IF NOT EXISTS crm", "CREATE OR REPLACE TABLE crm.copy AS SELECT id FROM crm.orders",
		"CREATE OR REPLACE TABLE crm.copy AS SELECT id FROM crm.customers",
		"CREATE OR REPLACE VIEW crm.seen AS SELECT id FROM crm.copy",
		"CREATE OR REPLACE VIEW crm.seen AS SELECT id AS n FROM crm.copy WHERE id < 4",
	} {
		if err := second.Seed(ctx, sql); err != nil {
			t.Errorf("%s: %v", sql, err)
		}
	}
	if r := b.query("SELECT SUM(n) FROM crm.seen", nil); r.status != 200 || cell(t, r.tree(t), 0, 0) != "6" {
		t.Errorf("a view over a replaced table: %d %s", r.status, r.body)
	}
	before := second.EnginePID()
	em := e.(*emulator)
	em.mu.Lock()
	em.served = emulatorLife
	em.mu.Unlock()
	if r := b.query("SELECT COUNT(*) FROM finance.payroll", map[string]any{"timeoutMs": 60_000}); r.status != 200 ||
		cell(t, r.tree(t), 0, 0) != "22" {
		t.Fatalf("after the planned restart: %d %s", r.status, r.body)
	}
	if after := second.EnginePID(); after == before || after == 0 {
		t.Errorf("pid %d, was %d", after, before)
	}
}

func jsonText(t *testing.T, v any) string {
	t.Helper()
	return string(mustJSON(t, v))
}
