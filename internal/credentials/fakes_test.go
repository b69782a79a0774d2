package credentials

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"cloud.google.com/go/iam/credentials/apiv1/credentialspb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	grpccredentials "google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"
)

const (
	subjectToken = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJnYXRld2F5In0.c2lnbmF0dXJl"
	sourceToken  = "federated-source-token-0123456789-abcdefghijkl"
	reader       = "crm-reader@demo.iam.gserviceaccount.com"
	inspector    = "inspector@demo.iam.gserviceaccount.com"
)

// fakeGoogle is STS and IAM Credentials, as strict as the broker's use of them can be.
type fakeGoogle struct {
	credentialspb.UnimplementedIAMCredentialsServer
	t testing.TB

	mu     sync.Mutex
	minted []*credentialspb.GenerateAccessTokenRequest
	// nil for a good one
	answer func(context.Context, *credentialspb.GenerateAccessTokenRequest) (*credentialspb.GenerateAccessTokenResponse, error)
	// nil for a good one
	sts http.HandlerFunc
	// through, where it is set, sees calls of principals, which may impersonate too
	through  func(context.Context)
	iam, dir string
	file, ca string
}

func startFakes(t testing.TB) *fakeGoogle {
	t.Helper()
	f := &fakeGoogle{t: t, dir: t.TempDir()}
	sts := httptest.NewServer(http.HandlerFunc(f.serveSTS))
	t.Cleanup(sts.Close)

	certificate := httptest.NewTLSServer(nil) // lends its self-signed certificate for 127.0.0.1
	certificate.Close()
	f.ca = f.write("ca.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Certificate().Raw})))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(
		grpc.Creds(grpccredentials.NewTLS(&tls.Config{Certificates: certificate.TLS.Certificates, NextProtos: []string{"h2"}})))
	credentialspb.RegisterIAMCredentialsServer(server, f)
	go server.Serve(listener)
	t.Cleanup(server.Stop)
	f.iam = listener.Addr().String()

	f.file = f.externalAccount(sts.URL + "/v1/token")
	return f
}

func (f *fakeGoogle) write(name, text string) string {
	f.t.Helper()
	path := filepath.Join(f.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		f.t.Fatal(err)
	}
	return path
}

func (f *fakeGoogle) externalAccount(tokenURL string) string {
	f.t.Helper()
	text, err := json.Marshal(map[string]any{
		"type":               "external_account",
		"audience":           "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/gateway",
		"subject_token_type": "urn:ietf:params:oauth:token-type:jwt", "token_url": tokenURL,
		"credential_source": map[string]string{"file": f.write("subject.jwt", subjectToken)},
	})
	if err != nil {
		f.t.Fatal(err)
	}
	return f.write("source.json", string(text))
}

// sourceText is the external_account file of the gateway's own identity.
func (f *fakeGoogle) sourceText() string {
	text, err := os.ReadFile(f.file)
	if err != nil {
		f.t.Fatal(err)
	}
	return string(text)
}

func (f *fakeGoogle) serveSTS(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	special := f.sts
	f.mu.Unlock()
	if special != nil {
		special(w, r)
		return
	}
	if r.URL.Path != "/v1/token" || r.PostFormValue("subject_token") != subjectToken || r.PostFormValue("scope") != scopeIAM {
		f.t.Errorf("STS was asked at %s for scope %q", r.URL.Path, r.PostFormValue("scope"))
		http.Error(w, `{"error":"invalid_request"}`, http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(w,
		`{"access_token":%q,"issued_token_type":"urn:ietf:params:oauth:token-type:access_token","token_type":"Bearer","expires_in":3600}`,
		sourceToken)
}

func (f *fakeGoogle) GenerateAccessToken(ctx context.Context,
	r *credentialspb.GenerateAccessTokenRequest) (*credentialspb.GenerateAccessTokenResponse, error) {
	f.mu.Lock()
	f.minted = append(f.minted, r)
	n, special, through := len(f.minted), f.answer, f.through
	f.mu.Unlock()
	if through != nil {
		through(ctx)
	} else if md, _ := metadata.FromIncomingContext(ctx); strings.Join(md.Get("authorization"), "|") != "Bearer "+sourceToken {
		return nil, status.Error(codes.Unauthenticated, "not the gateway's source token")
	}
	if special != nil {
		return special(ctx, r)
	}
	return &credentialspb.GenerateAccessTokenResponse{
		AccessToken: fmt.Sprintf("ya29.fake-%s-%d", strings.TrimPrefix(r.Name, "projects/-/serviceAccounts/")[:3], n),
		ExpireTime:  timestamppb.New(time.Now().Add(r.Lifetime.AsDuration())),
	}, nil
}

func (f *fakeGoogle) requests() []*credentialspb.GenerateAccessTokenRequest {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]*credentialspb.GenerateAccessTokenRequest(nil), f.minted...)
}

func (f *fakeGoogle) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

func (f *fakeGoogle) config() Config {
	return Config{
		Source: Source{CredentialsFile: f.file}, IAMEndpoint: &Endpoint{Address: f.iam, CAFile: f.ca},
		Accounts: map[string]Account{"crm-reader": {ServiceAccount: reader},
			"long": {ServiceAccount: "long@demo.iam.gserviceaccount.com", Lifetime: time.Hour}, "inspection": {ServiceAccount: inspector}},
		Inspection: "inspection",
	}
}

func newBroker(t testing.TB, config Config) *Broker {
	t.Helper()
	b, err := New(context.Background(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}
