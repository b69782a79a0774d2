package policies

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/googlesql"
	"github.com/bqgate/bqgate/internal/identity"
)

const agePolicy = `version: bqgate/v1
groups:
  g: {issuer: demo, when: '"g" in claims.groups'}
  h: {issuer: demo, when: '"h" in claims.groups'}
  free: {issuer: demo, when: '"free" in claims.groups'}
rules:
  - {name: crm, groups: [g], read: [demo.crm.*], for: 1h}
  - {name: log, groups: [g], read: [demo.log.*], for: 8h}
  - {name: crm-short, groups: [h], read: [demo.crm.*], for: 30m}
  - {name: all, groups: [free], read: ["demo.*.*"]}
`

// Access under a rule ends when the identity token is older than the rule's `for`, and a minute:
// for every method, and whatever the query is.
func TestAccessEndsWithTheTokensAge(t *testing.T) {
	set := mustLoad(t, agePolicy)
	const crm, log = "demo.crm.t", "demo.log.t"
	for name, c := range map[string]struct {
		groups []string
		age    time.Duration
		tables []string
		rule   string // that has ended; "" where it is allowed
	}{
		"new":                               {[]string{"g"}, 0, []string{crm}, ""},
		"from the future":                   {[]string{"g"}, -10 * time.Hour, []string{crm}, ""},
		"as old as it may be":               {[]string{"g"}, time.Hour, []string{crm}, ""},
		"within the minute":                 {[]string{"g"}, time.Hour + time.Minute, []string{crm}, ""},
		"after the minute":                  {[]string{"g"}, time.Hour + time.Minute + 1, []string{crm}, "crm"},
		"much older":                        {[]string{"g"}, 1000 * time.Hour, []string{crm}, "crm"},
		"the rule that allowed it counts":   {[]string{"g"}, 2 * time.Hour, []string{log}, ""},
		"and ends":                          {[]string{"g"}, 9 * time.Hour, []string{log}, "log"},
		"of two tables the first to end":    {[]string{"g"}, 2 * time.Hour, []string{crm, log}, "crm"},
		"of two rules of a table the least": {[]string{"g", "h"}, 40 * time.Minute, []string{crm}, "crm-short"},
		"the other table is not concerned":  {[]string{"g", "h"}, 40 * time.Minute, []string{log}, ""},
		"beside one without an end":         {[]string{"h", "free"}, 40 * time.Minute, []string{crm}, "crm-short"},
		"no end":                            {[]string{"free"}, 1000 * time.Hour, []string{crm, log}, ""},
		"no table, before all ends":         {[]string{"g"}, time.Hour, nil, ""},
		"no table, after the first end":     {[]string{"g"}, 2 * time.Hour, nil, "crm"},
	} {
		t.Run(name, func(t *testing.T) {
			who := subject("x", c.groups...)
			who.Issued = now.Add(-c.age)
			var tables []*bigquery.Table
			st := googlesql.Statement{Kind: "SELECT", Tables: c.tables, Columns: []googlesql.Column{{Name: "a", Type: "STRING"}}}
			for _, name := range c.tables {
				tables = append(tables, tableOf(name, "a"))
			}
			r := ask(who, &googlesql.Analysis{Statements: []googlesql.Statement{st}}, tables...)
			check := func(r Input) {
				t.Helper()
				d := set.decide(r)
				if c.rule == "" {
					if d.Effect != Allow {
						t.Errorf("%s: %s %q", r.Method, d.Effect, d.Message)
					}
					return
				}
				if d.Effect != Refuse || d.Rule.Name != c.rule ||
					!strings.Contains(d.Message, "after the identity token was issued (iat)") ||
					!strings.Contains(d.Remedy, "new identity token") {
					t.Errorf("%s: %s by %s: %q, would pass %q", r.Method, d.Effect, d.Rule.Name, d.Message, d.Remedy)
				}
			}
			for _, m := range []bigquery.Method{bigquery.MethodQuery, bigquery.MethodInsert, bigquery.MethodGetQueryResults,
				bigquery.MethodGetJob, bigquery.MethodListTableData, bigquery.MethodGetTable} {
				r.Method = string(m)
				check(r)
			}
			if d, aged := set.Aged(who, c.tables, now); aged != (c.rule != "") || d.Effect != Refuse || d.Rule.Name != c.rule {
				t.Errorf("of a request that waits: too old %v by %s", aged, d.Rule.Name)
			}
			reach := set.Reach(who, now)
			for _, table := range tables {
				_, reached := reach.Table(table.TableReference)
				if alone := len(tables) == 1; alone && reached != (c.rule == "") {
					t.Errorf("%s is reached: %v", table.TableReference, reached)
				}
			}
			if c.rule != "" { // what is wrong with the SQL tells of tables, and nothing of them is told any more
				r.Analysis.Error = &googlesql.Error{Code: googlesql.ErrorNotFound, Message: "Unrecognized name: ssn; Did you mean sssn?"}
				check(r)
			}
		})
	}
}

// What is not known counts as too old.
func TestAnUnknownAgeIsTooOld(t *testing.T) {
	set := mustLoad(t, agePolicy)
	who := subject("x", "g")
	r := ask(who, selects("demo.crm.t", "a"), tableOf("demo.crm.t", "a"))
	if d := set.decide(r); d.Effect != Allow {
		t.Fatalf("%s %s", d.Effect, d.Message)
	}
	for name, change := range map[string]func(*Input){
		"no iat": func(r *Input) { r.Subject.Issued = time.Time{} }, "no clock": func(r *Input) { r.Now = time.Time{} },
	} {
		t.Run(name, func(t *testing.T) {
			without := r
			change(&without)
			if d := set.decide(without); d.Effect != Refuse || d.Rule.Name != "crm" {
				t.Errorf("%s: %s %s", name, d.Effect, d.Message)
			}
			if _, over := set.Reach(without.Subject, without.Now).Over(); !over {
				t.Errorf("%s: something is reached", name)
			}
		})
	}
}

// When all rules are over, nothing is reached, and a session is good for nothing.
func TestWhenAllRulesAreOver(t *testing.T) {
	set := mustLoad(t, agePolicy)
	for name, c := range map[string]struct {
		groups []string
		age    time.Duration
		rule   string        // the one that ended last; "" where there is still access
		until  time.Duration // after iat; 0 for no end
	}{
		"both run":       {[]string{"g"}, 0, "", 8 * time.Hour},
		"one is over":    {[]string{"g"}, 2 * time.Hour, "", 8 * time.Hour},
		"both are over":  {[]string{"g"}, 9 * time.Hour, "log", 8 * time.Hour},
		"one without":    {[]string{"h", "free"}, 9 * time.Hour, "", 0},
		"nobody's rules": {nil, 9 * time.Hour, "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			who := subject("x", c.groups...)
			who.Issued = now.Add(-c.age)
			reach := set.Reach(who, now)
			d, over := reach.Over()
			if over != (c.rule != "") || d.Rule.Name != c.rule || over && !reach.Nothing() || over && len(reach.Projects()) > 0 {
				t.Errorf("over %v by %s", over, d.Rule.Name)
			}
			until, limited := set.AccessUntil(who)
			if limited != (c.until > 0) || limited && until != who.Issued.Add(c.until) {
				t.Errorf("until %s after iat, limited %v", until.Sub(who.Issued), limited)
			}
		})
	}
	var nobody *Set
	if _, limited := nobody.AccessUntil(identity.Subject{}); limited {
		t.Error("no policy has an end")
	}
}

// Who may be in a group has its end too, and gets nothing of what it gives.
func TestTheEndOfAGroupThatNobodyKnows(t *testing.T) {
	set := mustLoad(t, `version: bqgate/v1
groups:
  g: {issuer: demo, when: '"g" in claims.groups'}
  maybe: {issuer: demo, when: 'claims.site != "hq"'}
rules:
  - {name: long, groups: [g], read: [demo.crm.*], for: 8h}
  - {name: short, groups: [maybe], read: [demo.crm.*, demo.hr.*], for: 30m}
`)
	for age, ends := range map[time.Duration]bool{20 * time.Minute: false, 31 * time.Minute: false, 32 * time.Minute: true} {
		t.Run(fmt.Sprint(age), func(t *testing.T) {
			who := subject("x", "g")
			who.Issued = now.Add(-age)
			d := set.decide(ask(who, selects("demo.crm.t", "a"), tableOf("demo.crm.t", "a")))
			if (d.Effect == Refuse) != ends || ends && d.Rule.Name != "short" {
				t.Errorf("%s: %s by %s", age, d.Effect, d.Rule.Name)
			}
			if _, aged := set.Aged(who, []string{"demo.crm.t"}, now); aged != ends {
				t.Errorf("%s, of a request that waits: %v", age, aged)
			}
			if _, reached := set.Reach(who, now).Table(tableOf("demo.crm.t").TableReference); reached == ends {
				t.Errorf("%s: reached %v", age, reached)
			}
		})
	}
}
