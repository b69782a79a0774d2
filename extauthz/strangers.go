package extauthz

import (
	"context"
	"errors"

	"github.com/bqgate/bqgate/internal/identity"
	"github.com/bqgate/bqgate/internal/limits"
	"github.com/bqgate/bqgate/internal/refusal"
)

// Of refused identities so many are recorded singly, of all owners together; the others are counted
// with the strangers'. Each owner has a part of them (limits.RefusedTokens), so that nobody's flood
// of tokens that are over uses up the others'.
const (
	singlesPerSecond = 10
	singlesAtOnce    = 100
)

// stranger says whether an error refuses somebody of whom nobody knows who they are, and by which
// cause. Whose token the issuer has signed is known, though it is good for nothing now; so is that
// the gateway could not look. Both are recorded, as long as there are not too many.
func (s *Service) stranger(err error) (cause string, stranger bool) {
	var refused *identity.Error
	if !errors.As(err, &refused) {
		return "", false
	}
	if refused.Subject.Sub == "" && refused.Code != identity.CodeUnavailable {
		return string(refused.Code), true
	}
	if s.Limits.Spend(refused.Subject.Budget, limits.RefusedTokens, 1) != nil {
		return string(refused.Code), true
	}
	return string(refused.Code), !s.singles.Allow()
}

// whose is who the refused token stands for, where its issuer has signed it; for the record alone.
func whose(err error) identity.Subject {
	var refused *identity.Error
	if !errors.As(err, &refused) {
		return identity.Subject{}
	}
	return refused.Subject
}

// turnAway refuses a stranger: counted, and answered if the journal takes records. No decision is
// named, since none is recorded.
func (s *Service) turnAway(ctx context.Context, a asked, e *refusal.Refusal, cause string) outcome {
	w, err := s.Strangers.Refuse(ctx, cause, a.request.client)
	if err != nil {
		return s.unrecorded(a, err)
	}
	status, body := e.BigQuery("")
	return outcome{status: status, body: body, witness: w, summed: true, reason: e.Word()}
}
