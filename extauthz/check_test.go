package extauthz

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"github.com/redis/go-redis/v9"
	"google.golang.org/protobuf/proto"

	"github.com/bqgate/bqgate/internal/audit"
	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/credentials"
	"github.com/bqgate/bqgate/internal/durable"
	"github.com/bqgate/bqgate/internal/googlesql"
	"github.com/bqgate/bqgate/internal/identity"
	"github.com/bqgate/bqgate/internal/jobs"
	"github.com/bqgate/bqgate/internal/unauthenticated"
	"github.com/bqgate/bqgate/internal/verdict"
)

const openPolicy = `version: bqgate/v1
groups:
  agents: {issuer: ci, when: 'true'}
rules:
  - {name: r, groups: [agents], read: [p.finance.*], max_bytes: 10GiB, credential: reader}
`

// parts are steps of a Service that fail, and what happened in which order.
type parts struct {
	*boundWorld
	order    []string
	identity error
	analyze  func(context.Context) (*googlesql.Analysis, error)
	journal  error
	mint     error
}

func newParts(t *testing.T) *parts {
	t.Helper()
	p := &parts{boundWorld: newBoundWorld(t)}
	p.policy(openPolicy)
	p.s.Identity, p.s.Analyzer, p.s.Journal, p.s.Credentials = p, p, p, p
	p.s.Strangers = unauthenticated.New(p, p.s.Log)
	return p
}

func (p *parts) Authenticate(_ context.Context, authorization []string) (identity.Subject, error) {
	if len(authorization) == 0 {
		return identity.Subject{}, &identity.Error{Status: 401, Reason: "required", Message: "no credential was sent"}
	}
	return p.subject, p.identity
}

func (p *parts) Analyze(ctx context.Context, r googlesql.Query) (*googlesql.Analysis, error) {
	p.order = append(p.order, "analyse")
	if p.boundWorld.analysis == nil {
		panic("no analysis: 123-45-6789")
	}
	if p.analyze != nil {
		return p.analyze(ctx)
	}
	return p.boundWorld.Analyze(ctx, r)
}

func (p *parts) Append(_ context.Context, r audit.Record) (audit.Position, error) {
	switch r := r.(type) {
	case audit.Asked:
		p.order = append(p.order, "asked")
	case audit.Decision:
		p.order = append(p.order, "record "+r.Effect)
	case audit.Outcome:
		p.order = append(p.order, "outcome "+r.State)
	case audit.Unrecorded:
		p.order = append(p.order, "record "+r.What)
	default:
		return audit.Position{}, fmt.Errorf("record of type %T", r)
	}
	return audit.Position{}, p.journal
}

func (p *parts) Mint(_ context.Context, _ durable.Runs, run credentials.Run) (credentials.Credential, error) {
	p.order = append(p.order, "mint")
	return credentials.Credential{Token: credentials.Token{Account: "reader"}}, p.mint
}

// check is one CheckRequest as Envoy makes it.
func (p *parts) check(ctx context.Context, verb, path, body string, headers ...string) *authv3.CheckResponse {
	p.t.Helper()
	h := &authv3.AttributeContext_HttpRequest{Method: verb, Path: path, RawBody: []byte(body), HeaderMap: &corev3.HeaderMap{}}
	for _, line := range append([]string{":path: " + path, "content-type: application/json"}, headers...) {
		i := strings.Index(line[1:], ":") + 1
		h.HeaderMap.Headers = append(h.HeaderMap.Headers,
			&corev3.HeaderValue{Key: line[:i], RawValue: []byte(strings.TrimSpace(line[i+1:]))})
	}
	out, err := p.s.Check(ctx,
		&authv3.CheckRequest{Attributes: &authv3.AttributeContext{Request: &authv3.AttributeContext_Request{Http: h}}})
	if err != nil {
		p.t.Fatal(err)
	}
	return out
}

const (
	queriesPath = "/bigquery/v2/projects/p/queries"
	plainQuery  = `{"query": "SELECT employee FROM finance.payroll", "useLegacySql": false}`
	bearer      = "authorization: Bearer client's"
)

// What leaves is decided, then durable, then minted for; the caller's credential and headers are
// gone, and the verdict is sealed to this request.
func TestAnAllowedQuery(t *testing.T) {
	p := newParts(t)
	out := p.check(t.Context(), "POST", queriesPath+"?prettyPrint=false&alt=json", plainQuery, bearer, "x-goog-user-project: theirs",
		"accept-encoding: gzip", "x-forwarded-for: 1.2.3.4")
	ok := out.GetOkResponse()
	if ok == nil {
		t.Fatalf("%v", out)
	}
	if want := []string{"analyse", "asked", "record allow", "mint"}; !slices.Equal(p.order, want) {
		t.Errorf("order %v, want %v", p.order, want)
	}
	if len(ok.Headers) != 1 || ok.Headers[0].Header.Key != "authorization" ||
		ok.Headers[0].AppendAction != corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD || len(ok.Headers[0].Header.RawValue) > 0 {
		t.Errorf("headers set: %v", ok.Headers)
	}
	if want := []string{"x-goog-user-project", "accept-encoding", "x-forwarded-for"}; !slices.Equal(ok.HeadersToRemove, want) {
		t.Errorf("headers removed: %v, want %v", ok.HeadersToRemove, want)
	}
	f, err := verdict.Open(p.s.Keys, out.DynamicMetadata.Fields[verdict.Key].GetStringValue(), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if f.Verb != "POST" || f.Path != queriesPath || f.RequestDigest != verdict.Digest([]byte(plainQuery)) || !f.Creates ||
		len(f.Plan.Columns) != 1 {
		t.Errorf("verdict %+v", f)
	}
	// What BigQuery may bill is the estimate that was decided on, 1 GiB, in whole steps of 10 MiB,
	// a tenth, and the 10 MiB that it bills at least for a table and for a query.
	if f.Record.Mutation.MaximumBytesBilled != (1030+103+20)<<20 ||
		!strings.HasPrefix(f.Record.Mutation.Decision, jobs.LabelValue(f.Decision)+"-") || f.Record.Mutation.RequestID == "" {
		t.Errorf("mutation %+v", f.Record.Mutation)
	}
}

// Whatever fails, nothing is minted and nothing passes.
func TestNothingPassesWhereAStepFails(t *testing.T) {
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	cases := map[string]struct {
		damage func(p *parts)
		ctx    context.Context
		path   string
		body   string
		auth   []string
		status int // 503 is an answer that Envoy counts as an error
		says   string
	}{
		"no credential": {auth: []string{}, status: 401, says: "no credential was sent"},
		"identity refuses": {damage: func(p *parts) {
			p.identity = &identity.Error{Status: 403, Reason: "accessDenied", Message: "expired"}
		}, status: 403, says: "expired"},
		"identity is unavailable": {damage: func(p *parts) { p.identity = errors.New("keys of the issuer: timeout") }, status: 503},
		"malformed body":          {body: `{"query": "SELECT 1", "query": "SELECT 2", "useLegacySql": false}`, status: 400, says: "query"},
		"unknown field": {body: `{"query": "SELECT 1", "useLegacySql": false, "impersonate": "x"}`, status: 400,
			says: "impersonate"},
		"unknown path": {path: "/bigquery/v2/projects/p/secrets", status: 403},
		"other API":    {path: "/storage/v1/b", status: 403},
		"analysis fails": {damage: func(p *parts) {
			p.analyze = func(context.Context) (*googlesql.Analysis, error) { return nil, errors.New("pool closed") }
		}, status: 503},
		"analysis is too late": {damage: func(p *parts) {
			p.analyze = func(context.Context) (*googlesql.Analysis, error) {
				return &googlesql.Analysis{Error: &googlesql.Error{Code: googlesql.ErrorUnavailable, Message: "queue is full"}}, nil
			}
		}, status: 503},
		"analysis does not understand": {damage: func(p *parts) {
			p.analyze = func(context.Context) (*googlesql.Analysis, error) {
				return &googlesql.Analysis{
					Error: &googlesql.Error{Code: googlesql.ErrorUnsupported, Message: "MATCH_RECOGNIZE is not supported"},
				}, nil
			}
		}, status: 403, says: "MATCH_RECOGNIZE is not supported"},
		"empty analysis": {damage: func(p *parts) {
			p.analyze = func(context.Context) (*googlesql.Analysis, error) { return &googlesql.Analysis{}, nil }
		}, status: 403},
		"a step panics": {damage: func(p *parts) { p.boundWorld.analysis = nil }, status: 503},
		"journal fails": {damage: func(p *parts) { p.journal = errors.New("disk full") }, status: 503},
		"no policy matches": {damage: func(p *parts) { p.policy(strings.Replace(openPolicy, "'true'", "'false'", 1)) }, status: 403,
			says: "refused"},
		"no token":             {damage: func(p *parts) { p.mint = errors.New("STS: timeout") }, status: 503},
		"Envoy has hung up":    {ctx: gone, status: 503},
		"job of somebody else": {path: queriesPath + "/theirs", status: 403, says: "not a job of yours"},
		"redis does not answer": {damage: func(p *parts) { p.s.Jobs = jobs.NewStore(deadRedis(p.t), p.s.Keys) }, path: queriesPath + "/j",
			status: 503},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			p := newParts(t)
			if c.damage != nil {
				c.damage(p)
			}
			ctx, verb, path, body, auth := c.ctx, "POST", queriesPath, plainQuery, []string{bearer}
			if ctx == nil {
				ctx = t.Context()
			}
			if c.path != "" {
				verb, path, body = "GET", c.path, ""
			}
			if c.body != "" {
				body = c.body
			}
			if c.auth != nil {
				auth = c.auth
			}
			out := p.check(ctx, verb, path, body, auth...)
			// A denial may say that it is one (ReplyMetadata), and nothing else: no verdict.
			said := out.GetDynamicMetadata()
			if out.GetOkResponse() != nil || said != nil && (out.GetDeniedResponse() == nil || !proto.Equal(said, replied)) {
				t.Fatalf("passed: %v", out)
			}
			status, text := int(out.GetDeniedResponse().GetStatus().GetCode()), out.GetDeniedResponse().GetBody()
			if e := out.GetErrorResponse(); e != nil {
				status, text = int(e.GetStatus().GetCode()), e.GetBody()
			}
			if status != c.status || !strings.Contains(text, c.says) || !strings.Contains(text, "bqgate: ") {
				t.Errorf("status %d, body %s; want %d and %q", status, text, c.status, c.says)
			}
			for _, secret := range []string{"123-45-6789", "disk full", "timeout", "pool closed", "queue is full"} {
				if strings.Contains(text, secret) {
					t.Errorf("the client reads %q: %s", secret, text)
				}
			}
			minted := slices.Contains(p.order, "mint")
			if allowed := slices.Index(p.order, "record allow"); minted &&
				(p.mint == nil && c.ctx == nil || allowed < 0 || allowed > slices.Index(p.order, "mint")) {
				t.Errorf("a token was minted: %v", p.order)
			}
			if c.ctx == nil && name != "a step panics" &&
				!slices.ContainsFunc(p.order, func(s string) bool { return strings.HasPrefix(s, "record ") }) {
				t.Errorf("nothing was recorded: %v", p.order)
			}
		})
	}
}

// A17: a column becomes sensitive after the job ran. The next read masks it, and where it cannot be
// masked any more, ends.
func TestReadsAreDecidedOnAgain(t *testing.T) {
	p := newParts(t)
	record := jobs.Record{
		Job: bigquery.JobReference{ProjectID: "p", Location: "US", JobID: "j"}, Owner: p.subject.Owner, Decision: "d-1",
		Query: bigquery.QueryRequest{SQL: "SELECT employee FROM finance.payroll"}, Analysis: *p.boundWorld.analysis(),
		Tables:     []string{"p.finance.payroll"},
		Credential: "reader", Principal: "reader@p.iam", Created: time.Now(),
		RowAccess: map[string]bigquery.RowAccess{"p.finance.payroll": bigquery.RowAccessNone},
	}
	record.SQLDigest = jobs.Digest(record.Query.SQL)
	first := p.check(t.Context(), "POST", queriesPath, plainQuery, bearer)
	f, err := verdict.Open(p.s.Keys, first.DynamicMetadata.Fields[verdict.Key].GetStringValue(), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	record.Plan = f.Plan
	if err := p.s.Jobs.Create(t.Context(), record); err != nil {
		t.Fatal(err)
	}
	read := func() *authv3.CheckResponse { return p.check(t.Context(), "GET", queriesPath+"/j", "", bearer) }
	plan := func() verdict.Forward {
		t.Helper()
		out := read()
		f, err := verdict.Open(p.s.Keys, out.GetDynamicMetadata().GetFields()[verdict.Key].GetStringValue(), time.Now())
		if err != nil {
			t.Fatalf("%v: %v", err, out)
		}
		return *f
	}
	if f := plan(); f.Plan.Columns[0].Mask != "CLEAR" {
		t.Fatalf("before: %+v", f.Plan)
	}
	p.policy(openPolicy + "columns:\n  - {match: p.finance.payroll.employee, mask: LAST_FOUR_CHARACTERS}\n")
	if f := plan(); f.Plan.Columns[0].Mask != "LAST_FOUR_CHARACTERS" {
		t.Errorf("a column that is sensitive now: %+v", f.Plan)
	}
	p.policy(strings.Replace(openPolicy, "p.finance.*", "p.crm.*", 1))
	if out := read(); out.GetOkResponse() != nil || out.GetDeniedResponse().GetStatus().GetCode() != 403 {
		t.Errorf("a table that may not be read any more: %v", out)
	}
	p.policy(openPolicy)
	p.subject.Owner = "somebody else"
	if out := read(); out.GetOkResponse() != nil || !strings.Contains(out.GetDeniedResponse().GetBody(), "not a job of yours") {
		t.Errorf("somebody else's job: %v", out)
	}
}

// deadRedis is a client of a Redis that is not there.
func deadRedis(t *testing.T) *redis.Client {
	m := miniredis.RunT(t)
	client := redis.NewClient(&redis.Options{Addr: m.Addr(), MaxRetries: -1})
	t.Cleanup(func() { client.Close() })
	m.Close()
	return client
}
