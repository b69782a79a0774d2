package credentials

import (
	"context"
	"time"

	iam "cloud.google.com/go/iam/credentials/apiv1"
	"cloud.google.com/go/iam/credentials/apiv1/credentialspb"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/bqgate/bqgate/internal/identity"
)

// impersonated is a service account that the gateway's own identity may impersonate.
type impersonated struct {
	client  *iam.IamCredentialsClient
	at      string
	account Account
}

func (i impersonated) principal(identity.Requester) (string, error) {
	return i.account.ServiceAccount, nil
}
func (i impersonated) endpoint() string { return i.at }

func (i impersonated) mint(ctx context.Context, o order) (answer, error) {
	return impersonate(ctx, i.client, i.account.ServiceAccount, i.account.Delegates, i.account.Scope, o.life)
}

// impersonate asks IAM Credentials for a token of a service account, of exactly this life.
func impersonate(ctx context.Context, client *iam.IamCredentialsClient, email string, delegates []string, scope string,
	life time.Duration) (answer, error) {
	request := &credentialspb.GenerateAccessTokenRequest{
		Name: serviceAccount(email), Scope: []string{scope}, Lifetime: durationpb.New(life),
	}
	for _, delegate := range delegates {
		request.Delegates = append(request.Delegates, serviceAccount(delegate))
	}
	given, err := client.GenerateAccessToken(ctx, request)
	if err != nil {
		return answer{}, err
	}
	a := answer{text: given.GetAccessToken(), longest: life}
	if given.GetExpireTime().CheckValid() == nil {
		a.expiry = given.GetExpireTime().AsTime()
	}
	return a, nil
}

func serviceAccount(email string) string { return "projects/-/serviceAccounts/" + email }
