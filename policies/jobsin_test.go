package policies

import (
	"strings"
	"testing"

	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/googlesql"
)

const jobsPolicy = `version: bqgate/v1
groups: {g: {issuer: demo, when: '"g" in claims.groups'}, h: {issuer: demo, when: '"h" in claims.groups'}}
rules:
  - {name: crm, groups: [g], read: [demo.crm.*]}
  - {name: partner, groups: [g], read: [partner.share.*]}
  - {name: orders, groups: [g], read: [demo.crm.orders], jobs_in: [batch, demo]}
  - {name: fast, groups: [g], read: [demo.log.*], jobs_in: [fast, slow], credential: other}
  - {name: both, groups: [g], read: [demo.log.*, demo.web.*], jobs_in: [batch], credential: third}
  - {name: apart, groups: [h], read: [demo.crm.*], jobs_in: [elsewhere], credential: other}
`

func jobsSet(t *testing.T, projects map[string]string) *Set {
	t.Helper()
	set, err := LoadBytes("p.yaml", []byte(jobsPolicy),
		Options{Issuers: []string{"demo"}, Credentials: []string{"default", "other", "third"}, Projects: projects})
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// A job runs where a rule says, by default in the project of its credential, whatever its tables
// are in.
func TestWhereJobsRun(t *testing.T) {
	set := jobsSet(t, map[string]string{"default": "demo"})
	for name, c := range map[string]struct {
		groups  string
		tables  string
		project string
		rule    string // "" where it is refused
	}{
		"the credential's own":                       {"g", "demo.crm.t", "demo", "crm"},
		"another one":                                {"g", "demo.crm.t", "other", ""},
		"one that another rule names":                {"g", "demo.crm.t", "batch", ""},
		"the project of the data":                    {"g", "partner.share.t", "partner", ""},
		"its data, paid at home":                     {"g", "partner.share.t", "demo", "partner"},
		"named":                                      {"g", "demo.crm.orders", "batch", "orders"},
		"named beside the own one":                   {"g", "demo.crm.orders", "demo", "crm"},
		"one table of two":                           {"g", "demo.crm.orders demo.crm.t", "batch", ""},
		"both tables":                                {"g", "demo.crm.orders demo.crm.t", "demo", "crm"},
		"of another credential":                      {"g", "demo.log.t", "fast", "fast"},
		"its second project":                         {"g", "demo.log.t", "slow", "fast"},
		"not the credential's own, where it is said": {"g", "demo.log.t", "demo", ""},
		"the rule whose credential runs counts":      {"g", "demo.log.t", "batch", ""},
		"where only one credential reads all":        {"g", "demo.log.t demo.web.t", "batch", "both"},
		"and there not the other's":                  {"g", "demo.log.t demo.web.t", "fast", ""},
		"without a table":                            {"g", "", "batch", "orders"},
		"without a table, elsewhere":                 {"g", "", "other", ""},
		"of another group":                           {"g", "demo.crm.t", "elsewhere", ""},
		"of this group":                              {"h", "demo.crm.t", "elsewhere", "apart"},
		"in capitals":                                {"g", "demo.crm.t", "DEMO", ""},
		"no project":                                 {"g", "demo.crm.t", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			st := googlesql.Statement{Kind: "SELECT", Columns: []googlesql.Column{{Name: "a", Type: "STRING"}}}
			var tables []*bigquery.Table
			for _, table := range strings.Fields(c.tables) {
				st.Tables, tables = append(st.Tables, table), append(tables, tableOf(table, "a"))
			}
			r := ask(subject("x", c.groups), &googlesql.Analysis{Statements: []googlesql.Statement{st}}, tables...)
			r.Project = c.project
			for _, m := range []bigquery.Method{bigquery.MethodQuery, bigquery.MethodInsert, bigquery.MethodGetQueryResults,
				bigquery.MethodGetJob} {
				r.Method = string(m)
				d := set.decide(r)
				switch {
				case c.rule != "" && (d.Effect != Allow || d.Rule.Name != c.rule):
					t.Errorf("%s: %s by %s: %s", m, d.Effect, d.Rule.Name, d.Message)
				case c.rule == "" && (d.Effect != Refuse ||
					d.Message != "project "+c.project+" does not exist or no policy lets you run jobs in it" || d.Rule.Name != ""):
					t.Errorf("%s: %s by %q: %s", m, d.Effect, d.Rule.Name, d.Message)
				}
			}
		})
	}
}

// A project in which nothing may run is refused before anything of the SQL is looked at, in the
// words of one that does not exist.
func TestAClosedProjectTellsNothing(t *testing.T) {
	set := jobsSet(t, map[string]string{"default": "demo"})
	texts := map[string]bool{}
	for _, project := range []string{"partner", "bigquery-public-data", "no-such-project"} {
		t.Run(project, func(t *testing.T) {
			for _, a := range []*googlesql.Analysis{
				nil, {}, selects(project+".crm.t", "a"),
				{Error: &googlesql.Error{Code: googlesql.ErrorNotFound, Message: "Unrecognized name: x"}},
				{Statements: []googlesql.Statement{{Kind: "DROP_TABLE", Targets: []string{project + ".crm.t"}}}},
			} {
				r := ask(subject("x", "g"), a)
				r.Project = project
				d := set.decide(r)
				if set.needsEstimate(r) || len(set.needsRowAccess(r)) > 0 || d.Effect != Refuse {
					t.Errorf("%s: %s, or something is asked of BigQuery", project, d.Effect)
				}
				texts[strings.ReplaceAll(d.Message+"\n"+d.Remedy, project, "PROJECT")] = true
			}
			if reach := set.Reach(subject("x", "g"), now); reach.JobsIn(project) {
				t.Errorf("jobs may run in %s", project)
			} else if message, remedy := reach.NoJobsIn(project); !texts[strings.ReplaceAll(message+"\n"+remedy, project, "PROJECT")] {
				t.Errorf("other words: %s %s", message, remedy)
			}
		})
	}
	want := "project PROJECT does not exist or no policy lets you run jobs in it\nthe same request in project batch or demo or fast or slow"
	if len(texts) != 1 || !texts[want] {
		t.Errorf("the words differ: %v", texts)
	}
}

// Where it is not known which project a credential belongs to, and the rule does not say, nothing
// runs.
func TestAnUnknownProject(t *testing.T) {
	set := jobsSet(t, nil)
	r := ask(subject("x", "g"), selects("demo.crm.t", "a"), tableOf("demo.crm.t", "a"))
	if d := set.decide(r); d.Effect != Refuse {
		t.Errorf("runs without a known project: %+v", d)
	}
	if d := set.in("demo").decide(r); d.Effect != Allow || d.JobsIn != nil {
		t.Errorf("asked as in project demo: %s %s", d.Effect, d.Message)
	}
	r.Project = "partner"
	if d := set.in("demo").decide(r); d.Effect != Refuse {
		t.Errorf("asked as in project demo, runs in partner: %+v", d)
	}
	if jobsSet(t, nil).Digest() == jobsSet(t, map[string]string{"default": "demo"}).Digest() ||
		jobsSet(t, map[string]string{"default": "a"}).Digest() == jobsSet(t, map[string]string{"default": "b"}).Digest() {
		t.Error("the projects are not in the policy's digest")
	}
}

// Lint finds a `for` that another rule cuts short, and a project that is probably misspelt.
func TestLintOfEndsAndProjects(t *testing.T) {
	const head = `version: bqgate/v1
groups: {g: {issuer: demo, when: 'true'}, h: {issuer: demo, when: 'false'}}
rules:
`
	for name, c := range map[string]struct {
		rules []string
		want  string // a part of the only finding; "" for none
	}{
		"cut short": {[]string{"{name: a, groups: [g], read: [demo.crm.*], for: 8h}", "{name: b, groups: [g, h], read: " +
			"['demo.*.*'], for: 30m}"}, "rule a: its for: 8h0m0s never counts, since rule b"},
		"for other groups": {
			[]string{"{name: a, groups: [g], read: [demo.crm.*], for: 8h}", "{name: b, groups: [h], read: ['demo.*.*'], for: 30m}"}, "",
		},
		"on some tables": {[]string{"{name: a, groups: [g], read: [demo.crm.*, demo.web.*], for: 8h}",
			"{name: b, groups: [g, h], read: [demo.crm.*], for: 30m}"}, ""},
		"the same time": {
			[]string{"{name: a, groups: [g], read: [demo.crm.*], for: 8h}", "{name: b, groups: [g, h], read: ['demo.*.*'], for: 8h}"}, "",
		},
		"misspelt":            {[]string{"{name: a, groups: [g, h], read: [warehouse.crm.*], jobs_in: [warehose]}"}, "runs in"},
		"named by its tables": {[]string{"{name: a, groups: [g, h], read: [warehouse.crm.*], jobs_in: [warehouse]}"}, ""},
		"named by two rules": {[]string{"{name: a, groups: [g, h], read: [batch-1.crm.*], jobs_in: [batch-2]}",
			"{name: b, groups: [h], read: [other.x.y], jobs_in: [batch-2]}"}, ""},
		"like nothing else": {[]string{"{name: a, groups: [g, h], read: [warehouse.crm.*], jobs_in: [payments]}"}, ""},
		"beside a wildcard": {[]string{"{name: a, groups: [g, h], read: ['ware*.crm.*'], jobs_in: [wares]}"}, ""},
		"not of the own group": {
			[]string{"{name: a, groups: [g, h], read: [demo.crm.*], for: 8h}", "{name: b, groups: [g], read: ['demo.*.*'], for: 30m}"}, "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			findings, _, err := mustLoad(t, head+"  - "+strings.Join(c.rules, "\n  - ")+"\n").Lint("")
			if err != nil {
				t.Fatal(err)
			}
			want := strings.Replace(c.want, "runs in",
				"rule a lets jobs run in warehose, which nothing else names (did you mean warehouse?)", 1)
			if (want == "") != (len(findings) == 0) || want != "" && (len(findings) != 1 || !strings.Contains(findings[0].Message, want)) {
				t.Errorf("findings %v, want %q", findings, want)
			}
		})
	}
}
