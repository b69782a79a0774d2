package audit

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	json "github.com/go-json-experiment/json"
)

// Entry is one request with what came of it: a Decision, its Frames counted, its Outcome, and what
// was done to its approval; or a sum of requests that have no record of their own. Its JSON is a
// line of `bqgate audit list --json`.
type Entry struct {
	Time       time.Time `json:"time"`
	Kind       string    `json:"kind"` // EntryDecision, or EntryUnauthenticated
	DecisionID string    `json:"decision_id"`
	Subject    string    `json:"subject"` // the token's sub
	Issuer     string    `json:"issuer"`
	Owner      string    `json:"owner"`
	People     []string  `json:"people"`
	Groups     []string  `json:"groups"`
	Session    string    `json:"session"`
	Client     string    `json:"client"`

	Method   string `json:"method"`
	Decision string `json:"decision"` // allow, hold or refuse
	Rule     string `json:"rule"`
	Place    string `json:"place"`
	Message  string `json:"message"`
	Cause    string `json:"cause"` // for operators; of a sum, the word that all its requests were refused by

	// How many requests it stands for: one, or those without a valid token that came from these
	// addresses between Since and Time.
	Requests  int64     `json:"requests"`
	Addresses string    `json:"addresses,omitempty"`
	Since     time.Time `json:"since,omitzero"`

	SQL              string   `json:"sql"`
	ForwardedSQL     string   `json:"forwarded_sql"`
	Tables           []string `json:"tables"`
	SensitiveColumns []string `json:"sensitive_columns"`
	MaskedColumns    []string `json:"masked_columns"`
	Credential       string   `json:"credential"`
	Principal        string   `json:"principal"` // whom Google knew the request as
	Labels           []Label  `json:"labels"`    // of the job at Google, and what they stand for
	Cut              []Cut    `json:"cut"`       // which of these texts are not whole, and what they were
	EstimatedBytes   int64    `json:"estimated_bytes"`
	EstimatedCost    string   `json:"estimated_cost"`

	ProjectID string            `json:"project_id"`
	JobID     string            `json:"job_id"`
	Location  string            `json:"location"`
	RequestID string            `json:"request_id"`
	Approvals []ApprovalOfEntry `json:"approvals"`

	// Outcome is complete, broken or unknown; "" while the answer runs, and for ever if the process
	// died then.
	Outcome  string `json:"outcome"`
	Status   int    `json:"status"`
	Reason   string `json:"reason"`
	Rows     uint64 `json:"rows"`
	Bytes    uint64 `json:"bytes"`    // of the answer, as released
	Recorded uint64 `json:"recorded"` // bytes of the answer that are in the journal
}

// ApprovalOfEntry is one thing done to the approval request of an Entry.
type ApprovalOfEntry struct {
	By     string    `json:"by"`
	Kind   string    `json:"verdict"`
	Phase  string    `json:"phase"` // PhaseCommitted, or PhaseAttempt where nothing shows that it was done
	Reason string    `json:"reason"`
	At     time.Time `json:"at"`
}

// Listing is an audit folder read back.
type Listing struct {
	Entries []Entry // by time
	Report
}

// List reads an audit folder of any number of processes, running ones too. What can still be read
// is in the Listing; what cannot is in its findings.
func List(dir string, key *Key) (Listing, error) {
	l := lister{entries: make(map[string]*Entry), recorded: make(map[string]uint64), same: make(map[string]bool),
		outcomes: make(map[string]Outcome), approvals: make(map[string][]Approval)}
	report, err := Read(dir, key, l.add)
	report.Findings = append(report.Findings, l.findings...)
	return Listing{Entries: l.join(), Report: report}, err
}

// lister joins records that may stand in any order, since replicas write files of their own.
type lister struct {
	entries   map[string]*Entry // by decision
	recorded  map[string]uint64
	same      map[string]bool // of answers that refer to others
	outcomes  map[string]Outcome
	approvals map[string][]Approval // by request
	sums      []Entry               // of requests that have no record of their own
	findings  []error
}

func (l *lister) add(at Position, record Record) error {
	switch r := record.(type) {
	case Decision:
		if l.entries[r.ID] != nil {
			l.findings = append(l.findings, fmt.Errorf("%s, record %d: decision %s is there twice; the first one is listed", at.File,
				at.Seq, r.ID))
			return nil
		}
		l.entries[r.ID] = entryOf(r)
	case Frame:
		l.same[r.Decision] = l.same[r.Decision] || r.Same != nil
		l.recorded[r.Decision] = r.end(l.recorded[r.Decision])
	case Outcome:
		// The first word stands: a reaper that calls an outcome unknown may come late.
		if _, ok := l.outcomes[r.Decision]; !ok {
			l.outcomes[r.Decision] = r
		}
	case Approval:
		l.approvals[r.RequestID] = append(l.approvals[r.RequestID], r)
	case Unauthenticated:
		l.sums = append(l.sums, r.entries()...)
	case Asked, Session, Seen, Budget, Unrecorded:
	}
	return nil
}

func entryOf(d Decision) *Entry {
	return &Entry{
		Time: d.Time, DecisionID: d.ID, Kind: EntryDecision, Requests: 1, Cause: d.Cause,
		Subject: d.Subject.Sub, Issuer: d.Subject.Issuer, Owner: d.Subject.Owner, People: d.Subject.People, Groups: d.Subject.Groups,
		Session: d.Subject.Session, Client: d.Client,
		Method: d.Method, Decision: d.Effect, Rule: d.Rule, Place: d.Place, Message: d.Message,
		SQL: d.SQL, ForwardedSQL: d.ForwardedSQL, Tables: d.Tables, SensitiveColumns: d.Sensitive, MaskedColumns: d.Masked,
		Credential: d.Credential, Principal: d.Principal, Labels: d.Labels,
		EstimatedBytes: d.EstimatedBytes, EstimatedCost: d.EstimatedCost,
		ProjectID: d.Job.ProjectID, JobID: d.Job.JobID, Location: d.Job.Location, RequestID: d.RequestID, Cut: d.Cut,
	}
}

// Labelled says whether the job has a label at Google with this value, or "key:value".
func (e Entry) Labelled(label string) bool {
	return slices.ContainsFunc(e.Labels, func(l Label) bool { return l.Value == label || l.Key+":"+l.Value == label })
}

func (l *lister) join() []Entry {
	joined := slices.Grow(l.sums, len(l.entries))
	for id, e := range l.entries {
		e.Recorded = l.recorded[id]
		if o, ok := l.outcomes[id]; ok {
			e.Outcome, e.Status, e.Reason, e.Rows, e.Bytes = o.State, o.Status, o.Reason, o.Rows, o.Bytes
			if l.same[id] { // of the page that it refers to, the agent got so much
				e.Recorded = min(e.Recorded, o.Bytes)
			}
			if e.JobID == "" {
				e.ProjectID, e.JobID, e.Location = o.Job.ProjectID, o.Job.JobID, o.Job.Location
			}
		} else {
			e.Bytes = e.Recorded
		}
		if e.RequestID != "" {
			e.Approvals = foldApprovals(l.approvals[e.RequestID])
		}
		joined = append(joined, *e)
	}
	slices.SortFunc(joined, func(a, b Entry) int {
		return cmp.Or(a.Time.Compare(b.Time), cmp.Compare(a.DecisionID, b.DecisionID))
	})
	return joined
}

// foldApprovals makes one of the two records of a step, its attempt and its commit. Where a crash
// came between them, the next step proves the one before it.
func foldApprovals(records []Approval) []ApprovalOfEntry {
	done := make(map[string]bool) // nonces
	for _, r := range records {
		if r.Phase == PhaseCommitted {
			done[r.Nonce] = true
		}
		if r.Previous != "" {
			done[r.Previous] = true
		}
	}
	slices.SortStableFunc(records, func(a, b Approval) int { return cmp.Or(a.Time.Compare(b.Time), cmp.Compare(a.Version, b.Version)) })
	var steps []ApprovalOfEntry
	seen := make(map[string]bool)
	for _, r := range records {
		if r.Nonce != "" && seen[r.Nonce] {
			continue
		}
		seen[r.Nonce] = true
		step := ApprovalOfEntry{By: r.By, Kind: r.Kind, Phase: PhaseAttempt, Reason: r.Reason, At: r.Time}
		if r.Phase == PhaseCommitted || r.Nonce != "" && done[r.Nonce] {
			step.Phase = PhaseCommitted
		}
		steps = append(steps, step)
	}
	return steps
}

// WriteJSON writes a line of JSON for each entry. Lists are [] where there is nothing.
func (l Listing) WriteJSON(w io.Writer) error {
	for _, e := range l.Entries {
		if err := json.MarshalWrite(w, e); err != nil {
			return fmt.Errorf("write audit list: %w", err)
		}
		if _, err := io.WriteString(w, "\n"); err != nil {
			return fmt.Errorf("write audit list: %w", err)
		}
	}
	return nil
}

// WriteTable writes the entries for a terminal, the SQL on one line and cut to fit. What an agent
// wrote cannot move the cursor or forge a line.
func (l Listing) WriteTable(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "TIME\tSUBJECT\tDECISION\tRULE\tROWS\tBYTES\tMASKED\tREQUEST\tSQL")
	for _, e := range l.Entries {
		decision, subject, sql := e.Decision, e.Subject, e.SQL
		if e.Kind == EntryUnauthenticated {
			decision, subject, sql = fmt.Sprintf("%s ×%d", decision, e.Requests), cmp.Or(e.Addresses, "other addresses"), "("+e.Cause+")"
		}
		if e.Outcome != "" && e.Outcome != StateComplete {
			decision += " (" + e.Outcome + ")"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%d\t%d\t%d\t%s\t%s\n", e.Time.UTC().Format("2006-01-02 15:04:05.000"), oneLine(subject, 48),
			oneLine(decision, 24),
			oneLine(e.Rule, 40), e.Rows, e.Bytes, len(e.MaskedColumns), oneLine(e.RequestID, 32), oneLine(sql, 80))
	}
	if err := t.Flush(); err != nil {
		return fmt.Errorf("write audit list: %w", err)
	}
	return nil
}

// oneLine makes text fit for one cell: blanks joined, what is not printable replaced, cut after n
// characters.
func oneLine(text string, n int) string {
	var b strings.Builder
	for i, r := range []rune(strings.Join(strings.Fields(text), " ")) {
		if i == n {
			b.WriteRune('…')
			break
		}
		if !unicode.IsPrint(r) {
			r = '\uFFFD'
		}
		b.WriteRune(r)
	}
	return b.String()
}
