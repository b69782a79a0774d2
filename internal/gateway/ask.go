package gateway

import (
	"context"
	"errors"
	"net/http"
	"path/filepath"
	"time"

	"github.com/bqgate/bqgate/internal/config"
	"github.com/bqgate/bqgate/internal/operations"
)

// AskStatus asks the gateway of a configuration how it is: through its socket folder, else at its
// operations address where that is plain.
func AskStatus(ctx context.Context, c *config.Config) (operations.Status, error) {
	s, err := operations.Ask(ctx, operations.Client(filepath.Join(c.Sockets.Dir, operationsSocket)), operations.LocalURL)
	if err == nil || c.Operations.Address == "" || c.Operations.TLS != nil {
		return s, err
	}
	client := &http.Client{Timeout: 5 * time.Second}
	s, other := operations.Ask(ctx, client, "http://"+c.Operations.Address+"/readyz?verbose")
	if other != nil {
		return s, errors.Join(err, other)
	}
	return s, nil
}
