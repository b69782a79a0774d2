package gateway

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"syscall"
	"time"

	"github.com/bqgate/bqgate/internal/approvals"
	"github.com/bqgate/bqgate/internal/audit"
	"github.com/bqgate/bqgate/internal/config"
	"github.com/bqgate/bqgate/internal/identity"
	"github.com/bqgate/bqgate/internal/sealed"
)

// Reopening is who opens approvals again after Redis has lost something, and what they know of it.
// The zero Acknowledged looks and changes nothing but what needs nobody's word.
type Reopening struct {
	Acknowledged int64
	By, Reason   string
}

// ReopenApprovals compares what Redis shows with what the journals of this host say, and opens
// approvals again where that is acknowledged. It may run beside a gateway of the same
// configuration, which opens them within seconds, as all its replicas do that know no more.
func ReopenApprovals(ctx context.Context, c *config.Config, r Reopening, log *slog.Logger) (approvals.Finding, error) {
	wrappers, err := keyWrappers(ctx, c)
	if err != nil {
		return approvals.Finding{}, err
	}
	keys, err := sealed.Load(c.SealingKeyFile, wrappers...)
	if err != nil {
		return approvals.Finding{}, err
	}
	client, err := connect(ctx, c.Redis)
	if err != nil {
		return approvals.Finding{}, err
	}
	defer client.Close()
	key, err := audit.LoadKey(c.Audit.KeyFile, wrappers...)
	if err != nil {
		return approvals.Finding{}, err
	}
	sessions, err := identity.NewSessions(client, keys, c.Identity, log)
	if err != nil {
		return approvals.Finding{}, fmt.Errorf("identity: %w", err)
	}
	o := approvals.Options{Redis: client, Keys: keys, Journal: unrecorded{}, Log: log, Told: told(sessions)}
	var journal *audit.Journal
	if r.Acknowledged > 0 {
		if journal, err = ownJournal(c.Audit); err != nil {
			return approvals.Finding{}, err
		}
		defer journal.Close()
		o.Journal = approvalJournal{journal}
	}
	holds, err := approvals.New(o)
	if err != nil {
		return approvals.Finding{}, err
	}
	defer holds.Close()
	f := &journalFollower{journals: audit.Follow(c.Audit.Dir, key, time.Now().Add(-remembered)), holds: holds, sessions: sessions, log: log}
	f.journals.Trouble = func(err error) { log.Warn("the audit folder holds something else", "error", err) }
	if err := f.poll(); err != nil {
		return approvals.Finding{}, fmt.Errorf("learn from the audit journal: %w", err)
	}
	if r.Acknowledged == 0 {
		return holds.Inspect(ctx)
	}
	found, err := holds.Inspect(ctx)
	if err != nil || found.Open {
		return found, err
	}
	if _, err := journal.Append(ctx, audit.Reopened{
		Time: time.Now().UTC(), By: r.By, Reason: r.Reason, Why: found.Why, Acknowledged: r.Acknowledged, Known: found.Known,
		Shown: found.Shown, Waiting: found.Waiting, Approved: found.Approved, Ended: found.Ended, Revoked: found.Revoked, Lost: found.Lost,
	}); err != nil {
		return found, fmt.Errorf("record that approvals are opened: %w", err)
	}
	return holds.Reopen(ctx, r.Acknowledged)
}

// ownJournal opens a file of its own in the gateway's journal. Files of another owner would be
// closed to the gateway's user, who reads and verifies the journal.
func ownJournal(c config.Audit) (*audit.Journal, error) {
	info, err := os.Stat(c.Dir)
	if err != nil {
		return nil, fmt.Errorf("audit folder: %w", err)
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); ok && int(stat.Uid) != os.Geteuid() {
		return nil, fmt.Errorf("audit folder %s belongs to user %d; run this as that user", c.Dir, stat.Uid)
	}
	return openJournal(c)
}
