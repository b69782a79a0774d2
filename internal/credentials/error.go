package credentials

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/bqgate/bqgate/internal/googleidentity"
)

// Error says for which account and where a token could not be had. It holds no cause that could
// hold a token: an endpoint may echo what it was sent.
type Error struct {
	Account  string // name in the configuration
	Endpoint string // host:port that was asked
	Reason   string // what the endpoint or the source said, credentials taken out
	// Principal is the service account whose token was asked for, and Code the status of the
	// answer; "" and codes.OK where none was asked, or none came.
	Principal string
	Code      codes.Code
	timeout   error // context.DeadlineExceeded or context.Canceled, if that was it
}

// Error names account and endpoint.
func (e *Error) Error() string {
	return fmt.Sprintf("mint token for account %s at %s: %s", e.Account, e.Endpoint, e.Reason)
}

// Unwrap is context.DeadlineExceeded or context.Canceled where that ended the attempt.
func (e *Error) Unwrap() error { return e.timeout }

func newError(account, endpoint string, cause error) *Error {
	e := &Error{Account: account, Endpoint: endpoint, Reason: clean(cause)}
	if s, answered := status.FromError(cause); answered {
		e.Code = s.Code()
	}
	for _, end := range []error{context.DeadlineExceeded, context.Canceled} {
		if errors.Is(cause, end) {
			e.timeout = end
		}
	}
	if errors.Is(cause, context.DeadlineExceeded) || status.Code(cause) == codes.DeadlineExceeded {
		e.timeout = context.DeadlineExceeded
	}
	return e
}

// clean makes the text of a foreign error fit for logs.
var clean = googleidentity.Clean
