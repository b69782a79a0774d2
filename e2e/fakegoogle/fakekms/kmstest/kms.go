// Package kmstest serves the stand-in for Cloud KMS to a test, and says how it is configured.
package kmstest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/bqgate/bqgate/e2e/fakegoogle/fakekms"
	"github.com/bqgate/bqgate/internal/wrapping"
)

// Key is the key that Start makes.
const Key = "projects/demo/locations/europe/keyRings/bqgate/cryptoKeys/keys"

// Start serves a KMS and the STS that its caller's identity comes from.
func Start(t testing.TB) (*fakekms.Service, wrapping.Config) {
	t.Helper()
	const token = "ya29.fake-kms-caller"
	service := fakekms.New(func(bearer string) bool { return bearer == token })
	service.AddVersion(Key)
	mux := http.NewServeMux()
	mux.Handle("/v1/projects/", service)
	mux.HandleFunc("POST /v1/token", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{
			"access_token": token, "token_type": "Bearer", "expires_in": 3600,
			"issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
		})
	})
	server := httptest.NewUnstartedServer(mux)
	certificate, ca := certified(t, fakekms.Host)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}
	server.StartTLS()
	t.Cleanup(server.Close)
	dir := t.TempDir()
	write := func(name string, text []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	subject := write("subject", []byte("eyJ.subject.token"))
	file, err := json.Marshal(map[string]any{
		"type": "external_account", "audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/x",
		"subject_token_type": "urn:ietf:params:oauth:token-type:jwt", "token_url": server.URL + "/v1/token",
		"credential_source": map[string]any{"file": subject},
	})
	if err != nil {
		t.Fatal(err)
	}
	return service, wrapping.Config{
		URI: "gcp-kms://" + Key, Endpoint: server.Listener.Addr().String(), CredentialsFile: write("external_account.json", file),
		CAFile: write("ca.pem", ca),
	}
}

// certified makes a certificate for a name and loopback, and the PEM to trust it by.
func certified(t testing.TB, name string) (tls.Certificate, []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}
