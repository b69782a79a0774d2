package gateway

import (
	"context"
	"time"

	"github.com/bqgate/bqgate/internal/audit"
	"github.com/bqgate/bqgate/internal/config"
	"github.com/bqgate/bqgate/internal/health"
)

// cancelledWithin is how long the end of the process waits for jobs that are being cancelled,
// because their answers cannot be recorded.
const cancelledWithin = 10 * time.Second

// openJournal opens the audit journal once there is room for it, and has its disk watched. A start
// on a full disk waits: whatever would begin could not be recorded to its end.
func (g *gateway) openJournal(ctx context.Context) (err error) {
	c := g.config.Audit
	disk, journal := g.parts.Part("disk", health.Everybody), g.parts.Part("journal", health.Everybody)
	waits := func(full error) {
		g.log.Error("the start waits for room on the disk of the audit journal; it goes on by itself once there is", "error", full)
		disk.Report(full)
	}
	if err := audit.AwaitRoom(ctx, c.Dir, int64(c.Reserve), waits); err != nil {
		return err
	}
	disk.Well()
	g.journal, err = audit.Open(c.Dir, g.auditKey, audit.Options{Reserve: int64(c.Reserve), Room: disk.Report, Writes: journal.Report})
	if err != nil {
		return err
	}
	g.onClose(func() { g.journal.Close() })
	return nil
}

// endWithJournal ends the process when a write of the journal has failed. What is on the disk is
// then not known any more, and nothing that this process does could be recorded: whatever
// supervises it starts it again, with a file of its own (A31, A40).
func (g *gateway) endWithJournal(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case <-g.journal.Failed():
		err := g.journal.Err()
		g.log.Error("the audit journal has failed: the process ends, and must be started again", "error", err)
		g.parts.Part("journal", health.Everybody).Report(err)
		return err
	}
}

// openJournal is the journal of a command beside a gateway.
func openJournal(c config.Audit) (*audit.Journal, error) {
	key, err := audit.LoadKey(c.KeyFile)
	if err != nil {
		return nil, err
	}
	return audit.Open(c.Dir, key, audit.Options{})
}
