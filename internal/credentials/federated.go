package credentials

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"cloud.google.com/go/auth/credentials/externalaccount"
	iam "cloud.google.com/go/iam/credentials/apiv1"
	"google.golang.org/grpc/metadata"

	"github.com/bqgate/bqgate/internal/googleidentity"
	"github.com/bqgate/bqgate/internal/identity"
	"github.com/bqgate/bqgate/internal/subjecttoken"
)

const (
	stsHost = "sts.googleapis.com"
	jwtType = "urn:ietf:params:oauth:token-type:jwt"
)

// asRequester runs queries as whoever asks: the gateway signs a subject token, and exchanges it at
// Google STS (RFC 8693).
type asRequester struct {
	issuer  *subjecttoken.Issuer
	account Account
	pool    string
	at      string // host:port of STS
	client  *http.Client
	through *iam.IamCredentialsClient // for an account that the principal impersonates
}

func newFederated(account Account, issuer *subjecttoken.Issuer, endpoint *Endpoint) (*asRequester, error) {
	f := &asRequester{
		issuer: issuer, account: account, pool: pool(account.Federated.Audience), at: net.JoinHostPort(stsHost, "443"),
		client: &http.Client{
			Timeout:       mintTimeout, // and no answer of Google's leads elsewhere: the subject token stays here
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	if endpoint != nil {
		tlsConfig, err := endpoint.tls()
		if err != nil {
			return nil, fmt.Errorf("sts_endpoint: %w", err)
		}
		f.at, transport.TLSClientConfig, transport.Proxy = endpoint.Address, tlsConfig, nil
	}
	f.client.Transport = transport
	return f, nil
}

func (f *asRequester) endpoint() string { return f.at }

func (f *asRequester) principal(r identity.Requester) (string, error) {
	switch {
	case r.Sub == "":
		return "", errors.New("the requester has no principal of its own")
	case f.account.Federated.ServiceAccount != "":
		return f.account.Federated.ServiceAccount, nil
	}
	return "principal://iam.googleapis.com/" + f.pool + "/subject/" + r.Sub, nil
}

func (f *asRequester) mint(ctx context.Context, o order) (answer, error) {
	own, err := f.exchange(ctx, o)
	if err != nil || f.through == nil {
		return own, err
	}
	if err := own.check(o, o.now); err != nil {
		return answer{}, err
	}
	ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+own.text)
	return impersonate(ctx, f.through, f.account.Federated.ServiceAccount, nil, f.account.Scope, o.life)
}

// exchange asks STS once. A federated token lives an hour, whatever its subject token says.
func (f *asRequester) exchange(ctx context.Context, o order) (answer, error) {
	signed, err := f.issuer.Sign(ctx, o.requester, "https:"+f.account.Federated.Audience, o.now, o.until)
	if err != nil {
		return answer{}, err
	}
	scope := f.account.Scope
	if f.through != nil {
		scope = scopeIAM
	}
	credentials, err := externalaccount.NewCredentials(&externalaccount.Options{
		Audience: f.account.Federated.Audience, SubjectTokenType: jwtType, TokenURL: "https://" + f.at + "/v1/token",
		Scopes: []string{scope}, SubjectTokenProvider: signedToken(signed), Client: f.client, Logger: googleidentity.Silent,
	})
	if err != nil {
		return answer{}, fmt.Errorf("exchange subject token: %w", err)
	}
	token, err := credentials.Token(ctx)
	if err != nil {
		return answer{}, fmt.Errorf("exchange subject token: %w", err)
	}
	return answer{text: token.Value, expiry: token.Expiry, longest: time.Hour}, nil
}

// signedToken is a subject token for one exchange.
type signedToken string

// SubjectToken implements externalaccount.SubjectTokenProvider.
func (t signedToken) SubjectToken(context.Context, *externalaccount.RequestOptions) (string, error) {
	return string(t), nil
}
