package credentials

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
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

var (
	// tokenRun is any run of characters that a token could be. Names of hosts, accounts and RPCs
	// are shorter or hold other characters.
	tokenRun = regexp.MustCompile(`[A-Za-z0-9_.~+%=-]{32,}`)
	// tokenWord is what begins like a Google token or a JWT, of any length.
	tokenWord = regexp.MustCompile(`(ya29\.|eyJ|bqs_)[A-Za-z0-9_.~+/%=-]*`)
	// plainName is a dotted name of words, such as the permission
	// iam.serviceAccounts.getAccessToken; no part is as long as a token.
	plainName = regexp.MustCompile(`^[A-Za-z]{1,24}(\.[A-Za-z]{1,24})+$`)
	blanks    = regexp.MustCompile(`\s+`)
)

// clean makes the text of a foreign error fit for logs: one line, short, and without anything that
// could be a credential.
func clean(err error) string {
	text := tokenWord.ReplaceAllString(err.Error(), redacted)
	text = tokenRun.ReplaceAllStringFunc(text, func(run string) string {
		if strings.HasSuffix(run, ".googleapis.com") || strings.HasSuffix(run, ".gserviceaccount.com") || plainName.MatchString(run) {
			return run
		}
		return redacted
	})
	text = strings.TrimSpace(blanks.ReplaceAllString(text, " "))
	const most = 400
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "…"
	}
	return text
}
