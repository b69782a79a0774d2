package extauthz

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"golang.org/x/time/rate"

	"github.com/bqgate/bqgate/internal/audit"
	"github.com/bqgate/bqgate/internal/audit/audittest"
	"github.com/bqgate/bqgate/internal/identity"
	"github.com/bqgate/bqgate/internal/limits"
	"github.com/bqgate/bqgate/internal/unauthenticated"
)

// door is a Service whose identity step says what is set, and its journal.
type door struct {
	*boundWorld
	err     error
	journal audittest.Journal
	log     bytes.Buffer
}

func (d *door) Authenticate(context.Context, []string) (identity.Subject, error) {
	return identity.Subject{}, d.err
}

func newDoor(t *testing.T, err error) *door {
	d := &door{boundWorld: newBoundWorld(t), err: err}
	log := slog.New(slog.NewTextHandler(&d.log, nil))
	d.s.Identity, d.s.Journal, d.s.Log = d, &d.journal, log
	d.s.Strangers = unauthenticated.New(&d.journal, log)
	d.s.singles = rate.NewLimiter(singlesPerSecond, singlesAtOnce)
	return d
}

func (d *door) knock(t *testing.T, source string, headers ...string) *authv3.CheckResponse {
	t.Helper()
	h := &authv3.AttributeContext_HttpRequest{
		Method:    "POST",
		Path:      queriesPath,
		RawBody:   []byte(plainQuery),
		HeaderMap: &corev3.HeaderMap{},
	}
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ": ")
		h.HeaderMap.Headers = append(h.HeaderMap.Headers, &corev3.HeaderValue{Key: name, RawValue: []byte(value)})
	}
	out, err := d.s.Check(t.Context(), &authv3.CheckRequest{Attributes: &authv3.AttributeContext{
		Source: &authv3.AttributeContext_Peer{Address: &corev3.Address{Address: &corev3.Address_SocketAddress{
			SocketAddress: &corev3.SocketAddress{Address: source},
		}}},
		Request: &authv3.AttributeContext_Request{Http: h},
	}})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// sums are what the journal has of strangers, once the counter has written, and decisions the
// records of single ones.
func (d *door) sums() (sums []audit.UnauthenticatedCount, decisions []audit.Decision) {
	d.s.Strangers.Close()
	for _, r := range d.journal.Records() {
		switch r := r.(type) {
		case audit.Unauthenticated:
			sums = append(sums, r.Counts...)
		case audit.Decision:
			decisions = append(decisions, r)
		}
	}
	return sums, decisions
}

// Of whom nobody knows who they are there is no record each, nor a line in the log; whose token the
// issuer signed is recorded, with whose it is.
func TestStrangersAreSummedUp(t *testing.T) {
	known := identity.Subject{Issuer: "https://ci.example", Sub: "repo:org/app"}
	for name, c := range map[string]struct {
		err    identity.Error
		single bool
	}{
		"no credential":              {identity.Error{Status: 401, Reason: "required", Code: identity.CodeMissing}, false},
		"no token":                   {identity.Error{Status: 403, Code: identity.CodeMalformed}, false},
		"an unknown session":         {identity.Error{Status: 401, Reason: "authError", Code: identity.CodeSession}, false},
		"an issuer of nobody's":      {identity.Error{Status: 403, Code: identity.CodeIssuer}, false},
		"a forged signature":         {identity.Error{Status: 403, Code: identity.CodeSignature}, false},
		"expired, unsigned":          {identity.Error{Status: 403, Code: identity.CodeExpired}, false},
		"expired, signed":            {identity.Error{Status: 403, Code: identity.CodeExpired, Subject: known}, true},
		"for another, unsigned":      {identity.Error{Status: 403, Code: identity.CodeAudience}, false},
		"for another, signed":        {identity.Error{Status: 403, Code: identity.CodeAudience, Subject: known}, true},
		"a revoked token":            {identity.Error{Status: 403, Code: identity.CodeRevoked, Subject: known}, true},
		"a revoked session":          {identity.Error{Status: 401, Code: identity.CodeSession, Subject: known}, true},
		"an issuer that is down":     {identity.Error{Status: 403, Code: identity.CodeUnavailable}, true},
		"signed, and lacking claims": {identity.Error{Status: 403, Code: identity.CodeClaims, Subject: known}, true},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDoor(t, &c.err)
			out := d.knock(t, "192.0.2.7")
			denied := out.GetDeniedResponse()
			if int(denied.GetStatus().GetCode()) != c.err.Status {
				t.Fatalf("answered %v", out)
			}
			sums, decisions := d.sums()
			if c.single {
				if len(sums) != 0 || len(decisions) != 1 || decisions[0].Subject.Sub != c.err.Subject.Sub ||
					decisions[0].Subject.Owner != "" {
					t.Fatalf("%+v and %+v, want one decision", sums, decisions)
				}
				if !strings.Contains(denied.GetBody(), decisions[0].ID) {
					t.Errorf("the answer does not name the decision: %s", denied.GetBody())
				}
				return
			}
			want := audit.UnauthenticatedCount{Cause: string(c.err.Code), Addresses: "192.0.2.0/24", Requests: 1}
			if len(decisions) != 0 || len(sums) != 1 || sums[0] != want {
				t.Errorf("%+v and %+v, want %+v", sums, decisions, want)
			}
			if strings.Contains(denied.GetBody(), "Decision") || strings.Contains(d.log.String(), "msg=decision") {
				t.Errorf("a decision is told of that no record has: %s\n%s", denied.GetBody(), d.log.String())
			}
		})
	}
}

// Who replays tokens that are over fills nobody's disk either, in however many names.
func TestSingleRecordsHaveABudget(t *testing.T) {
	d := newDoor(t, nil)
	const all = 5 * singlesAtOnce
	for i := range all {
		d.err = &identity.Error{Status: 403, Code: identity.CodeExpired,
			Subject: identity.Subject{Sub: "a", Issuer: "i", Budget: fmt.Sprint(i % 50)}}
		if out := d.knock(t, "192.0.2.7"); out.GetDeniedResponse().GetStatus().GetCode() != 403 {
			t.Fatalf("%v", out)
		}
	}
	sums, decisions := d.sums()
	if len(sums) != 1 || len(decisions) < singlesAtOnce || len(decisions) > 2*singlesAtOnce ||
		int(sums[0].Requests)+len(decisions) != all {
		t.Errorf("%d decisions, and %+v", len(decisions), sums)
	}
}

// One owner's flood of tokens that are over, under whatever sub, uses up its own part: another
// owner's expired token is still recorded singly, with whose it is.
func TestSingleRecordsAreEachOwners(t *testing.T) {
	d := newDoor(t, nil)
	d.s.Limits = limits.New(nil)
	expired := func(sub, budget string) {
		t.Helper()
		d.err = &identity.Error{Status: 403, Code: identity.CodeExpired, Subject: identity.Subject{Sub: sub, Issuer: "i", Budget: budget}}
		if out := d.knock(t, "192.0.2.7"); out.GetDeniedResponse().GetStatus().GetCode() != 403 {
			t.Fatalf("%v", out)
		}
	}
	const flood = 5 * singlesAtOnce
	for i := range flood {
		expired(fmt.Sprintf("repo:greedy/app:ref:%d", i), "greedy/app")
	}
	for i := range 10 {
		expired("repo:honest/app", fmt.Sprintf("honest/app-%d", i))
	}
	sums, decisions := d.sums()
	honest := 0
	for _, r := range decisions {
		if r.Subject.Sub == "repo:honest/app" {
			honest++
		}
	}
	if most := limits.Kinds[limits.RefusedTokens].Default.Burst; honest != 10 || len(decisions) > 10+2*int(most) {
		t.Errorf("%d of 10 honest ones are recorded singly, %d in all, and %+v", honest, len(decisions), sums)
	}
}

// A flood leaves a record a second and one every ten, and not one each.
func TestAFloodOfStrangersIsNotWritten(t *testing.T) {
	d := newDoor(t, &identity.Error{Status: 401, Reason: "required", Code: identity.CodeMissing})
	const all = 2000
	for i := range all {
		d.knock(t, fmt.Sprintf("10.%d.%d.1", i/256, i%256))
	}
	sums, _ := d.sums()
	total := 0
	for _, c := range sums {
		total += int(c.Requests)
	}
	if n := len(d.journal.Records()); n > 100 || total != all || len(sums) > 300 {
		t.Errorf("%d records, %d rows, %d of %d requests", n, len(sums), total, all)
	}
	if lines := strings.Count(d.log.String(), "\n"); lines > 10 {
		t.Errorf("%d lines in the log, as %.600s", lines, d.log.String())
	}
}

// With a dead journal not even strangers get anything but a fault (I1).
func TestStrangersAndADeadJournal(t *testing.T) {
	d := newDoor(t, &identity.Error{Status: 401, Reason: "required", Code: identity.CodeMissing})
	d.journal.Refuse = audittest.Broken(errors.New("no space left on device"))
	if out := d.knock(t, "192.0.2.7"); out.GetErrorResponse().GetStatus().GetCode() != 503 {
		t.Errorf("answered %v", out)
	}
}

// The client's address is Envoy's word: what it says in x-envoy-external-address, and otherwise who
// connected to it.
func TestWhereStrangersComeFrom(t *testing.T) {
	for name, c := range map[string]struct {
		source  string
		headers []string
		want    string
	}{
		"connected":              {"192.0.2.7", nil, "192.0.2.0/24"},
		"connected by IPv6":      {"2001:db8:1:2:3::4", nil, "2001:db8:1:2::/64"},
		"behind a trusted proxy": {"10.0.0.1", []string{"x-envoy-external-address: 198.51.100.9"}, "198.51.100.0/24"},
		"a header of the client": {"192.0.2.7", []string{"x-forwarded-for: 203.0.113.1"}, "192.0.2.0/24"},
		"two addresses": {"192.0.2.7",
			[]string{"x-envoy-external-address: 203.0.113.1", "x-envoy-external-address: 203.0.113.2"}, "192.0.2.0/24"},
		"an address that is none": {"192.0.2.7", []string{"x-envoy-external-address: CANARY-4711"}, "other"},
		"no address":              {"", nil, "other"},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDoor(t, &identity.Error{Status: 401, Reason: "required", Code: identity.CodeMissing})
			d.knock(t, c.source, c.headers...)
			if sums, _ := d.sums(); len(sums) != 1 || sums[0].Addresses != c.want {
				t.Errorf("%+v, want %s", sums, c.want)
			}
		})
	}
}
