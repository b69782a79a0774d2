package credentials

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"regexp"
	"time"

	iam "cloud.google.com/go/iam/credentials/apiv1"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	grpccredentials "google.golang.org/grpc/credentials"

	"github.com/bqgate/bqgate/internal/googleidentity"
	"github.com/bqgate/bqgate/internal/identity"
)

// origin is where the tokens of one account come from. Each kind of account is one, in a file of
// its own.
type origin interface {
	// principal is whom Google knows the bearer as when this requester asks; an error says why the
	// account cannot run for the requester.
	principal(r identity.Requester) (string, error)
	// mint asks for a token. Errors may hold what a server said: the Broker makes them fit to show.
	mint(ctx context.Context, o order) (answer, error)
	// endpoint is the host:port that is asked, for errors.
	endpoint() string
}

// order is what token is asked for.
type order struct {
	requester identity.Requester
	life      time.Duration // how long it is to live
	now       time.Time
	until     time.Time // when the run's right ends
}

// answer is what came of it, not believed yet.
type answer struct {
	text    string
	expiry  time.Time
	longest time.Duration // how long what was asked for may live
}

// tokenText is the b64token of RFC 6750: what can stand in a header and nothing else.
var tokenText = regexp.MustCompile(`^[A-Za-z0-9._~+/-]+=*$`)

// check believes an answer only if the token can stand in a header and lives as was asked.
func (a answer) check(o order, now time.Time) error {
	switch {
	case len(a.text) > 8<<10 || !tokenText.MatchString(a.text):
		return errors.New("the answer holds no usable token")
	case a.expiry.IsZero():
		return errors.New("the answer does not say when the token ends")
	case a.expiry.Sub(o.now) <= reserve:
		return fmt.Errorf("the token ends at %s, too soon to be used", a.expiry.Format(time.RFC3339))
	case a.expiry.Sub(now) > a.longest+clockSkew:
		return fmt.Errorf("the token ends at %s, later than the %s that were asked for", a.expiry.Format(time.RFC3339), a.longest)
	}
	return nil
}

// iamClient is a client of IAM Credentials, opened once.
type iamClient struct {
	client   *iam.IamCredentialsClient
	endpoint string
}

const iamEndpoint = "iamcredentials.googleapis.com:443"

// open returns the client, as whom as says. The Broker closes it.
func (c *iamClient) open(ctx context.Context, b *Broker, as option.ClientOption) (*iam.IamCredentialsClient, error) {
	if c.client != nil {
		return c.client, nil
	}
	c.endpoint = iamEndpoint
	options := []option.ClientOption{as, option.WithLogger(googleidentity.Silent), option.WithTelemetryDisabled()}
	if e := b.config.IAMEndpoint; e != nil {
		c.endpoint = e.Address
		tlsConfig, err := e.tls()
		if err != nil {
			return nil, fmt.Errorf("iam_endpoint: %w", err)
		}
		options = append(options, option.WithEndpoint(e.Address),
			option.WithGRPCDialOption(grpc.WithTransportCredentials(grpccredentials.NewTLS(tlsConfig))))
	}
	client, err := iam.NewIamCredentialsClient(ctx, options...)
	if err != nil {
		return nil, fmt.Errorf("reach IAM Credentials at %s: %s", c.endpoint, clean(err))
	}
	c.client = client
	endpoint := c.endpoint
	b.closers = append(b.closers, func() error {
		if err := client.Close(); err != nil {
			return fmt.Errorf("close connection to %s: %w", endpoint, err)
		}
		return nil
	})
	return client, nil
}

// tls is the configuration with which an endpoint is reached.
func (e *Endpoint) tls() (*tls.Config, error) {
	roots, err := googleidentity.RootsWith(e.CAFile)
	if err != nil {
		return nil, err
	}
	name := e.ServerName
	if name == "" {
		name, _, _ = net.SplitHostPort(e.Address) // checked by Validate
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots, ServerName: name}, nil
}
