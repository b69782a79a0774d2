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

// Facts are the ways in which Decide asks for what its Input does not say. Each is asked at most
// once, and only where the decision depends on it: what is refused anyway needs none, so that
// BigQuery is never asked about what the subject may not know. A nil one is not asked: only what
// the Input says is known then.
type Facts struct {
	// RowAccess says of stored tables whether they have row access policies of BigQuery: those that
	// the query reads, the ones behind its views among them, and no rule names.
	RowAccess func(ctx context.Context, tables []*bigquery.Table) (map[string]bigquery.RowAccess, error)
	// Rewrite makes transforms in the text of the request: googlesql.Rewrite. A *googlesql.Error
	// says why it could not be done, and makes a refusal. Salt is for the RANDOM_HASH of masks.
	Rewrite func(ctx context.Context, transforms []googlesql.Transform) (*googlesql.Rewritten, error)
	Salt    []byte
	// Estimate says how much the query would read. Before a dry run's word is believed, it must be
	// known of the given tables that they have no row access policies (unmeasured).
	Estimate func(ctx context.Context, unmeasured []*bigquery.Table) (*Estimate, error)
	// Left says what is left of each of the budgets, in their order.
	Left func(ctx context.Context, budgets []Budget) ([]Left, error)
}

// transformed is the proof of what comes of transforms.
func (f *Facts) transformed(ctx context.Context, all Transforms) (*googlesql.Analysis, error) {
	transforms, err := all.sql(f.Salt)
	if err != nil {
		return nil, err
	}
	made, err := f.Rewrite(ctx, transforms)
	if err != nil {
		return nil, err
	}
	return made.Proof, nil
}

// Decide answers a request. It refuses whatever it cannot prove to be allowed. The request comes
// back with the facts that were asked for. An error is one of the facts'; the decision beside it is
// the one that stood when it was asked.
func (s *Set) Decide(ctx context.Context, r Input, facts Facts) (Decision, Input, error) {
	e := s.evaluate(&r)
	if needed := e.needsRowAccess; len(needed) > 0 && facts.RowAccess != nil {
		known, err := facts.RowAccess(ctx, needed)
		if err != nil {
			return Decision{}, r, err
		}
		r.RowAccess = known
		e = s.evaluate(&r)
	}
	if all := e.decision.Transforms; len(all) > 0 && facts.Rewrite != nil {
		proof, err := facts.transformed(ctx, all)
		var refused *googlesql.Error
		switch {
		case errors.As(err, &refused) && !refused.Passes():
			e.decision.Transforms = nil
			e.decision.Message += e.cannot + strings.TrimSuffix(refused.Message, ".")
			return e.decision, r, nil
		case err != nil:
			return Decision{}, r, fmt.Errorf("make the transforms of the query: %w", err)
		}
		r.Transformed = &Transformed{all, proof}
		e = s.evaluate(&r)
	}
	wanted := e.needsEstimate || r.Sized && e.decision.Effect != Refuse
	if r.Estimate == nil && wanted && facts.Estimate != nil && r.Analysis != nil && r.Analysis.Error == nil {
		estimate, err := facts.Estimate(ctx, e.unmeasured())
		if err != nil {
			return e.decision, r, err
		}
		r.Estimate = estimate
		e = s.evaluate(&r)
	}
	e, err := s.left(ctx, e, &r, facts)
	return e.decision, r, err
}

// decide is Decide without facts beside the request's own.
func (s *Set) decide(r Input) Decision { return s.evaluate(&r).decision }

// evaluation is one request on its way through the questions.
type evaluation struct {
	set   *Set
	input *Input
	rules []*rule // of the subject's groups
	// membership says of which groups it is not known whether the subject is in them.
	membership Membership
	statement  *googlesql.Statement
	tables     []*view
	covering   []*rule // rules that cover a table, in the order of the files
	decision   Decision
	refused    bool
	demands    []demand // uses that masking the answer does not hide

	untransformed error  // what refuses the query until the transforms of the decision are made
	cannot        string // what leads from its words to why they cannot be

	// Of a query that was transformed, as it was asked:
	collecting bool             // it is being looked at
	asked      []demand         // what was demanded
	ask        bool             // among it is a column whose other_use is approve
	expected   []masking.Column // how its answer would have been masked in flight, where that could have been done

	needsEstimate  bool
	needsLeft      bool              // what is left of the budgets is not known yet
	beyond         []string          // which budgets the query goes beyond, for its reviewers
	unasked        string            // the first table that is refused for want of them, as the query reads it
	needsRowAccess []*bigquery.Table // stored tables of which nobody knows whether they have row access policies
}

// question is one thing that is asked of a request; its error refuses.
type question func(*evaluation) error

func (s *Set) evaluate(r *Input) *evaluation { return s.askEach(r, questions) }

// questions are asked in the order of the package's documentation.
var questions = []question{
	(*evaluation).who, (*evaluation).place, (*evaluation).kind, (*evaluation).cover, (*evaluation).age, (*evaluation).understood,
	(*evaluation).schemas, (*evaluation).limits, (*evaluation).account, (*evaluation).rows, (*evaluation).masks, (*evaluation).transformed,
	(*evaluation).hold,
}

// askEach asks the questions in turn, until one refuses.
func (s *Set) askEach(r *Input, questions []question) *evaluation {
	e := &evaluation{set: s, input: r}
	var err error
	for _, ask := range questions {
		if err = ask(e); err != nil {
			break
		}
	}
	e.decision.Cites = slices.DeleteFunc(e.decision.Cites, func(ref RuleRef) bool { return ref == e.decision.Rule })
	if err == nil {
		return e
	}
	// A refusal keeps what explains it and nothing that could be used to run the query.
	d := Decision{Message: err.Error(), Groups: e.decision.Groups, Unknown: e.decision.Unknown, Sensitive: e.decision.Sensitive,
		Transforms: e.decision.Transforms}
	d.Mask.Sensitive = e.decision.Mask.Sensitive
	var known *objection
	if errors.As(err, &known) {
		d.Rule, d.Remedy, d.Cause, d.Invalid = known.rule, known.remedy, known.cause, known.invalid
		d.Exceeded = known.exceeded
	}
	for _, ref := range e.decision.Cites {
		if ref != d.Rule {
			d.Cites = append(d.Cites, ref)
		}
	}
	e.decision, e.refused = d, true
	e.needsEstimate = errors.Is(err, errEstimate)
	return e
}

// who: the zero Subject is in no group.
func (e *evaluation) who() error {
	if e.set == nil {
		return errors.New("no policy is loaded")
	}
	if !e.input.governed() {
		return fmt.Errorf("the policy does not speak of %q", shorten(e.input.Method))
	}
	subject := e.input.Subject
	e.membership = e.set.Membership(subject)
	e.decision.Groups, e.decision.Unknown = e.membership.Groups, e.membership.Unknown
	e.rules = e.set.rulesOf(e.decision.Groups)
	if len(e.rules) == 0 {
		remedy, reading := "", slices.DeleteFunc(slices.Clone(e.membership.Unknown), func(g UnknownGroup) bool {
			return len(e.set.rulesOf([]string{g.Name})) == 0
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
func (e *evaluation) kind() error {
	a := e.input.Analysis
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
		on, ref := e.targets(worst.Targets)
		if worst.Kind == scriptKind {
			return e.forbidden(ref, "a script is not allowed")
		}
		if len(a.Statements) > 1 {
			return e.forbidden(ref, "a script that contains %s%s is not allowed", what, on)
		}
		return e.forbidden(ref, "%s is not allowed%s", what, on)
	case len(a.Statements) > 1:
		return e.forbidden(e.rules[0].ref, "a script of %d statements is not allowed", len(a.Statements))
	case len(a.Statements) == 1:
		e.statement = &a.Statements[0]
	case a.Error == nil:
		return errors.New("the SQL has no statement")
	}
	return nil
}

// targets names what a statement would change, and the subject's rule that speaks of it.
func (e *evaluation) targets(targets []string) (on string, ref RuleRef) {
	ref = e.rules[0].ref
	for _, target := range targets {
		on += ", " + e.input.short(target)
		if id, ok := parseTable(target); ok {
			if covering := covering(e.rules, id); len(covering) > 0 {
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
func (e *evaluation) forbidden(ref RuleRef, format string, args ...any) error {
	return refuse(ref, e.remedy(), format+": only a single SELECT is", args...)
}

// schemas: nothing is said of a table whose columns are not known.
func (e *evaluation) schemas() error {
	for _, name := range e.statement.Tables {
		table := e.input.Tables[name]
		if table == nil || table.TableReference.String() != name || len(table.Schema.Fields) == 0 {
			return fmt.Errorf("the columns of %s are not known", e.input.short(name))
		}
		switch table.Type {
		case "TABLE", "SNAPSHOT", "CLONE", "VIEW", "MATERIALIZED_VIEW", "":
		case informationSchema:
			if !metadata(table.TableReference.Dataset, table.TableReference.Table) {
				return fmt.Errorf("%s is of type %s, which no policy can allow yet", e.input.short(name), shorten(table.Type))
			}
		default:
			return fmt.Errorf("%s is of type %s, which no policy can allow yet", e.input.short(name), shorten(table.Type))
		}
		v := e.set.view(table, covering(e.covering, table.TableReference))
		if err := e.set.there(v); err != nil {
			return refuse(RuleRef{}, "the same query, after an operator has named the table by itself under `tables`, with what holds "+
				"for its columns", "%s: %v", e.input.short(name), err)
		}
		if !v.stored && v.sensitive() {
			// Lineage leads through a view to its tables, so a mask on the view's own columns would
			// not be applied.
			return refuse(v.sensitiveRef(), "a query of the tables behind it",
				"%s is a view, and the policy speaks of its own columns: mark those of its tables", e.input.short(name))
		}
		if err := e.mended(v); err != nil {
			return err
		}
		e.tables = append(e.tables, v)
	}
	stored := 0
	for _, v := range e.tables {
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
func (e *evaluation) limits() error {
	d := &e.decision
	restricting := e.restricting()
	if err := e.within(restricting); err != nil { // by now it is known what the tables stand for
		return err
	}
	for _, r := range restricting {
		d.MaxBytes = Least(d.MaxBytes, r.maxBytes)
		d.MaxRows = Least(d.MaxRows, r.maxRows)
		d.MaxResultBytes = Least(d.MaxResultBytes, r.maxResultBytes)
	}
	for _, r := range e.covering {
		if fixed := e.input.Credential; (fixed == "" || fixed == r.credential) &&
			e.reads(func(other *rule) bool { return other.credential == r.credential }) {
			runs, err := e.run(r.credential)
			if err != nil {
				return err
			}
			d.Credential, d.Rule, d.JobsIn = r.credential, runs.ref, slices.Clone(runs.jobsIn)
			d.AsRequester = e.set.asRequester(r.credential)
			break
		}
	}
	if err := e.federate(); err != nil {
		return err
	}
	if d.Credential == "" && e.input.Credential != "" {
		return refuse(e.covering[0].ref, "the same query again",
			"no rule reads these tables any more with the credential that the query ran under")
	}
	if d.Credential == "" {
		return refuse(e.covering[0].ref, "a query of its own for the tables of each rule", "no single credential reads all of these tables")
	}
	for _, r := range e.covering {
		if r.ref != d.Rule {
			e.cite(r.ref)
		}
	}
	return nil
}

// reads says whether every table and function is covered by one of these rules.
func (e *evaluation) reads(with func(*rule) bool) bool {
	for _, name := range e.statement.Routines {
		id, ok := parseTable(name)
		if !ok || !slices.ContainsFunc(covering(e.covering, id), with) {
			return false
		}
	}
	return !slices.ContainsFunc(e.tables, func(v *view) bool { return !slices.ContainsFunc(covering(e.covering, v.id), with) })
}

func (e *evaluation) cite(ref RuleRef) {
	if ref != (RuleRef{}) && !slices.Contains(e.decision.Cites, ref) {
		e.decision.Cites = append(e.decision.Cites, ref)
	}
}

// view finds the table of a column's full name, and the column's path in it.
func (e *evaluation) view(column string) (*view, []string) {
	for _, v := range e.tables {
		if rest, ok := strings.CutPrefix(column, v.name+"."); ok && rest != "" {
			return v, strings.Split(rest, ".")
		}
	}
	return nil, nil
}
