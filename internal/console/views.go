package console

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/a-h/templ"

	"github.com/bqgate/bqgate/internal/approvals"
	"github.com/bqgate/bqgate/internal/masking"
	"github.com/bqgate/bqgate/policies"
)

// shell is what every page has around it.
type shell struct {
	Title   string   // never anything of a request's content
	Visitor *visitor // nil for somebody who is not logged in
	Here    string   // path of the page in the navigation
	Live    bool     // the page follows changes
}

// item is a request in a list.
type item struct {
	ID, State   string
	Who, Reads  string
	Why         string
	Cost        string
	Made, Until time.Time
	Now         time.Time
	Mine        bool // the visitor's own, or of a person behind it
	Waits       bool // for this visitor's decision
	Votes       string
	Decided     string // who had the last word
}

// queue is what the first page lists.
type queue struct {
	Decide, Own, Ended []item
	Undelivered        int // messages about requests that were given up
}

func (q queue) waiting() int { return len(q.Decide) }

// Says is the queue in one sentence, for screen readers too.
func (q queue) Says() string {
	switch len(q.Decide) {
	case 0:
		return "Nothing waits for your decision."
	case 1:
		return "1 query waits for your decision."
	default:
		return fmt.Sprintf("%d queries wait for your decision.", len(q.Decide))
	}
}

func (u *ui) queueOf(list []approvals.Request, v *visitor) queue {
	var q queue
	seen := map[string]bool{}
	for _, r := range list {
		if !r.VisibleTo(v.decider) || seen[r.ID] {
			continue
		}
		seen[r.ID] = true
		i := u.itemOf(r, v)
		switch {
		case r.State == approvals.StatePending && i.Mine:
			q.Own = append(q.Own, i)
		case r.State == approvals.StatePending:
			q.Decide = append(q.Decide, i)
		case u.now().Sub(endedAt(r)) < stillShown:
			q.Ended = append(q.Ended, i)
		}
	}
	return q
}

func endedAt(r approvals.Request) time.Time {
	switch {
	case r.State == approvals.StateExpired:
		return r.Expires
	case len(r.Decisions) > 0:
		return r.Decisions[len(r.Decisions)-1].At
	default:
		return r.Created
	}
}

func (u *ui) itemOf(r approvals.Request, v *visitor) item {
	i := item{
		ID: r.ID, State: string(r.State), Who: r.Person, Reads: tablesOf(r), Why: sentence(errors.New(r.Why)), Cost: costOf(r), Made: r.Created, Until: r.Expires, Now: u.now(),
		Mine: r.MadeBy(v.decider), Waits: r.State == approvals.StatePending && r.MayDecide(v.decider) == nil,
	}
	if r.Quorum > 1 {
		i.Votes = fmt.Sprintf("%d of %d approvals", approvalsOf(r), r.Quorum)
	}
	if n := len(r.Decisions); n > 0 {
		i.Decided = r.Decisions[n-1].By
	}
	return i
}

func approvalsOf(r approvals.Request) int {
	n := 0
	for _, d := range r.Decisions {
		if d.Verdict == approvals.Approve {
			n++
		}
	}
	return n
}

// tablesOf names what is read in a line; the page of a request lists the rest.
func tablesOf(r approvals.Request) string { return someTables(r.Tables, r.Project) }

const tablesNamed = 3

func someTables(all []string, project string) string {
	if len(all) == 0 {
		return "no table"
	}
	names := make([]string, 0, tablesNamed)
	for _, t := range all[:min(len(all), tablesNamed)] {
		names = append(names, short(t, project))
	}
	text := strings.Join(names, ", ")
	if more := len(all) - tablesNamed; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

func costOf(r approvals.Request) string {
	if r.EstimatedBytes == nil {
		return "cost not known"
	}
	text := sizeOf(*r.EstimatedBytes)
	if r.EstimatedCost != nil {
		text += ", " + moneyOf(*r.EstimatedCost, r.Currency)
	}
	return text
}

func sizeOf(bytes int64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB"}
	v, i := float64(bytes), 0
	for v >= 1024 && i < len(units)-1 {
		v, i = v/1024, i+1
	}
	return strings.TrimSuffix(strconv.FormatFloat(v, 'f', 1, 64), ".0") + " " + units[i]
}

func moneyOf(amount float64, currency string) string {
	sign := currency + " "
	if currency == "USD" {
		sign = "$"
	}
	if amount < 0.01 {
		return "under " + sign + "0.01"
	}
	return fmt.Sprintf("about %s%.2f", sign, amount)
}

// link is a fact with a place to look at it; URL is "" where none is known for sure.
type link struct {
	Label, Text string
	URL         templ.SafeURL
}

var (
	repoName = regexp.MustCompile(`^[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)+$`)
	hexSHA   = regexp.MustCompile(`^[0-9a-f]{7,64}$`)
	number   = regexp.MustCompile(`^[0-9]{1,20}$`)
)

// origin leads from the claims of a CI run to the repository, the commit and the run. A link is made only of claims of the shape that they have at that CI system, on the host
// that signed them.
func origin(r approvals.Request) []link {
	c := r.Claims
	var all []link
	add := func(label, text, base string, shape *regexp.Regexp, path ...string) {
		if text == "" {
			return
		}
		l := link{Label: label, Text: text}
		if base != "" && shape.MatchString(text) && !strings.Contains(text, "..") {
			l.URL = templ.SafeURL(base + strings.Join(path, "/"))
		}
		all = append(all, l)
	}
	switch base := hostOf(r.Issuer); {
	case c["repository"] != "":
		repo := c["repository"]
		if !repoName.MatchString(repo) || strings.Contains(repo, "..") {
			base = ""
		}
		add("repository", repo, base, repoName, "", repo)
		add("commit", c["sha"], base, hexSHA, "", repo, "commit", c["sha"])
		add("run", c["run_id"], base, number, "", repo, "actions/runs", c["run_id"])
		add("workflow", c["workflow"], "", number)
		add("branch", c["ref"], "", number)
	case c["project_path"] != "":
		project := c["project_path"]
		if !repoName.MatchString(project) || strings.Contains(project, "..") {
			base = ""
		}
		add("project", project, base, repoName, "", project)
		add("commit", c["sha"], base, hexSHA, "", project, "-/commit", c["sha"])
		add("pipeline", c["pipeline_id"], base, number, "", project, "-/pipelines", c["pipeline_id"])
		add("job", c["job_id"], base, number, "", project, "-/jobs", c["job_id"])
		add("branch", c["ref"], "", number)
	}
	return all
}

// hostOf is where the CI system of an issuer shows its repositories; "" where that is not sure.
func hostOf(issuer string) string {
	u, err := url.Parse(issuer)
	switch {
	case err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil:
		return ""
	case u.Host == "token.actions.githubusercontent.com":
		return "https://github.com"
	case u.Path == "" || u.Path == "/" || u.Path == "/_services/token": // GitLab; GitHub Enterprise Server
		return "https://" + u.Host
	default:
		return ""
	}
}

// request is one request as its page shows it.
type requestView struct {
	approvals.Request
	Who      string
	Reads    string
	Origin   []link
	Lines    []sqlLine
	Marked   bool
	Forward  []sqlLine // nil where what runs is what was asked
	Columns  []columnView
	Rules    []ruleView
	Outdated bool // the policy has changed since: an approval would be void
	Others   []item
	Acts     []act // what the same subject did without a person
	Now      time.Time

	MayDecide bool
	WhyNot    string // why the visitor may not decide on a request that waits
	Stale     bool
	Voted     bool
	Answered  answered
	Visitor   *visitor
}

// Title says where the request stands, and nothing of what it holds.
func (v requestView) Title() string {
	return "Request " + map[bool]string{true: "waiting", false: string(v.State)}[v.State == approvals.StatePending]
}

// Verb is what the requester does, or did.
func (v requestView) Verb() string {
	if v.State == approvals.StatePending {
		return "asks to read"
	}
	return "asked to read"
}

// Allows is what a live approval lets happen, up to the time when it ends.
func (v requestView) Allows() string {
	switch {
	case v.Uses > 1:
		return fmt.Sprintf("%d of %d runs used; it ends in", v.Used, v.Uses)
	case v.NoWait:
		return "The query runs, once, when it is tried again; unused the approval lapses in"
	default:
		return "It runs, once, when its client next asks; unused the approval lapses in"
	}
}

// Revocable says that there is an approval to take back.
func (v requestView) Revocable() bool {
	_, ok := v.Grant()
	return ok && !v.Revoked && v.Now.Before(v.Until) && (v.State == approvals.StateApproved && !v.Releasing || v.State == approvals.StateUsed && v.Uses > 1)
}

// Approved counts the approvals.
func (v requestView) Approved() int { return approvalsOf(v.Request) }

// Cost is what it would read, and what that costs.
func (v requestView) Cost() string { return costOf(v.Request) }

// Caps say how much of the result may be read, "" where nothing bounds it.
func (v requestView) Caps() string {
	var parts []string
	if v.MaximumRows > 0 {
		parts = append(parts, fmt.Sprintf("%d rows", v.MaximumRows))
	}
	if v.MaximumResultBytes > 0 {
		parts = append(parts, sizeOf(v.MaximumResultBytes))
	}
	if len(parts) == 0 {
		return ""
	}
	return "at most " + strings.Join(parts, ", at most ")
}

// Share is the estimate as parts of a thousand of the cap; -1 where there is nothing to compare.
func (v requestView) Share() int {
	if v.EstimatedBytes == nil || v.MaximumBytes <= 0 {
		return -1
	}
	return int(min(1000, max(1, *v.EstimatedBytes*1000/v.MaximumBytes)))
}

// Last is the decision that ended it.
func (v requestView) Last() (d approvals.Decision) {
	if n := len(v.Decisions); n > 0 {
		d = v.Decisions[n-1]
	}
	return d
}

// sensitiveOf are the sensitive columns of a table that the query touches, without the table's name.
func (v requestView) sensitiveOf(table string) []string {
	var names []string
	for _, c := range v.SensitiveColumns {
		if name, ok := strings.CutPrefix(c, table+"."); ok {
			names = append(names, name)
		}
	}
	return names
}

// Masks says that some column of the result is masked.
func (v requestView) Masks() bool {
	return slices.ContainsFunc(v.Columns, func(c columnView) bool { return c.Example != "" })
}

// columnView is a leaf of the result.
type columnView struct {
	Name, Type string
	From       []string
	Mask       masking.Rule
	Example    string // "" where it is shown as it is
	Computed   bool   // of something sensitive that is masked before the query computes on it
}

// ruleView is an entry of the policy that took part.
type ruleView struct {
	Name, At, Text string
	Line           int // of the first line of Text
}

func (u *ui) requestOf(r approvals.Request, v *visitor, a answered) requestView {
	set := u.Policies()
	page := requestView{
		Request: r, Who: r.Person, Reads: tablesOf(r), Origin: origin(r), Now: u.now(), Stale: !r.Fresh(v.decider, u.now()), Answered: a, Visitor: v,
		Outdated: r.Review.Policy != "" && r.Review.Policy != set.Digest() && (r.State == approvals.StatePending || r.State == approvals.StateApproved),
	}
	marks := marksOf(r)
	page.Lines, page.Marked = sqlLines(r.SQL, marks), len(marks) > 0
	if r.Review.Forwarded != "" && r.Review.Forwarded != r.SQL {
		page.Forward = sqlLines(r.Review.Forwarded, nil)
	}
	for _, c := range r.Review.Columns {
		view := columnView{Name: c.Name, Type: c.Type, Mask: c.Mask, Example: masking.Example(c.Mask, scalar(c.Type))}
		for _, s := range c.Sources {
			view.Computed = view.Computed || view.Example == "" && page.Forward != nil && slices.Contains(r.SensitiveColumns, s.Column)
			view.From = append(view.From, sourceWords(s, r.Project))
		}
		page.Columns = append(page.Columns, view)
	}
	page.Rules = rulesOf(r, set)
	page.Voted = slices.ContainsFunc(r.Decisions, func(d approvals.Decision) bool { return d.By == v.name })
	if r.State == approvals.StatePending {
		err := r.MayDecide(v.decider)
		page.MayDecide = err == nil && !page.Voted
		switch {
		case err != nil && r.MadeBy(v.decider):
			page.WhyNot = "This is your own request. Somebody else decides on it."
		case err != nil:
			page.WhyNot = sentence(err)
		case page.Voted:
			page.WhyNot = "You have approved. It waits for somebody else, too."
		}
	}
	return page
}

// scalar is the element type of an array.
func scalar(typ string) string {
	if inner, ok := strings.CutPrefix(typ, "ARRAY<"); ok {
		return strings.TrimSuffix(inner, ">")
	}
	return typ
}

func sourceWords(s approvals.ReviewSource, project string) string {
	switch {
	case s.Column == "":
		return "a constant"
	case s.Derived:
		return "computed from " + short(s.Column, project)
	default:
		return short(s.Column, project)
	}
}

// rulesOf are the lines of the policy that took part, the one that held the query first. Lines are shown only of the policy that held it.
func rulesOf(r approvals.Request, set *policies.Set) []ruleView {
	var all []ruleView
	known := r.Review.Policy == set.Digest()
	seen := map[string]bool{}
	add := func(name, at string, e policies.Entry) {
		if name == "" || seen[at+" "+name] {
			return
		}
		seen[at+" "+name] = true
		all = append(all, ruleView{name, at, e.Text, e.Ref.Line})
	}
	if known {
		for _, e := range set.Entries() {
			if at := place(e.Ref); at == r.RuleAt {
				add(r.Rule, at, e)
			}
		}
	}
	if len(all) == 0 {
		add(r.Rule, r.RuleAt, policies.Entry{})
	}
	for _, ref := range r.Review.Rules {
		var entry policies.Entry
		if known {
			entry, _ = set.Lookup(ref)
		}
		add(ref.ID(), place(ref), entry)
	}
	return all
}

func place(ref policies.RuleRef) string { return fmt.Sprintf("%s:%d", ref.File, ref.Line) }

// left is how long until a time, in words that change once a minute.
func left(until, now time.Time) string {
	d := until.Sub(now)
	switch {
	case d <= 0:
		return "over"
	case d < time.Minute:
		return "less than a minute"
	default:
		return hours(int((d + time.Minute - 1) / time.Minute))
	}
}

// hours is a time in words; console.js spells it the same way.
func hours(minutes int) string {
	switch h, m := minutes/60, minutes%60; {
	case h == 0:
		return plural(m, "minute")
	case m == 0 || h >= 48:
		return plural(h, "hour")
	default:
		return fmt.Sprintf("%d h %d min", h, m)
	}
}

// ago is how long since a time.
func ago(at, now time.Time) string {
	d := now.Sub(at)
	switch {
	case d < time.Minute:
		return "just now"
	case d < 2*time.Hour:
		return plural(int(d/time.Minute), "minute") + " ago"
	case d < 48*time.Hour:
		return plural(int(d/time.Hour), "hour") + " ago"
	default:
		return at.UTC().Format("2 January 2006")
	}
}

// within is a time in words, as a limit.
func within(seconds int) string {
	return hours((seconds + 59) / 60)
}

func plural(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return fmt.Sprintf("%d %ss", n, word)
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func clock(t time.Time) string { return t.UTC().Format("15:04 UTC, 2 January") }

func millis(t time.Time) string { return strconv.FormatInt(t.UnixMilli(), 10) }

// stateWord is a state as people say it.
func stateWord(s string) string {
	if s == string(approvals.StatePending) {
		return "waiting"
	}
	return s
}

// notes are the marks of a query in words, by line.
func notes(v requestView) []string {
	var all []string
	for i, line := range v.Lines {
		for _, r := range line.Runs {
			if r.Note == "" {
				continue
			}
			if n := fmt.Sprintf("Line %d: %s.", i+1, r.Note); !slices.Contains(all, n) {
				all = append(all, n)
			}
		}
	}
	return all
}

func claimNames(claims map[string]string) []string { return slices.Sorted(maps.Keys(claims)) }

func orNone(s string) string {
	if s == "" {
		return "nobody is known"
	}
	return s
}

func clip(s string, n int) string { return s[:min(len(s), n)] }
