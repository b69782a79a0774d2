// Package approvalstest has what tests of those who use approvals need.
package approvalstest

import (
	"context"
	"sync"

	"github.com/bqgate/bqgate/internal/approvals"
)

// Journal keeps the events of approvals in memory. Its zero value is ready.
type Journal struct {
	mu     sync.Mutex
	events []approvals.Event
}

// ApprovalEvent implements approvals.Journal.
func (j *Journal) ApprovalEvent(_ context.Context, e approvals.Event) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.events = append(j.events, e)
	return nil
}

// Events are those that were written.
func (j *Journal) Events() []approvals.Event {
	j.mu.Lock()
	defer j.mu.Unlock()
	return append([]approvals.Event(nil), j.events...)
}
