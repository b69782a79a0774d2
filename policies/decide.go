package policies

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/googlesql"
	"github.com/bqgate/bqgate/internal/masking"
)

// Decide answers a request. It refuses whatever it cannot prove to be allowed.
func (s *Set) Decide(r Request) Decision {
	w := s.walk(&r)
	return w.decision
}

// NeedsEstimate says whether Decide would refuse this request only for want of an estimate: a rule or an approval that applies looks at the query's size, or a
// high-value table is read. What is refused anyway needs none, so that BigQuery is never asked about what the subject may not know.
func (s *Set) NeedsEstimate(r Request) bool {
	r.Estimate = nil
	w := s.walk(&r)
	return w.needsEstimate
}

// walk is one request on its way through the questions.
type walk struct {
	set       *Set
	request   *Request
	rules     []*rule // of the subject's groups
	statement *googlesql.Statement
	tables    []*view
	covering  []*rule // rules that cover a table, in the order of the files
	decision  Decision
	demands   []demand // uses that masking the answer does not hide

	// Of a query whose tables were masked first, as it was asked:
	collecting bool             // it is being looked at
	asked      []demand         // what was demanded
	ask        bool             // among it is a column whose other_use is approve
	expected   []masking.Column // how its answer would have been masked in flight, where that could have been done

	needsEstimate  bool
	needsRowAccess []*bigquery.Table // stored tables of which nobody knows whether they have row access policies
}

func (s *Set) walk(r *Request) *walk {
	w := &walk{set: s, request: r}
	err := w.decide()
	w.decision.Cites = slices.DeleteFunc(w.decision.Cites, func(ref RuleRef) bool { return ref == w.decision.Rule })
	if err == nil {
		return w
	}
	// A refusal keeps what explains it and nothing that could be used to run the query.
	d := Decision{Message: err.Error(), Groups: w.decision.Groups, Sensitive: w.decision.Sensitive, Rewrite: w.decision.Rewrite}
	d.Mask.Sensitive = w.decision.Mask.Sensitive
	var known *refusal
	if errors.As(err, &known) {
		d.Rule, d.Remedy = known.rule, known.remedy
	}
	for _, ref := range w.decision.Cites {
		if ref != d.Rule {
			d.Cites = append(d.Cites, ref)
		}
	}
	w.decision = d
	w.needsEstimate = errors.Is(err, errEstimate)
	return w
}

// decide asks the questions in the order of the package's documentation.
func (w *walk) decide() error {
	for _, question := range []func() error{w.who, w.kind, w.cover, w.understood, w.schemas, w.limits, w.account, w.rows, w.masks, w.size} {
		if err := question(); err != nil {
			return err
		}
	}
	return nil
}

// who: the zero Subject is in no group.
func (w *walk) who() error {
	if w.set == nil {
		return errors.New("no policy is loaded")
	}
	if !w.request.governed() {
		return fmt.Errorf("the policy does not speak of %q", shorten(w.request.Method))
	}
	subject := w.request.Subject
	w.decision.Groups = w.set.Groups(subject)
	w.rules = w.set.rulesOf(w.decision.Groups)
	if len(w.rules) == 0 {
		return fmt.Errorf("no policy lets %s of issuer %s read anything", quoteName(subject.Sub), quoteName(subject.Name))
	}
	return nil
}

func quoteName(name string) string {
	if name == "" {
		return "an unnamed subject"
	}
	return shorten(fmt.Sprintf("%q", name))
}

// kind: exactly one statement, and that a SELECT.
func (w *walk) kind() error {
	a := w.request.Analysis
	if a == nil {
		return errors.New("the SQL was not analysed")
	}
	worst := worstStatement(a.Statements)
	switch {
	case worst != nil:
		what := cmp.Or(worst.Kind, "a statement of unknown kind")
		on, ref := w.targets(worst.Targets)
		if len(a.Statements) > 1 {
			return w.forbidden(ref, "a script that contains %s%s is not allowed", what, on)
		}
		return w.forbidden(ref, "%s is not allowed%s", what, on)
	case len(a.Statements) > 1:
		return w.forbidden(w.rules[0].ref, "a script of %d statements is not allowed", len(a.Statements))
	case len(a.Statements) == 1:
		w.statement = &a.Statements[0]
	case a.Error == nil:
		return errors.New("the SQL has no statement")
	}
	return nil
}

// targets names what a statement would change, and the subject's rule that speaks of it.
func (w *walk) targets(targets []string) (on string, ref RuleRef) {
	ref = w.rules[0].ref
	for _, target := range targets {
		on += ", " + w.request.short(target)
		if id, ok := parseTable(target); ok {
			if covering := covering(w.rules, id); len(covering) > 0 {
				ref = covering[0].ref
			}
		}
	}
	if on != "" {
		on = " on " + shorten(strings.TrimPrefix(on, ", "))
	}
	return on, ref
}

// forbidden says what was asked, the rule that allows less, and what would pass.
func (w *walk) forbidden(ref RuleRef, format string, args ...any) error {
	return refuse(ref, w.remedy(), format+": only a single SELECT is", args...)
}

// cover: each table is covered by a rule of the subject's groups. The words are the same for a table that nobody may read and one that does not exist.
func (w *walk) cover() error {
	var closed, shows []string
	seen := map[*rule]bool{}
	for i := range w.request.Analysis.Statements {
		st := &w.request.Analysis.Statements[i]
		for _, name := range st.Tables {
			if w.request.Analysis.Error != nil && (len(split(name)) < tableParts || slices.Contains(split(name), informationSchema) && w.request.Tables[name] == nil) {
				continue // not a full name, or no view of INFORMATION_SCHEMA that is served: the error says so, and nothing was looked up
			}
			id, ok := parseTable(name)
			rules := covering(w.rules, id)
			if !ok || len(rules) == 0 {
				closed = append(closed, w.request.short(name))
				if ok && metadata(id.Dataset, id.Table) {
					shows = append(shows, name)
				}
				continue
			}
			for _, r := range rules {
				seen[r] = true
			}
		}
		// A function is covered as a table of its name would be, and so must be every table that its body reads: they are among the statement's tables.
		for _, name := range st.Routines {
			if w.request.Analysis.Error != nil && len(split(name)) < tableParts {
				continue
			}
			id, ok := parseTable(name)
			rules := covering(w.rules, id)
			if !ok || len(rules) == 0 {
				closed = append(closed, w.request.short(name)+"()")
				continue
			}
			for _, r := range rules {
				seen[r] = true
			}
		}
	}
	if len(shows) > 0 && len(shows) == len(closed) {
		return refuse(RuleRef{}, w.remedy(), "%s shows which tables there are, those that you may not read too; a policy must name it by itself (read: %s), and none of yours does",
			closed[0], shortQuoted(shows[0]))
	}
	if len(closed) > 0 {
		if w.behind(closed) {
			return refuse(RuleRef{}, "the query under a policy that covers "+strings.Join(closed, ", ")+" too",
				"%s is behind a view or a function that the query names, and no policy lets you read it; a policy must cover both", strings.Join(closed, ", "))
		}
		verb := "does"
		if len(closed) > 1 {
			verb = "do"
		}
		return refuse(RuleRef{}, w.remedy(), "%s %s not exist or no policy lets you read it", strings.Join(closed, ", "), verb)
	}
	for _, r := range w.rules {
		if seen[r] || len(seen) == 0 { // without a table every rule of the subject counts
			w.covering = append(w.covering, r)
		}
	}
	return nil
}

// behind says whether the query itself names none of these tables: it reads them through views and functions that a policy covers.
func (w *walk) behind(closed []string) bool {
	if w.request.Analysis.Error != nil {
		return false // not all references need be known
	}
	named := map[string]bool{}
	for i := range w.request.Analysis.Statements {
		st := &w.request.Analysis.Statements[i]
		if len(st.References) == 0 && len(st.Routines) == 0 {
			return false
		}
		for _, r := range st.References {
			named[w.request.short(r.Table)] = true
		}
		for _, name := range st.Routines {
			named[w.request.short(name)+"()"] = true
		}
	}
	return !slices.ContainsFunc(closed, func(name string) bool { return named[name] })
}

// covering are the rules that read a table. No pattern reads a hidden dataset: BigQuery keeps the results of others there, unmasked (A5).
func covering(rules []*rule, id tableID) []*rule {
	if strings.HasPrefix(id.Dataset, "_") {
		return nil
	}
	var all []*rule
	for _, r := range rules {
		if slices.ContainsFunc(r.read, func(p pattern) bool { return p.coversTable(id) }) {
			all = append(all, r)
		}
	}
	return all
}

// understood comes after cover: what an analysis complains about may tell of tables that the subject must not know.
func (w *walk) understood() error {
	a := w.request.Analysis
	if a.Error != nil {
		if w.tellsOfClosedTables() {
			return errors.New("something that the SQL names does not exist or no policy lets you read it")
		}
		at := ""
		if a.Error.Line > 0 {
			at = fmt.Sprintf(" (line %d, column %d)", a.Error.Line, a.Error.Column)
			if strings.Contains(a.Error.Message, fmt.Sprintf("line %d", a.Error.Line)) {
				at = ""
			}
		}
		message := strings.TrimSuffix(a.Error.Message, ".")
		switch a.Error.Code {
		case googlesql.ErrorSyntax:
			return refuse(RuleRef{}, "", "the SQL is not valid: %s%s", message, at)
		case googlesql.ErrorUnavailable, googlesql.ErrorDeadline:
			return refuse(RuleRef{}, "", "the SQL could not be checked: %s%s", message, at)
		case googlesql.ErrorNotFound:
			return refuse(RuleRef{}, "", "the SQL names something that does not exist: %s%s", message, at)
		default:
			return refuse(RuleRef{}, "", "the SQL was not understood: %s%s", message, at)
		}
	}
	if w.statement == nil {
		return errors.New("the SQL has no statement")
	}
	return nil
}

func shortQuoted(name string) string { return fmt.Sprintf("[%q]", shorten(name)) }

// notTables begin complaints about names that are not those of tables. A complaint of other words is not shown where it may be about a closed table.
var notTables = []string{"the function ", "Query parameter ", "Function not found: ", "Unrecognized name: ", "Name ", "Field name ", "Type not found: "}

// tellsOfClosedTables says whether the analyser's complaint may be about a table that cover has not looked at: one that was read although no statement is known to
// name it, or one that was not found although every named one was.
func (w *walk) tellsOfClosedTables() bool {
	for _, table := range w.request.Tables {
		if table == nil || len(covering(w.rules, table.TableReference)) == 0 {
			return true
		}
	}
	for name := range w.request.Analysis.Digests {
		routine, ok := strings.CutSuffix(name, "()")
		if id, parsed := parseTable(routine); ok && (!parsed || len(covering(w.rules, id)) == 0) {
			return true
		}
	}
	e := w.request.Analysis.Error
	if e.Code != googlesql.ErrorNotFound || slices.ContainsFunc(notTables, func(prefix string) bool { return strings.HasPrefix(e.Message, prefix) }) {
		return false
	}
	for _, st := range w.request.Analysis.Statements {
		if slices.ContainsFunc(st.Tables, func(name string) bool { return w.request.Tables[name] == nil }) {
			return false
		}
	}
	return true
}

// schemas: nothing is said of a table whose columns are not known.
func (w *walk) schemas() error {
	for _, name := range w.statement.Tables {
		table := w.request.Tables[name]
		if table == nil || table.TableReference.String() != name || len(table.Schema.Fields) == 0 {
			return fmt.Errorf("the columns of %s are not known", w.request.short(name))
		}
		switch table.Type {
		case "TABLE", "SNAPSHOT", "CLONE", "VIEW", "MATERIALIZED_VIEW", "":
		case informationSchema:
			if !metadata(table.TableReference.Dataset, table.TableReference.Table) {
				return fmt.Errorf("%s is of type %s, which no policy can allow yet", w.request.short(name), shorten(table.Type))
			}
		default:
			return fmt.Errorf("%s is of type %s, which no policy can allow yet", w.request.short(name), shorten(table.Type))
		}
		v := w.set.view(table, covering(w.covering, table.TableReference))
		if !v.stored && v.sensitive() {
			// Lineage leads through a view to its tables, so a mask on the view's own columns would not be applied.
			return refuse(v.sensitiveRef(), "a query of the tables behind it", "%s is a view, and the policy speaks of its own columns: mark those of its tables", w.request.short(name))
		}
		w.tables = append(w.tables, v)
	}
	return nil
}

// limits: of several rules the smallest limit and the shortest session; one credential must do for all tables.
func (w *walk) limits() error {
	d := &w.decision
	for _, r := range w.covering {
		d.MaxBytes = leastSet(d.MaxBytes, r.maxBytes)
		d.MaxRows = leastSet(d.MaxRows, r.maxRows)
		d.MaxResultBytes = leastSet(d.MaxResultBytes, r.maxResultBytes)
		d.MaxSession = time.Duration(leastSet(int64(d.MaxSession), int64(r.session)))
	}
	for _, r := range w.covering {
		if w.reads(r.credential) {
			d.Credential, d.Rule = r.credential, r.ref
			d.AsRequester = w.set.asRequester(r.credential)
			break
		}
	}
	if d.Credential == "" {
		return refuse(w.covering[0].ref, "a query of its own for the tables of each rule", "no single credential reads all of these tables")
	}
	for _, r := range w.covering {
		if r.ref != d.Rule {
			w.cite(r.ref)
		}
	}
	return nil
}

// reads says whether rules with this credential cover every table.
func (w *walk) reads(credential string) bool {
	for _, name := range w.statement.Routines {
		id, ok := parseTable(name)
		if !ok || !slices.ContainsFunc(covering(w.covering, id), func(r *rule) bool { return r.credential == credential }) {
			return false
		}
	}
	return !slices.ContainsFunc(w.tables, func(v *view) bool {
		return !slices.ContainsFunc(covering(w.covering, v.id), func(r *rule) bool { return r.credential == credential })
	})
}

// leastSet is the smaller of two limits, where 0 is none.
func leastSet(a, b int64) int64 {
	switch {
	case a == 0:
		return b
	case b == 0:
		return a
	default:
		return min(a, b)
	}
}

func (w *walk) cite(ref RuleRef) {
	if ref != (RuleRef{}) && !slices.Contains(w.decision.Cites, ref) {
		w.decision.Cites = append(w.decision.Cites, ref)
	}
}

// view finds the table of a column's full name, and the column's path in it.
func (w *walk) view(column string) (*view, []string) {
	for _, v := range w.tables {
		if rest, ok := strings.CutPrefix(column, v.name+"."); ok && rest != "" {
			return v, strings.Split(rest, ".")
		}
	}
	return nil, nil
}
