package approvals

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bqgate/bqgate/internal/identity"
	"github.com/bqgate/bqgate/internal/masking"
	"github.com/bqgate/bqgate/policies"
)

// What may differ between two holds of one request: ids, how the answer is written, and what of the
// token nobody sees.
var unseen = []string{
	"Decision", "Digest", "Job.JobID", "Operation.Method", "Operation.Job.", "Operation.Pretty",
	"Operation.Query.MaximumBytesBilled", // MaxBytes has it
	"Operation.Query.UseQueryCache", "Operation.Query.DryRun", "Operation.Query.JobTimeoutMs", "Operation.Query.Priority",
	"Operation.Query.Labels", "Operation.Query.NoWait", "Operation.Query.RequestID", "Operation.Query.JobCreationMode",
	"Operation.Query.Format.",
	"Subject.Name", "Subject.Owner", "Subject.Budget", "Subject.Groups", "Subject.Session", "Subject.Token",
	"Subject.Run.", "Subject.Email", // made of claims, which are seen
}

// variants calls with a copy of v for each leaf below it, that leaf changed. A slice grows as well.
func variants(v reflect.Value, path string, each func(path string)) {
	switch v.Kind() {
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			return
		}
		for i := range v.NumField() {
			variants(v.Field(i), path+"."+v.Type().Field(i).Name, each)
		}
	case reflect.Pointer:
		if !v.IsNil() {
			variants(v.Elem(), path, each)
		}
	case reflect.Slice:
		before := reflect.ValueOf(v.Interface())
		v.Set(reflect.Append(slicesClone(before), reflect.Zero(v.Type().Elem())))
		each(path + "[+]")
		v.Set(before)
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return
		}
		for i := range v.Len() {
			variants(v.Index(i), path+"[]", each)
		}
	case reflect.String:
		before := v.String()
		v.SetString(before + "x")
		each(path)
		v.SetString(before)
	case reflect.Int, reflect.Int64:
		v.SetInt(v.Int() + 1)
		each(path)
		v.SetInt(v.Int() - 1)
	case reflect.Float64:
		before := v.Float()
		v.SetFloat(before + 1)
		each(path)
		v.SetFloat(before)
	case reflect.Bool:
		v.SetBool(!v.Bool())
		each(path)
		v.SetBool(!v.Bool())
	}
}

func slicesClone(v reflect.Value) reflect.Value {
	return reflect.AppendSlice(reflect.MakeSlice(v.Type(), 0, v.Len()+1), v)
}

// seenQuery has a value wherever reviewers see one.
func seenQuery() Held {
	h := query(needing(2, need("owners"), need("privacy", "legal")), standing(5, 8))
	h.MaxBytes, h.MaxRows, h.MaxResultBytes, h.Masked = 1, 2, 3, h.Sensitive
	h.Plan = masking.Plan{Columns: []masking.Column{
		{Name: "employee", Type: "STRING", Mask: masking.Clear},
		{Name: "pay", Type: "STRUCT",
			Fields: []masking.Column{{Name: "salary", Type: "NUMERIC", Mask: masking.AlwaysNull, Expect: masking.AlwaysNull}}},
	}}
	h.Review = Review{
		Policy: "p", Forwarded: "SELECT 1", Rules: []policies.RuleRef{{Policy: "a", Name: "b"}},
		Columns: []ReviewColumn{{Name: "salary", Type: "NUMERIC", Mask: masking.AlwaysNull, Sources: []ReviewSource{{Column: "c"}}}},
		Marks:   []Mark{{Start: 1, End: 2, Column: "c", Use: "filter"}},
	}
	return h
}

// Every leaf of what is held is in the digest, but for those that are named above: a member that is
// added is in it, or this test fails.
func TestTheDigestIsOfAllThatReviewersSee(t *testing.T) {
	h := seenQuery()
	want, err := h.digest()
	if err != nil {
		t.Fatal(err)
	}
	changed := 0
	variants(reflect.ValueOf(&h).Elem(), "", func(path string) {
		path = strings.TrimPrefix(path, ".")
		got, err := h.digest()
		if err != nil {
			t.Fatal(err)
		}
		is := slices.ContainsFunc(unseen, func(p string) bool { return strings.HasPrefix(path, p) })
		if (got == want) != is {
			t.Errorf("%s changed: the digest is the same: %v", path, got == want)
		}
		changed++
	})
	if got, _ := h.digest(); got != want || changed < 60 {
		t.Fatalf("%d variants, the digest is %s", changed, got)
	}
	h.Subject.Claims = map[string]any{"sha": "def"} // one that is shown
	if got, _ := h.digest(); got == want {
		t.Error("another commit: the same digest")
	}
}

// A record whose content is not what its digest is of runs nothing, whoever sealed it.
func TestWhatWasSeenIsWhatIsRun(t *testing.T) {
	for name, change := range map[string]func(*Held){
		"plan":  func(h *Held) { h.Plan.Columns[1].Fields[0].Mask = masking.Clear },
		"cap":   func(h *Held) { h.MaxBytes = 0 },
		"rows":  func(h *Held) { h.MaxRows = 0 },
		"needs": func(h *Held) { h.Approval.Quorum = 1 },
		"who":   func(h *Held) { h.Groups = nil },
	} {
		t.Run(name, func(t *testing.T) {
			onEach(t, Options{}, func(t *testing.T, b *bench) {
				r, err := b.store.Hold(b.ctx, seenQuery())
				b.must(err)
				b.approve(r, in("ann", "owners"))
				b.approve(r, in("bob", "legal"))
				stored, _, err := b.store.read(b.ctx, r.ID)
				b.must(err)
				change(&stored.Held)
				text, err := b.store.seal(stored)
				b.must(err)
				b.must(b.client.HSet(b.ctx, requestKey(r.ID), "sealed", text).Err())
				if got, _, err := b.store.read(b.ctx, r.ID); err != nil || !reflect.DeepEqual(got.Held.Approval, stored.Held.Approval) {
					t.Fatalf("not written: %v", err)
				}
				_, err = b.store.BeginRelease(b.ctx, r.ID, owner)
				wantErr(t, err, ErrNotApproved)
			})
		})
	}
}

func vouch(name string, at time.Time, groups ...string) vote {
	return vote{
		Vote: Vote{By: name, Choice: Approve, At: at}, Issuer: "https://sso.example", Sub: "sub " + name,
		People: []string{name}, Groups: groups, AuthTime: at.Add(-5 * time.Minute),
	}
}

// Votes are counted against an approval that they were not given for.
func TestVotesMeetAnotherApproval(t *testing.T) {
	at := time.Now()
	ann, bob, cid := vouch("ann", at, "owners"), vouch("bob", at, "owners", "privacy"), vouch("cid", at, "legal")
	never := ann
	never.AuthTime = time.Time{}
	no := bob
	no.Choice = Deny
	approval := func(quorum int, needs ...policies.Need) policies.Approval {
		return policies.Approval{Quorum: quorum, Needs: needs}
	}
	within := func(d time.Duration) policies.Approval { a := approval(1); a.MaxAuthAge = d; return a }
	for name, c := range map[string]struct {
		votes Votes
		asked policies.Approval
		who   identity.Subject
		want  bool
	}{
		"none":                {nil, approval(1), identity.Subject{}, false},
		"one of one":          {Votes{ann}, approval(1), identity.Subject{}, true},
		"no quorum is one":    {nil, approval(0), identity.Subject{}, false},
		"one of two":          {Votes{ann}, approval(2), identity.Subject{}, false},
		"two of two":          {Votes{ann, bob}, approval(2), identity.Subject{}, true},
		"the same one twice":  {Votes{ann, ann}, approval(2), identity.Subject{}, false},
		"a denial is none":    {Votes{ann, no}, approval(2), identity.Subject{}, false},
		"of another group":    {Votes{ann}, approval(1, need("legal")), identity.Subject{}, false},
		"of each group":       {Votes{ann, cid}, approval(2, need("owners"), need("legal")), identity.Subject{}, true},
		"of one group of two": {Votes{ann, bob}, approval(2, need("owners"), need("legal")), identity.Subject{}, false},
		"two of one group": {
			Votes{ann, bob, cid}, approval(1, policies.Need{Groups: []string{"owners"}, Quorum: 2}), identity.Subject{}, true,
		},
		"two of a group that one is in": {
			Votes{ann, bob}, approval(1, policies.Need{Groups: []string{"privacy"}, Quorum: 2}), identity.Subject{}, false,
		},
		"the person behind the run": {Votes{ann, bob}, approval(2), identity.Subject{People: []string{"ANN "}}, false},
		"the subject that runs it": {
			Votes{ann}, approval(1), identity.Subject{Issuer: "https://sso.example", Sub: "sub ann"}, false,
		},
		"others than the person behind the run": {Votes{ann, bob}, approval(1), identity.Subject{People: []string{"ann"}}, true},
		"a login fresh enough":                  {Votes{ann}, within(5 * time.Minute), identity.Subject{}, true},
		"a login too old":                       {Votes{ann}, within(4 * time.Minute), identity.Subject{}, false},
		"a login at no known time":              {Votes{never}, within(time.Hour), identity.Subject{}, false},
		"one fresh login of two":                {Votes{never, bob}, within(time.Hour), identity.Subject{}, true},
	} {
		t.Run(name, func(t *testing.T) {
			if got := c.votes.Meet(c.asked, c.who); got != c.want {
				t.Errorf("met: %v, want %v", got, c.want)
			}
		})
	}
}

// A run under a grant is bounded by what its own policy lets stand, and narrowed to what was seen.
func TestRunsUnderAGrantAreNoMoreThanWasSeen(t *testing.T) {
	masked := func(r masking.Rule) masking.Plan {
		return masking.Plan{Columns: []masking.Column{{Name: "salary", Type: "STRING", Mask: r}}}
	}
	first := func(h *Held) {
		standing(5, 8)(h)
		h.Plan, h.MaxBytes, h.MaxRows, h.MaxResultBytes = masked(masking.LastFourCharacters), 100, 10, 1000
	}
	for name, c := range map[string]struct {
		ask  func(*Held)
		runs bool
		plan masking.Rule
		caps [3]int64
	}{
		"the same":        {func(*Held) {}, true, masking.LastFourCharacters, [3]int64{100, 10, 1000}},
		"a clearer plan":  {func(h *Held) { h.Plan = masked(masking.Clear) }, true, masking.LastFourCharacters, [3]int64{100, 10, 1000}},
		"a stricter plan": {func(h *Held) { h.Plan = masked(masking.AlwaysNull) }, true, masking.AlwaysNull, [3]int64{100, 10, 1000}},
		"another part": {
			func(h *Held) { h.Plan = masked(masking.FirstFourCharacters) }, true, masking.DefaultMaskingValue, [3]int64{100, 10, 1000},
		},
		"no caps": {
			func(h *Held) { h.MaxBytes, h.MaxRows, h.MaxResultBytes = 0, 0, 0 }, true, masking.LastFourCharacters, [3]int64{100, 10, 1000},
		},
		"larger caps": {
			func(h *Held) { h.MaxBytes, h.MaxRows, h.MaxResultBytes = 1e9, 1e9, 1e9 }, true, masking.LastFourCharacters, [3]int64{100, 10,
				1000},
		},
		"smaller caps": {
			func(h *Held) { h.MaxBytes, h.MaxRows, h.MaxResultBytes = 1, 2, 3 }, true, masking.LastFourCharacters, [3]int64{1, 2, 3},
		},
		"another shape":    {func(h *Held) { h.Plan = masking.Plan{} }, false, "", [3]int64{}},
		"a larger read":    {func(h *Held) { h.EstimatedBytes *= 2 }, false, "", [3]int64{}},
		"two must approve": {func(h *Held) { h.Approval.Quorum = 2 }, false, "", [3]int64{}},
		"others must":      {needing(1, need("legal")), false, "", [3]int64{}},
		"nothing stands":   {standing(0, 0), false, "", [3]int64{}},
		"another query":    {func(h *Held) { h.Statement = "other" }, false, "", [3]int64{}},
	} {
		t.Run(name, func(t *testing.T) {
			onEach(t, Options{}, func(t *testing.T, b *bench) {
				grant := b.approveFor(b.hold(first), dana, 5, 8)
				r := b.hold(first, laterRun(2), c.ask)
				if (r.Under == grant.ID) != c.runs || c.runs == (r.State == StatePending) {
					t.Fatalf("%s under %q", r.State, r.Under)
				}
				if !c.runs {
					if kinds := b.journal.kinds(grant.ID); strings.Contains(kinds, "run") {
						t.Errorf("a run was counted: %s", kinds)
					}
					return
				}
				_, h, err := b.store.ByJob(b.ctx, "run 2", project, "", r.JobID)
				b.must(err)
				if got := [3]int64{h.MaxBytes, h.MaxRows, h.MaxResultBytes}; h.Plan.Columns[0].Mask != c.plan || got != c.caps ||
					r.MaximumBytes != got[0] || r.MaximumRows != got[1] {
					t.Errorf("plan %s, caps %v; want %s, %v", h.Plan.Columns[0].Mask, got, c.plan, c.caps)
				}
			})
		})
	}
	onEach(t, Options{}, func(t *testing.T, b *bench) {
		grant := b.approveFor(b.hold(first), dana, 5, 8)
		for n := range 3 {
			if r := b.hold(first, laterRun(2+n), standing(2, 8)); (r.Under == grant.ID) != (n < 2) {
				t.Errorf("run %d of a grant of five, where this one may stand for two: under %q", n, r.Under)
			}
		}
	})
}
