package gateway

import (
	"context"
	"errors"
	"fmt"
	"net"
	"reflect"
	"time"

	"github.com/bqgate/bqgate/internal/approvals"
	"github.com/bqgate/bqgate/internal/audit"
	"github.com/bqgate/bqgate/internal/config"
	"github.com/bqgate/bqgate/internal/credentials"
	"github.com/bqgate/bqgate/internal/identity"
	"github.com/bqgate/bqgate/internal/notify"
	"github.com/bqgate/bqgate/internal/sealed"
	"github.com/bqgate/bqgate/internal/unixsocket"
)

// redisWithin is how long Check waits for Redis to answer.
const redisWithin = 2 * time.Second

// Check returns everything for which Run would not start with this configuration, joined; nil if
// there is nothing. What the configuration leaves out is left out here too: config.Read has said
// so. It serves nothing, writes nothing, and may run beside a gateway of the same configuration. Of
// the network it asks Redis alone: whether Google and the issuers answer is known when they are
// needed.
func Check(ctx context.Context, c *config.Config) error {
	var wrong []error
	given := func(value string, check func() error) {
		if value == "" {
			return
		}
		if err := check(); err != nil {
			wrong = append(wrong, err)
		}
	}
	wrappers, err := keyWrappers(ctx, c)
	if err != nil {
		wrong = append(wrong, err)
	}
	given(c.SealingKeyFile, func() error { _, err := sealed.Load(c.SealingKeyFile, wrappers...); return err })
	given(c.Audit.KeyFile, func() error { _, err := audit.LoadKey(c.Audit.KeyFile, wrappers...); return err })
	given(c.Audit.Dir, func() error { return audit.CheckFolder(c.Audit.Dir) })
	given(c.Sockets.Dir, func() error { return unixsocket.Check(c.Sockets.Dir, c.Sockets.EnvoyUID) })
	given(c.Console.Address, func() error { return checkAddress(c.Console.Address) })
	given("descriptors", func() error { return enoughDescriptors(max(serveDescriptors(c), consoleDescriptors(c))) })
	given(c.Operations.Address, func() error { return checkOperations(c.Operations) })
	given(c.Redis.URL, func() error { return checkRedis(ctx, c) })
	given("identity", func() error { return checkIdentity(c) })
	given("credentials", func() error { return checkCredentials(ctx, c) })
	given("upstream", func() error { return checkUpstream(c.Upstream) })
	given("notifications", func() error { _, err := notify.Load(c.Notifications); return err })
	if len(c.Policies) > 0 {
		given("policies", func() error {
			_, err := loadPolicies(c)
			return err
		})
	}
	if !reflect.ValueOf(c.Envoy).IsZero() { // Envoy may be configured by other hands
		given("envoy", c.EnvoyConfig().Validate)
	}
	return errors.Join(wrong...)
}

// checkAddress does not listen: a gateway of this configuration may be running.
func checkAddress(address string) error {
	if _, err := net.ResolveTCPAddr("tcp", address); err != nil {
		return fmt.Errorf("console.address: %w", err)
	}
	return nil
}

func checkOperations(o config.Operations) error {
	_, err := operationsTLS(o.TLS)
	if _, wrong := net.ResolveTCPAddr("tcp", o.Address); wrong != nil {
		err = errors.Join(err, fmt.Errorf("operations.address: %w", wrong))
	}
	return err
}

// checkUpstream contacts nobody. A ca_file that cannot be read does not hide what else is wrong.
func checkUpstream(u config.Upstream) error {
	_, err := dialUpstream(u, nil, "", nil)
	u.CAFile = ""
	_, rest := dialUpstream(u, nil, "", nil)
	if err != nil && rest != nil && err.Error() == rest.Error() {
		return err
	}
	return errors.Join(err, rest)
}

// checkCredentials contacts nobody.
func checkCredentials(ctx context.Context, c *config.Config) error {
	broker, err := credentials.New(ctx, c.Credentials)
	if err != nil {
		return fmt.Errorf("credentials: %w", err)
	}
	broker.Close()
	return nil
}

func checkIdentity(c *config.Config) error {
	verifier, err := identity.NewVerifier(c.Identity)
	if err != nil {
		return fmt.Errorf("identity: %w", err)
	}
	defer verifier.Close()
	_, err = loginOf(c, verifier)
	return err
}

func checkRedis(ctx context.Context, c *config.Config) error {
	ctx, cancel := context.WithTimeout(ctx, redisWithin)
	defer cancel()
	store, err := connect(ctx, c.Redis)
	if err != nil {
		return err
	}
	defer store.Close()
	return approvals.CheckRedis(ctx, store, !c.Redis.Embedded)
}
