package limits

import (
	"fmt"
	"time"
)

// Exceeded is the error of what is beyond a limit. It becomes 403 with its Reason.
type Exceeded struct {
	Kind  Kind
	What  string    // "requests at once"
	Limit string    // "400", "2000 at once and 200 more each second"
	Free  time.Time // when there is room again; zero where one that is under way must end first
	Wait  time.Duration
}

// Reason is BigQuery's word for it: rateLimitExceeded, which stock clients wait out
// (refusal.RateWords says which), or quotaExceeded.
func (e *Exceeded) Reason() string { return Kinds[e.Kind].Reason }

// Error is what an agent reads.
func (e *Exceeded) Error() string {
	free := "there is room again as soon as one of them has ended"
	if !e.Free.IsZero() {
		free = fmt.Sprintf("there is room again in %s, at %s", roughly(e.Wait), e.Free.UTC().Format("15:04:05 MST"))
	}
	return fmt.Sprintf("too many %s: %s are served to one repository or person, and %s", e.What, e.Limit, free)
}

func roughly(d time.Duration) time.Duration {
	if d < time.Second {
		return max(10*time.Millisecond, d.Round(10*time.Millisecond))
	}
	return d.Round(time.Second)
}

// said is a limit in words.
func said(f Form, l Limit) string {
	switch f {
	case AtOnce:
		return fmt.Sprint(l.AtOnce)
	case PerHour:
		return fmt.Sprintf("%s an hour", l.PerHour)
	default:
		return fmt.Sprintf("%d at once and %g more each second", l.Burst, l.PerSecond)
	}
}
