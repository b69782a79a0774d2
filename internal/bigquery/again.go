package bigquery

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// How a call that failed for a moment is made again. The pauses are drawn at random around 0.1,
// 0.2, 0.4 … s, so that callers who failed together do not come back together.
const (
	maxTries   = 6
	firstPause = 100 * time.Millisecond
	longPause  = 2 * time.Second
	// withoutDeadline bounds the tries of a caller who has set no deadline.
	withoutDeadline = 10 * time.Second
)

// Again makes a call, and makes it again while transient says so of its error. The last try begins
// while a quarter of the caller's time is left, so that what it brings can still be used; the error
// is the last try's own. The call must be one that may be made twice.
func Again[T any](ctx context.Context, transient func(error) bool, call func() (T, error)) (T, error) {
	limit := withoutDeadline
	if deadline, ok := ctx.Deadline(); ok {
		limit = max(1, time.Until(deadline)*3/4)
	}
	pauses := backoff.NewExponentialBackOff()
	pauses.InitialInterval, pauses.Multiplier, pauses.MaxInterval = firstPause, 2, longPause
	return backoff.Retry(ctx, func() (T, error) {
		v, err := call()
		if err != nil && (ctx.Err() != nil || !transient(err)) {
			err = backoff.Permanent(err)
		}
		return v, err
	}, backoff.WithBackOff(pauses), backoff.WithMaxTries(maxTries), backoff.WithMaxElapsedTime(limit))
}

// unanswered is a call of which no whole answer came: whether Google did what it asked is not
// known.
type unanswered struct{ error }

func (u *unanswered) Unwrap() error { return u.error }

// momentary says that a call failed for a reason that passes: the network, too many calls, or any
// 5xx, whatever the body of the answer is. Google's front ends answer in HTML.
// https://cloud.google.com/bigquery/docs/error-messages
func momentary(err error) bool {
	var lost *unanswered
	var api *APIError
	return errors.As(err, &lost) || errors.As(err, &api) && (api.limited() || api.Status >= 500)
}

// limited says that a call was one too many. BigQuery says so with 403: one account may make 100
// calls of a method a second. https://cloud.google.com/bigquery/quotas#api_request_quotas
func (e *APIError) limited() bool {
	return e.Status == http.StatusTooManyRequests ||
		slices.Contains([]string{"rateLimitExceeded", "quotaExceeded", "jobRateLimitExceeded"}, e.Reason)
}
