package policies

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bqgate/bqgate/internal/bigquery"
)

const budgetRule = `version: bqgate/v1
groups:
  g: {issuer: demo, when: '"g" in claims.groups'}
  reviewers: {issuer: demo, when: '"r" in claims.groups'}
rules:
  - name: agents
    groups: [g]
    read: ["demo.crm.*"]
    budget: `

// spends is a query of a subject, of which a dry run says so many bytes.
func spends(bytes int64, claims map[string]any) Input {
	r := ask(subject("x", "g"), selects("demo.crm.t", "a"), tableOf("demo.crm.t", "a"))
	r.Method = string(bigquery.MethodInsert)
	r.Now = now.Add(30 * time.Minute)
	r.Estimate = &Estimate{Bytes: bytes}
	r.Subject.Budget = "https://ci.example#repository_id=7"
	for name, v := range claims {
		r.Subject.Claims[name] = v
	}
	return r
}

func leftOf(amounts ...int64) func(context.Context, []Budget) ([]Left, error) {
	return func(_ context.Context, all []Budget) ([]Left, error) {
		var left []Left
		for i, n := range amounts {
			_, free := all[i].Window(now.Add(30 * time.Minute))
			left = append(left, Left{n, free})
		}
		return left, nil
	}
}

func TestDecideBudgets(t *testing.T) {
	const gib = 1 << 30
	for name, c := range map[string]struct {
		budget  string
		bytes   int64
		unknown bool
		left    []int64
		effect  Effect
		says    string
		remedy  string
	}{
		"it fits": {`{bytes: 100GiB, per: day, by: owner}`, 5 * gib, false, []int64{6 * gib}, Allow, "", ""},
		"it does not": {`{bytes: 100GiB, per: day, by: owner}`, 5 * gib, false, []int64{4 * gib}, Refuse,
			"about 5 GiB, and of the budget of 100 GiB a day for each owner 4 GiB are left; it is free again at 2026-12-01T00:00:00Z",
			"a smaller query, or the same one after 2026-12-01T00:00:00Z"},
		"nothing is left": {`{bytes: 100GiB, per: hour, by: owner}`, 1, false, []int64{0}, Refuse,
			"nothing is left; it is free again at 2026-11-30T13:00:00Z",
			"the same query after 2026-11-30T13:00:00Z"},
		"less than BigQuery bills at least": {`{bytes: 100GiB, per: day, by: owner}`, 1, false, []int64{TableFloor - 1},
			Refuse, "nothing is left", ""},
		"what BigQuery bills at least": {`{bytes: 100GiB, per: day, by: owner}`, 1, false, []int64{TableFloor},
			Allow, "", ""},
		"a size that nobody knows runs in what is left": {`{bytes: 100GiB, per: day, by: owner}`, 0, true, []int64{TableFloor}, Allow,
			"", ""},
		"a size that nobody knows, and nothing left": {`{bytes: 100GiB, per: day, by: owner}`, 0, true, []int64{1}, Refuse,
			"at least 10 MiB", ""},
		"beyond it a person decides": {`{bytes: 100GiB, per: day, by: owner, over: hold, reviewers: [reviewers]}`, 5 * gib, false,
			[]int64{4 * gib}, Hold,
			"the budget of agents holds this query: it goes beyond the budget of 100 GiB a day for each owner, " +
				"of which 4 GiB is left until 2026-12-01T00:00:00Z", ""},
		"within it nobody does": {`{bytes: 100GiB, per: day, by: owner, over: hold, reviewers: [reviewers]}`, 5 * gib, false,
			[]int64{5 * gib}, Allow, "", ""},
		"one holds and one refuses": {"[{bytes: 1GiB, per: hour, by: owner, over: hold, reviewers: [reviewers]}, " +
			"{bytes: 100GiB, per: day, by: owner}]",
			5 * gib, false, []int64{gib, 2 * gib}, Refuse, "100 GiB a day", ""},
		"no row is left": {`{rows: 1000, per: day, by: group}`, 5, false, []int64{0}, Refuse,
			"would return rows, and of the budget of 1000 rows a day", ""},
		"a row is left": {`{rows: 1000, per: day, by: group}`, 5, false, []int64{1}, Allow, "", ""},
		"beyond the rows": {`{rows: 1000, per: day, by: group, over: hold, reviewers: [reviewers]}`, 5, false, []int64{0}, Hold,
			"nothing is left until", ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := spends(c.bytes, nil)
			r.Estimate.Unknown = c.unknown
			asked := 0
			facts := Facts{Left: func(ctx context.Context, all []Budget) ([]Left, error) { asked++; return leftOf(c.left...)(ctx, all) }}
			d, _, err := mustLoad(t, budgetRule+c.budget+"\n").Decide(t.Context(), r, facts)
			said := d.Message
			if d.Approval != nil {
				said = d.Approval.Why
			}
			if err != nil || d.Effect != c.effect || !strings.Contains(said,
				c.says) || c.remedy != "" && d.Remedy != c.remedy || asked != 1 {
				t.Errorf("%s %q %q, asked %d times, %v; want %s %q", d.Effect, said, d.Remedy, asked, err, c.effect, c.says)
			}
			if (d.Effect == Refuse) != (d.Exceeded != "") {
				t.Errorf("exceeded is %q for %s", d.Exceeded, d.Effect)
			}
		})
	}
}

// What is left is asked only of what would otherwise run, and a fault of it is one.
func TestLeftIsAskedWhereItMatters(t *testing.T) {
	set := mustLoad(t, budgetRule+"{bytes: 100GiB, per: day, by: owner}\n")
	fault := errors.New("down")
	for name, c := range map[string]struct {
		change func(r *Input)
		asked  bool
	}{
		"a query":               {func(*Input) {}, true},
		"of nobody":             {func(r *Input) { r.Subject = subject("y") }, false},
		"a result that is read": {func(r *Input) { r.Method, r.Credential = string(bigquery.MethodGetQueryResults), "default" }, false},
		"a table that is not read": {func(r *Input) {
			r.Analysis = selects("demo.other.t", "a")
			r.Tables = map[string]*bigquery.Table{"demo.other.t": tableOf("demo.other.t", "a")}
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			r := spends(1, nil)
			c.change(&r)
			asked := false
			_, _, err := set.Decide(t.Context(), r, Facts{Left: func(context.Context, []Budget) ([]Left,
				error) {
				asked = true
				return nil, fault
			}})
			if asked != c.asked || asked != errors.Is(err, fault) {
				t.Errorf("asked %v, %v", asked, err)
			}
		})
	}
}

// Whose budget it is: by keys that a new run, attempt or ref does not change (A52). All of whom a
// key is not known share one.
func TestWhoseBudget(t *testing.T) {
	for name, c := range map[string]struct {
		by     string
		claims map[string]any
		who    []string
	}{
		"owner": {"owner", nil, []string{"https://ci.example#repository_id=7"}},
		"owner in another run": {"owner", map[string]any{"run_id": "9", "run_attempt": "3", "ref": "refs/heads/x"},
			[]string{"https://ci.example#repository_id=7"}},
		"group": {"group", nil, []string{"g"}},
		"repository of GitHub": {"repository", map[string]any{"repository_id": "7", "repository": "acme/app"},
			[]string{"https://ci.example#repository_id=7"}},
		"repository that was renamed": {"repository", map[string]any{"repository_id": "7", "repository": "acme/new"},
			[]string{"https://ci.example#repository_id=7"}},
		"project of GitLab":   {"repository", map[string]any{"project_id": "8"}, []string{"https://ci.example#project_id=8"}},
		"no repository":       {"repository", nil, []string{""}},
		"an empty repository": {"repository", map[string]any{"repository_id": ""}, []string{""}},
	} {
		t.Run(name, func(t *testing.T) {
			r := spends(1, c.claims)
			r.Subject.Issuer = "https://ci.example"
			d := mustLoad(t, budgetRule+"{bytes: 100GiB, per: day, by: "+c.by+"}\n").decide(r)
			var who []string
			for _, b := range d.Budgets {
				who = append(who, b.Who)
			}
			if !slices.Equal(who, c.who) {
				t.Errorf("budgets of %q, want %q: %s", who, c.who, d.Message)
			}
		})
	}
}

// The configuration's budgets count beside those of rules.
func TestBudgetsOfTheConfiguration(t *testing.T) {
	own := BudgetEntries{{Bytes: "1TiB", Rows: 5, Per: "hour", By: "repository"}}
	loaded, err := LoadBytes("p.yaml", []byte(budgetRule+"{bytes: 100GiB, per: day, by: owner}\n"), Options{Issuers: []string{"demo"},
		Budgets: own})
	if err != nil {
		t.Fatal(err)
	}
	set := loaded.in("demo")
	d := set.decide(spends(1, nil))
	var all []string
	for _, b := range d.Budgets {
		all = append(all, b.Rule.ID()+" "+string(b.Unit)+" "+b.Per)
	}
	want := []string{"p/agents bytes day", "configuration/budgets bytes hour", "configuration/budgets rows hour"}
	if !slices.Equal(all, want) || !set.HasBudgets() {
		t.Errorf("%q, want %q", all, want)
	}
	_, err = LoadBytes("p.yaml", []byte(budgetRule+"{bytes: 100GiB, per: day, by: owner}\n"),
		Options{Issuers: []string{"demo"}, File: "bqgate.yaml", Budgets: BudgetEntries{{Bytes: "1TB", Per: "week", By: "run"}}})
	for _, says := range []string{"bqgate.yaml: budgets[0].bytes", "budgets[0].per", "budgets[0].by"} {
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v lacks %q", err, says)
		}
	}
}
