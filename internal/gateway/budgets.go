package gateway

import (
	"context"
	"time"

	"github.com/bqgate/bqgate/internal/budgets"
	"github.com/bqgate/bqgate/internal/config"
	"github.com/bqgate/bqgate/internal/sealed"
)

// ListBudgets reads what the replicas of this configuration have counted against the budgets of its
// policies.
func ListBudgets(ctx context.Context, c *config.Config) ([]budgets.Line, error) {
	set, err := loadPolicies(c)
	if err != nil {
		return nil, err
	}
	wrappers, err := keyWrappers(ctx, c)
	if err != nil {
		return nil, err
	}
	keys, err := sealed.Load(c.SealingKeyFile, wrappers...)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	client, err := connect(ctx, c.Redis)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	return budgets.Read(ctx, client, keys, set.Budgets(), time.Now())
}
