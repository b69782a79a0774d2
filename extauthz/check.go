package extauthz

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"github.com/oklog/ulid/v2"

	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/durable"
	"github.com/bqgate/bqgate/internal/identity"
	"github.com/bqgate/bqgate/internal/timing"
	"github.com/bqgate/bqgate/policies"
)

// Check decides about one request. It returns a gRPC error only when no answer can be trusted,
// which Envoy turns into a 503.
func (s *Service) Check(ctx context.Context, in *authv3.CheckRequest) (out *authv3.CheckResponse, err error) {
	a := s.arrived(translate(in))
	defer func() {
		if p := recover(); p != nil {
			s.Log.Error("Check panicked; the request is refused", "decision", a.id, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			out, err = unavailable(a.id), nil
		}
	}()
	step := s.decide
	if isLook(ctx) {
		step = s.look
	}
	a, o := step(ctx, a)
	late := ctx.Err() != nil
	if late { // nobody may act on it
		s.giveBack(o.forward, o.decision)
		o = outcome{fault: true, decision: a.id}
	}
	s.Meter.count(a, o)
	if late {
		return unavailable(a.id), nil
	}
	if o.summed { // strangers, and those beyond a limit, write no line each, as no record
		return s.respond(a, o)
	}
	if o.looked {
		return goOn(), nil
	}
	s.Log.Info("decision", "decision", a.id, "subject", a.subject, "method", a.op.Method, "verdict", o.String(), "rule", o.rule,
		"took", time.Since(a.started), "steps", a.clock)
	return s.respond(a, o)
}

// decide asks the questions, and concludes by what they found. What it returns is recorded,
// durably.
func (s *Service) decide(ctx context.Context, a asked) (_ asked, o outcome) {
	a, err := s.identify(ctx, a) // 1 who asks
	leave, over := s.enter(a)
	if over != nil {
		return a, s.refuse(ctx, a, ruling{}, over)
	}
	defer leave(&o)
	if err == nil {
		a, err = s.understand(ctx, a) // 2 what is asked
		if over := s.mayGoOn(a); over != nil {
			return a, s.refuse(ctx, a, ruling{}, over)
		}
	}
	if err != nil {
		return a, s.conclude(ctx, a, ruling{judged: judged{job: a.op.Job}}, err)
	}
	r, err := s.question(ctx, a)         // 3 what the SQL means, 4 may it
	return a, s.conclude(ctx, a, r, err) // 5 a person, 6 remember, 7 with what
}

// identify says who asks. Of what is asked it reads the method and the job alone, for the record:
// a body costs more to read than to send, and is read for those who have shown who they are.
func (s *Service) identify(ctx context.Context, a asked) (asked, error) {
	a.op = bigquery.Meant(a.request.http)
	subject, err := s.Identity.Authenticate(ctx, a.request.authorization)
	a.done(stepIdentity)
	if err != nil {
		a.subject = whose(err)
		return a, err
	}
	a.subject = subject
	s.Limits.GiveBack(subject.Budget, a.requestID()) // its body has come
	a.looks, a.ask = s.asking(a)
	return a, nil
}

// understand says what is asked.
func (s *Service) understand(ctx context.Context, a asked) (asked, error) {
	if a.request.http.Large() {
		done, err := s.reading.turn(ctx, a.subject.Budget)
		if err != nil {
			return a, err
		}
		defer done()
	}
	op, err := bigquery.Decode(a.request.http)
	if a.request.partial {
		err = s.tooLarge(op)
	}
	a.op = op
	a.looks, a.ask = s.asking(a) // now with its SQL
	a.done(stepDecode)
	return a, err
}

func (s *Service) tooLarge(op bigquery.Operation) error {
	return &bigquery.RequestError{
		Status: http.StatusRequestEntityTooLarge, Reason: "invalid", Method: op.Method,
		Message: fmt.Sprintf("the request body is larger than this gateway takes: %d bytes (envoy.limits.max_request_bytes)", s.maxBody()),
	}
}

// question asks what there is to ask about a request of its kind. It writes nothing: what it found
// is returned, beside the error that ended it too.
func (s *Service) question(ctx context.Context, a asked) (r ruling, err error) {
	groups, err := s.admit(a)
	switch {
	case err != nil:
		r.job = a.op.Job
	case a.op.Query != nil && a.op.Query.DryRun:
		r, err = s.dryRun(ctx, a)
	case a.op.Query != nil:
		r, err = s.query(ctx, a)
	case a.op.Read != nil && a.op.Read.Table != nil:
		r, err = s.readTable(ctx, a)
	case a.op.Read != nil:
		r, err = s.read(ctx, a)
	case a.op.List != nil:
		r, err = s.listJobs(ctx, a)
	case a.op.Metadata != nil:
		r, err = s.metadata(ctx, a)
	default:
		err = errors.New("operation without a request")
	}
	if r.decision.Groups == nil {
		r.decision.Groups = groups
	}
	if r.sql == "" && a.op.Query != nil {
		r.sql = a.op.Query.SQL
	}
	if r.job == (bigquery.JobReference{}) {
		r.job = a.op.Job
	}
	return r, err
}

// asked is one request as it was asked. Once it is understood, nothing of it changes.
type asked struct {
	id      string // of the decision: "d-" and a ULID
	started time.Time
	request request
	op      bigquery.Operation
	subject identity.Subject
	ask     durable.Ask   // with which facts are looked up at Google
	looks   *looks        // how many were
	clock   *timing.Clock // where the time goes, for the log
	policy  *policies.Set // the one that decides
}

// requestID is the id that Envoy gave the request, the same in the early look and in the check.
func (a asked) requestID() string {
	if ids := a.request.http.Header["x-request-id"]; len(ids) == 1 {
		return ids[0]
	}
	return ""
}

// arrived is a request that has just come. It meets the policy that is in force now, and no other
// one: what is loaded while it is decided is for the next request.
func (s *Service) arrived(r request) asked {
	a := asked{
		id: "d-" + ulid.Make().String(), started: time.Now().UTC(), request: r, clock: &timing.Clock{}, policy: s.Policies(),
	}
	a.clock.Begin()
	return a
}

// next is the same request with a decision of its own: what follows the release of a held query. It
// meets the policy of its own time, as a poll of its own would.
func (s *Service) next(a asked) asked {
	n := s.arrived(a.request)
	n.op, n.subject, n.clock = a.op, a.subject, a.clock
	n.looks, n.ask = s.asking(n)
	return n
}
