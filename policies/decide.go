package policies

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/googlesql"
	"github.com/bqgate/bqgate/internal/masking"
)

// Facts are how Decide gets what it wants to know beside the request. Each is asked at most once,
// and only where the decision hangs on it: what is refused anyway needs none, so that BigQuery is
// never asked about what the subject may not know. One that is nil is not to be had: what the
// request itself says is all that is known.
type Facts struct {
	// RowAccess says of stored tables whether they have row access policies of BigQuery: those that
	// the query reads, the ones behind its views among them, and no rule names.
	RowAccess func(ctx context.Context, tables []*bigquery.Table) (map[string]bigquery.RowAccess, error)
	// Rewrite masks tables inside the text of the request. A *googlesql.Error says why the text
	// could not be rewritten, and makes a refusal.
	Rewrite func(ctx context.Context, tables []MaskedTable) (*Rewritten, error)
	// Estimate says how much the query would read. Before a dry run's word is believed, it must be
	// known of the given tables that they have no row access policies (unmeasured).
	Estimate func(ctx context.Context, unmeasured []*bigquery.Table) (*Estimate, error)
}

// Decide answers a request. It refuses whatever it cannot prove to be allowed. The request comes
// back with the facts that were asked for. An error is one of the facts'; the decision beside it is
// the one that stood when it was asked.
func (s *Set) Decide(ctx context.Context, r Request, facts Facts) (Decision, Request, error) {
	w := s.walk(&r)
	if needed := w.needsRowAccess; len(needed) > 0 && facts.RowAccess != nil {
		known, err := facts.RowAccess(ctx, needed)
		if err != nil {
			return Decision{}, r, err
		}
		r.RowAccess = known
		w = s.walk(&r)
	}
	if tables := w.decision.Rewrite; len(tables) > 0 && facts.Rewrite != nil {
		rewritten, err := facts.Rewrite(ctx, tables)
		var refused *googlesql.Error
		switch {
		case errors.As(err, &refused) && refused.Code != googlesql.ErrorUnavailable:
			w.decision.Rewrite = nil
			w.decision.Message += ", and the query cannot be rewritten to compute on masked values: " + strings.TrimSuffix(refused.Message,
				".")
			return w.decision, r, nil
		case err != nil:
			return Decision{}, r, fmt.Errorf("mask tables before the query reads them: %w", err)
		}
		rewritten.Tables = tables
		r.Rewritten = rewritten
		w = s.walk(&r)
	}
	wanted := w.needsEstimate || r.Sized && w.decision.Effect != Refuse
	if r.Estimate != nil || !wanted || facts.Estimate == nil || r.Analysis == nil || r.Analysis.Error != nil {
		return w.decision, r, nil
	}
	estimate, err := facts.Estimate(ctx, w.unmeasured())
	if err != nil {
		return w.decision, r, err
	}
	r.Estimate = estimate
	return s.walk(&r).decision, r, nil
}

// decide is Decide without facts beside the request's own.
func (s *Set) decide(r Request) Decision { return s.walk(&r).decision }

// walk is one request on its way through the questions.
type walk struct {
	set     *Set
	request *Request
	rules   []*rule // of the subject's groups
	// membership says of which groups it is not known whether the subject is in them.
	membership Membership
	statement  *googlesql.Statement
	tables     []*view
	covering   []*rule // rules that cover a table, in the order of the files
	decision   Decision
	refused    bool
	demands    []demand // uses that masking the answer does not hide

	// Of a query whose tables were masked first, as it was asked:
	collecting bool             // it is being looked at
	asked      []demand         // what was demanded
	ask        bool             // among it is a column whose other_use is approve
	expected   []masking.Column // how its answer would have been masked in flight, where that could have been done

	needsEstimate  bool
	unasked        string            // the first table that is refused for want of them, as the query reads it
	needsRowAccess []*bigquery.Table // stored tables of which nobody knows whether they have row access policies
}

func (s *Set) walk(r *Request) *walk { return s.through(r, questions) }

// questions are asked in the order of the package's documentation.
var questions = []func(*walk) error{(*walk).who, (*walk).place, (*walk).kind, (*walk).cover, (*walk).age, (*walk).understood,
	(*walk).schemas, (*walk).limits, (*walk).account, (*walk).rows, (*walk).masks, (*walk).size}

// through asks questions until one refuses.
func (s *Set) through(r *Request, questions []func(*walk) error) *walk {
	w := &walk{set: s, request: r}
	var err error
	for _, question := range questions {
		if err = question(w); err != nil {
			break
		}
	}
	w.decision.Cites = slices.DeleteFunc(w.decision.Cites, func(ref RuleRef) bool { return ref == w.decision.Rule })
	if err == nil {
		return w
	}
	// A refusal keeps what explains it and nothing that could be used to run the query.
	d := Decision{Message: err.Error(), Groups: w.decision.Groups, Unknown: w.decision.Unknown, Sensitive: w.decision.Sensitive,
		Rewrite: w.decision.Rewrite}
	d.Mask.Sensitive = w.decision.Mask.Sensitive
	var known *refusal
	if errors.As(err, &known) {
		d.Rule, d.Remedy, d.Cause, d.Invalid = known.rule, known.remedy, known.cause, known.invalid
	}
	for _, ref := range w.decision.Cites {
		if ref != d.Rule {
			d.Cites = append(d.Cites, ref)
		}
	}
	w.decision, w.refused = d, true
	w.needsEstimate = errors.Is(err, errEstimate)
	return w
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
	w.membership = w.set.Membership(subject)
	w.decision.Groups, w.decision.Unknown = w.membership.Groups, w.membership.Unknown
	w.rules = w.set.rulesOf(w.decision.Groups)
	if len(w.rules) == 0 {
		remedy, reading := "", slices.DeleteFunc(slices.Clone(w.membership.Unknown), func(g UnknownGroup) bool {
			return len(w.set.rulesOf([]string{g.Name})) == 0
		})
		if len(reading) > 0 {
			remedy = "a token that tells more: " + describeUnknown(reading)
		}
		return refuse(RuleRef{}, remedy, "no policy lets %s of issuer %s read anything", quoteName(subject.Sub), quoteName(subject.Name))
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
	other := foreign(a.Statements)
	switch {
	case other != "":
		return invalid(foreignWords[other], "%s is not a statement of BigQuery's", other)
	case worst != nil:
		what := cmp.Or(worst.Kind, "a statement of unknown kind")
		on, ref := w.targets(worst.Targets)
		if worst.Kind == scriptKind {
			return w.forbidden(ref, "a script is not allowed")
		}
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
		if err := w.set.there(v); err != nil {
			return refuse(RuleRef{}, "the same query, after an operator has named the table by itself under `tables`, with what holds "+
				"for its columns", "%s: %v", w.request.short(name), err)
		}
		if !v.stored && v.sensitive() {
			// Lineage leads through a view to its tables, so a mask on the view's own columns would
			// not be applied.
			return refuse(v.sensitiveRef(), "a query of the tables behind it",
				"%s is a view, and the policy speaks of its own columns: mark those of its tables", w.request.short(name))
		}
		if err := w.mended(v); err != nil {
			return err
		}
		w.tables = append(w.tables, v)
	}
	stored := 0
	for _, v := range w.tables {
		if v.stored && !metadata(v.id.Dataset, v.id.Table) {
			stored++
		}
	}
	if stored > bigquery.MaxReferencedTables { // what it reads could not be compared with what BigQuery says that it read
		return refuse(RuleRef{}, fmt.Sprintf("queries of at most %d tables each, those behind views and functions included",
			bigquery.MaxReferencedTables),
			"it reads %d tables, and of more than %d BigQuery does not list all", stored, bigquery.MaxReferencedTables)
	}
	return nil
}

// limits: of several rules the smallest limit; one credential must do for all tables, and its rules
// let jobs run in the request's project.
func (w *walk) limits() error {
	d := &w.decision
	restricting := w.restricting()
	if err := w.within(restricting); err != nil { // by now it is known what the tables stand for
		return err
	}
	for _, r := range restricting {
		d.MaxBytes = Least(d.MaxBytes, r.maxBytes)
		d.MaxRows = Least(d.MaxRows, r.maxRows)
		d.MaxResultBytes = Least(d.MaxResultBytes, r.maxResultBytes)
	}
	for _, r := range w.covering {
		if fixed := w.request.Credential; (fixed == "" || fixed == r.credential) &&
			w.reads(func(other *rule) bool { return other.credential == r.credential }) {
			runs, err := w.run(r.credential)
			if err != nil {
				return err
			}
			d.Credential, d.Rule, d.JobsIn = r.credential, runs.ref, slices.Clone(runs.jobsIn)
			d.AsRequester = w.set.asRequester(r.credential)
			break
		}
	}
	if d.Credential == "" && w.request.Credential != "" {
		return refuse(w.covering[0].ref, "the same query again",
			"no rule reads these tables any more with the credential that the query ran under")
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

// reads says whether every table and function is covered by one of these rules.
func (w *walk) reads(with func(*rule) bool) bool {
	for _, name := range w.statement.Routines {
		id, ok := parseTable(name)
		if !ok || !slices.ContainsFunc(covering(w.covering, id), with) {
			return false
		}
	}
	return !slices.ContainsFunc(w.tables, func(v *view) bool { return !slices.ContainsFunc(covering(w.covering, v.id), with) })
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
