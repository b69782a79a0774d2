package gateway

import (
	"context"
	"log/slog"
	"time"

	"github.com/bqgate/bqgate/internal/audit"
)

// unfinishedFor is how far back decisions without an outcome are looked for. A query of BigQuery
// runs six hours at most.
const unfinishedFor = 48 * time.Hour

// closeUnfinished records, for each forwarded request of a process that was killed, that nobody can
// tell how it ended (A31): whoever reads the journal later finds an end to everything that began.
func closeUnfinished(ctx context.Context, dir string, key *audit.Key, journal *audit.Journal, log *slog.Logger) {
	decisions, err := audit.Unfinished(dir, key, time.Now().Add(-unfinishedFor))
	if err != nil {
		log.Error("decisions without an outcome are not known", "error", err)
		return
	}
	for _, d := range decisions {
		_, err := journal.Append(ctx, audit.Outcome{
			Decision: d.ID, State: audit.StateUnknown, Job: d.Job,
			Reason: "the process that forwarded the request ended before it could record how it was answered",
		})
		if err != nil {
			log.Error("an unknown outcome was not recorded", "decision", d.ID, "error", err)
			return
		}
	}
	if len(decisions) > 0 {
		log.Warn("a process before this one was killed; the outcome of what it had forwarded is recorded as unknown", "decisions",
			len(decisions))
	}
}
