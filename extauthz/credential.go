package extauthz

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/bqgate/bqgate/internal/credentials"
	"github.com/bqgate/bqgate/internal/durable"
	"github.com/bqgate/bqgate/internal/identity"
	"github.com/bqgate/bqgate/internal/refusal"
	"github.com/bqgate/bqgate/policies"
)

var errRevokedMeanwhile = errors.New("the subject was revoked while its request was decided")

// mint gives the token of a run that begins now. Nothing is minted for what waits (A10). It comes
// after the job is noted as one that may run: who is revoked before is stopped here, and who is
// revoked later has the job cancelled (A51).
func (s *Service) mint(ctx context.Context, w durable.Runs, a asked, account string, until time.Time) (credentials.Credential, error) {
	if s.Sessions.Over(a.subject) {
		return credentials.Credential{}, errRevokedMeanwhile
	}
	requester, err := s.Credentials.Requester(account, a.subject)
	if err != nil {
		return credentials.Credential{}, fmt.Errorf("mint token: %w", err)
	}
	c, err := s.Credentials.Mint(ctx, w, credentials.Run{Account: account, Owner: a.subject.Owner, Requester: requester, Until: until})
	if err != nil {
		return c, fmt.Errorf("mint token: %w", err)
	}
	return c, nil
}

// principal is whom Google knows an account as when the subject asks with it, "" where it cannot.
func (s *Service) principal(a asked, account string) string {
	_, principal := s.runsAs(a, account)
	return principal
}

// runsAs is as whom an account runs for the subject, and whom Google knows that as: nobody where it
// cannot. Why it cannot, mint says.
func (s *Service) runsAs(a asked, account string) (requester identity.Requester, principal string) {
	requester, err := s.Credentials.Requester(account, a.subject)
	if err != nil {
		return identity.Requester{}, ""
	}
	return requester, s.Credentials.Principal(account, requester)
}

// stillGood refuses a request whose identity token, or the one behind its session, has ended since
// it came: a poll may have waited for its reviewers meanwhile.
func (s *Service) stillGood(a asked) error {
	if s.now().Before(a.subject.Expiry) {
		return nil
	}
	e := &refusal.Refusal{
		What:   fmt.Sprintf("the identity token that this request came with ended at %s", a.subject.Expiry.UTC().Format(time.RFC3339)),
		Remedy: "the same request with a new token of the same run: what was approved stays so",
	}
	if a.subject.Session != "" {
		e.Status, e.Reason = http.StatusUnauthorized, "authError" // so that stock clients exchange their token again
	}
	return e
}

// until is when the right ends that a decision gives: with the identity token, or with the rule's
// `for`. A subject whose token has no end has none.
func until(a asked, d policies.Decision) time.Time {
	end := a.subject.Expiry
	if d.MaxSession > 0 {
		if over := a.subject.Issued.Add(d.MaxSession + identity.ClockSkew); over.Before(end) {
			end = over
		}
	}
	return end
}
