package credentials

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/metadata"

	"github.com/bqgate/bqgate/internal/identity"
	"github.com/bqgate/bqgate/internal/subjecttoken"
	"github.com/bqgate/bqgate/internal/wrapping"
)

const (
	poolName     = "projects/1/locations/global/workloadIdentityPools/requesters"
	poolProvider = "//iam.googleapis.com/" + poolName + "/providers/gateway"
)

// federation is the stand-in with a token endpoint for the pool, and accounts that use it.
type federation struct {
	*fakeGoogle
	asked  atomic.Int64
	claims atomic.Value // map[string]any of the last subject token
	scope  atomic.Value
	status atomic.Int64 // of the answer; 0 for a good one
}

func startFederation(t testing.TB) (*federation, Config) {
	t.Helper()
	f := &federation{fakeGoogle: startFakes(t)}
	sts := httptest.NewTLSServer(http.HandlerFunc(f.exchange))
	t.Cleanup(sts.Close)
	c := f.config()
	ca := f.write("sts.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: sts.Certificate().Raw})))
	c.STSEndpoint = &Endpoint{Address: sts.Listener.Addr().String(), CAFile: ca}
	wrap := wrapping.Config{URI: "age:" + filepath.Join(t.TempDir(), "wrap.age")}
	if err := wrapping.GenerateAge(wrap.File()); err != nil {
		t.Fatal(err)
	}
	wrapper, err := wrapping.Open(context.Background(), wrap)
	if err != nil {
		t.Fatal(err)
	}
	key := filepath.Join(t.TempDir(), "issuer.key")
	if err := subjecttoken.NewKey(context.Background(), key, "ES256", wrapper); err != nil {
		t.Fatal(err)
	}
	c.Issuer = &Issuer{URL: "https://bqgate.example", Keys: []string{key}, Wrap: wrap}
	c.Accounts["own"] = Account{Federated: &Federated{Audience: poolProvider}}
	c.Accounts["through"] = Account{Federated: &Federated{Audience: poolProvider, ServiceAccount: reader}}
	return f, c
}

func (f *federation) exchange(w http.ResponseWriter, r *http.Request) {
	n := f.asked.Add(1)
	if status := int(f.status.Load()); status != 0 {
		http.Error(w, "you sent "+r.PostFormValue("subject_token"), status)
		return
	}
	var claims map[string]any
	parts := strings.Split(r.PostFormValue("subject_token"), ".")
	payload, err := base64.RawURLEncoding.DecodeString(parts[len(parts)/2])
	if err != nil || json.Unmarshal(payload, &claims) != nil || r.PostFormValue("audience") != poolProvider ||
		len(r.Header["Authorization"]) > 0 {
		f.t.Errorf("STS was asked %v", r.PostForm)
	}
	f.claims.Store(claims)
	f.scope.Store(r.PostFormValue("scope"))
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(w, `{"access_token":"federated-%d","issued_token_type":"urn:ietf:params:oauth:token-type:access_token",`+
		`"token_type":"Bearer","expires_in":3600}`, n)
}

func asks(account, owner, sub string, claims map[string]string) Run {
	r := run(account, owner)
	r.Requester = identity.Requester{Sub: sub, Claims: claims}
	return r
}

// A run has a token of the requester's own principal: one exchange for a credential and what the
// pool is told, and none for somebody else's.
func TestFederatedRun(t *testing.T) {
	f, config := startFederation(t)
	b := newBroker(t, config)
	mint := func(r Run) Credential {
		t.Helper()
		c, err := b.Mint(t.Context(), decided(t), r)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	first := mint(asks("own", "alice", "ci:alice", map[string]string{"repository": "acme/app"}))
	if want := "principal://iam.googleapis.com/" + poolName + "/subject/ci:alice"; first.Principal != want {
		t.Errorf("principal %s", first.Principal)
	}
	claims := f.claims.Load().(map[string]any)
	if claims["iss"] != "https://bqgate.example" || claims["sub"] != "ci:alice" || claims["aud"] != "https:"+poolProvider ||
		claims["repository"] != "acme/app" || claims["exp"].(float64)-claims["iat"].(float64) > 300 || f.scope.Load() != Scope {
		t.Errorf("claims %v, scope %v", claims, f.scope.Load())
	}
	if again := mint(asks("own", "alice", "ci:alice", map[string]string{"repository": "acme/app"})); again.Bearer() != first.Bearer() {
		t.Error("exchanged twice")
	}
	for name, other := range map[string]Run{
		"another owner": asks("own", "bob", "ci:alice", map[string]string{"repository": "acme/app"}),
		"another sub":   asks("own", "alice", "ci:Alice", map[string]string{"repository": "acme/app"}),
		"another claim": asks("own", "alice", "ci:alice", map[string]string{"repository": "acme/other"}),
		"no claim":      asks("own", "alice", "ci:alice", nil),
	} {
		if c := mint(other); c.Bearer() == first.Bearer() {
			t.Errorf("%s: the same token", name)
		}
	}
	if n := f.asked.Load(); n != 5 {
		t.Errorf("%d exchanges, want 5", n)
	}
	// It is used no longer than the account says, though Google gives an hour.
	if life := time.Until(first.Ends); life > DefaultLifetime || life < DefaultLifetime-time.Minute {
		t.Errorf("used for %s", life)
	}
	if _, err := b.Mint(t.Context(), decided(t), run("own", "alice")); err == nil {
		t.Error("minted for nobody")
	}
}

// With an account between, the principal's own token asks IAM, and no other; BigQuery sees the
// account.
func TestFederatedByWayOfAnAccount(t *testing.T) {
	f, config := startFederation(t)
	b := newBroker(t, config)
	var bearer atomic.Value
	f.set(func() {
		f.through = func(ctx context.Context) {
			md, _ := metadata.FromIncomingContext(ctx)
			bearer.Store(md.Get("authorization"))
		}
	})
	c, err := b.Mint(t.Context(), decided(t), asks("through", "alice", "ci:alice", nil))
	if err != nil {
		t.Fatal(err)
	}
	if c.Principal != reader || fmt.Sprint(bearer.Load()) != "[Bearer federated-1]" || !strings.HasPrefix(c.Bearer(), "ya29.fake-") {
		t.Errorf("principal %s, IAM asked by %v", c.Principal, bearer.Load())
	}
	if f.scope.Load() != scopeIAM {
		t.Errorf("scope %v", f.scope.Load())
	}
	if r := f.requests(); len(r) != 1 || r[0].Name != "projects/-/serviceAccounts/"+reader || len(r[0].Delegates) != 0 {
		t.Errorf("%v", r)
	}
}

// A credential ends with the run's right, from the cache too, and a right that is over has none.
func TestACredentialEndsWithTheRight(t *testing.T) {
	f, config := startFederation(t)
	b := newBroker(t, config)
	for _, account := range []string{"own", "crm-reader"} {
		long := asks(account, "alice", "ci:alice", nil)
		first, err := b.Mint(t.Context(), decided(t), long)
		if err != nil {
			t.Fatal(err)
		}
		short := long
		short.Until = time.Now().Add(90 * time.Second)
		second, err := b.Mint(t.Context(), decided(t), short)
		if err != nil || second.Bearer() != first.Bearer() || !second.Ends.Equal(short.Until) || second.Ends.After(first.Ends) {
			t.Errorf("%s: ends %s, want %s; %v", account, second.Ends, short.Until, err)
		}
		over := long
		over.Until = time.Now()
		if c, err := b.Mint(t.Context(), decided(t), over); !errors.Is(err, ErrOver) || c.Bearer() != "" {
			t.Errorf("%s: a right that is over: %v", account, err)
		}
	}
	if n := f.asked.Load(); n != 1 {
		t.Errorf("%d exchanges", n)
	}
	// What is asked of IAM lives no longer than the right either, but two minutes.
	short := run("crm-reader", "bob")
	short.Until = time.Now().Add(3 * time.Minute)
	if _, err := b.Mint(t.Context(), decided(t), short); err != nil {
		t.Fatal(err)
	}
	r := f.requests()
	if life := r[len(r)-1].Lifetime.AsDuration(); life > 3*time.Minute || life < 2*time.Minute {
		t.Errorf("asked for %s", life)
	}
}

// Whatever STS answers instead of a token, none comes, and what it was sent is in no error.
func TestFederationFaults(t *testing.T) {
	f, config := startFederation(t)
	b := newBroker(t, config)
	for _, status := range []int{400, 401, 403, 429, 500, 503} {
		f.status.Store(int64(status))
		c, err := b.Mint(t.Context(), decided(t), asks("own", "alice", "ci:alice", nil))
		var failed *Error
		if !errors.As(err, &failed) || c.Bearer() != "" || strings.Contains(err.Error(), "eyJ") ||
			failed.Endpoint != config.STSEndpoint.Address ||
			!strings.HasSuffix(failed.Principal, "/subject/ci:alice") {
			t.Errorf("%d: %v", status, err)
		}
	}
	f.status.Store(0)
	if _, err := b.Mint(t.Context(), decided(t), asks("own", "alice", "ci:alice", nil)); err != nil {
		t.Errorf("the faults are remembered: %v", err)
	}
}

func TestFederationMistakes(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*federation, *Config)
		want   string
	}{
		"no issuer":  {func(_ *federation, c *Config) { c.Issuer = nil }, "issuer: a federated account needs one"},
		"no key":     {func(_ *federation, c *Config) { c.Issuer.Keys = nil }, "issuer.keys"},
		"no wrapper": {func(_ *federation, c *Config) { c.Issuer.Wrap = wrapping.Config{} }, "issuer.wrap"},
		"plain http": {func(_ *federation, c *Config) { c.Issuer.URL = "http://bqgate.example" }, "issuer.url"},
		"a key gone": {func(_ *federation, c *Config) { c.Issuer.Keys[0] += ".gone" }, "read signing key"},
		"a plain key": {func(f *federation, c *Config) {
			c.Issuer.Keys[0] = f.write("plain.key", "-----BEGIN PRIVATE KEY-----\nMIIEvQ==\n")
		},
			"plain text is not taken"},
		"no provider": {func(_ *federation, c *Config) { c.Accounts["own"] = Account{Federated: &Federated{Audience: "x"}} },
			"is not the full name of a provider"},
		"two kinds": {func(_ *federation, c *Config) {
			c.Accounts["own"] = Account{ServiceAccount: reader, Federated: &Federated{Audience: poolProvider}}
		}, "of two kinds"},
		"the inspection account": {func(_ *federation, c *Config) { c.Inspection = "own" }, "runs as whoever asks"},
		"by way of the inspection account": {func(_ *federation, c *Config) {
			c.Accounts["through"] = Account{Federated: &Federated{Audience: poolProvider, ServiceAccount: inspector}}
		}, "is the inspection account"},
		"the gateway's own pool": {func(_ *federation, c *Config) {
			c.Accounts["own"] = Account{Federated: &Federated{
				Audience: "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/pool/providers/other"}}
		}, "is that of the gateway's own identity"},
		"wide scope": {func(_ *federation, c *Config) {
			c.Accounts["crm-reader"] = Account{ServiceAccount: reader, Scope: "https://www.googleapis.com/auth/cloud-platform"}
		}, "wider than queries need"},
		"a delegate that is none": {func(_ *federation, c *Config) {
			c.Accounts["crm-reader"] = Account{ServiceAccount: reader, Delegates: []string{"x"}}
		}, "delegates"},
		"a chain in a circle": {func(_ *federation, c *Config) {
			c.Accounts["crm-reader"] = Account{ServiceAccount: reader, Delegates: []string{reader}}
		}, "twice"},
	} {
		t.Run(name, func(t *testing.T) {
			f, config := startFederation(t)
			config.Source.CredentialsFile = f.write("own.json", strings.Replace(f.sourceText(),
				"workloadIdentityPools/p/", "workloadIdentityPools/pool/", 1))
			c.change(f, &config)
			b, err := New(context.Background(), config)
			if err == nil {
				b.Close()
				t.Fatal("accepted")
			}
			if !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "MIIEvQ") {
				t.Errorf("error = %v, want one that says %q", err, c.want)
			}
		})
	}
}

// Delegates, lifetime and scope of an account are what IAM is asked for.
func TestImpersonationByDelegates(t *testing.T) {
	google := startFakes(t)
	config := google.config()
	config.Accounts["crm-reader"] = Account{ServiceAccount: reader, Lifetime: 7 * time.Minute, Scope: Scope + ".readonly",
		Delegates: []string{"a@demo.iam.gserviceaccount.com", "b@demo.iam.gserviceaccount.com"}}
	if _, err := newBroker(t, config).Mint(t.Context(), decided(t), run("crm-reader", "alice")); err != nil {
		t.Fatal(err)
	}
	r := google.requests()[0]
	if fmt.Sprint(r.Delegates) != "[projects/-/serviceAccounts/a@demo.iam.gserviceaccount.com "+
		"projects/-/serviceAccounts/b@demo.iam.gserviceaccount.com]" ||
		r.Lifetime.AsDuration() != 7*time.Minute || fmt.Sprint(r.Scope) != "["+Scope+".readonly]" {
		t.Errorf("%v", r)
	}
}
