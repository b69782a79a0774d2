// Package googleidentity finds the identity of the gateway itself at Google: a federated one (an
// external_account file) or the machine's. A file that is a secret is never taken, wherever it was
// found.
package googleidentity

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"time"

	"cloud.google.com/go/auth"
	"cloud.google.com/go/auth/credentials"
	"github.com/go-json-experiment/json/jsontext"
)

// Silent is the logger to give to Google's libraries. Their default one writes whole token answers
// once GOOGLE_SDK_GO_LOGGING_LEVEL is set (A14).
var Silent = slog.New(slog.DiscardHandler)

// Source says where the identity is. Exactly one of CredentialsFile and ApplicationDefault.
type Source struct {
	// CredentialsFile is an external_account file (workload identity federation), as
	// `gcloud iam workload-identity-pools create-cred-config` writes it.
	CredentialsFile string
	// ApplicationDefault takes the identity of the machine: Application Default Credentials.
	ApplicationDefault bool
	// CAFile holds PEM certificates to trust for the token endpoint beside the system's.
	CAFile string
}

// Credentials reads the identity, for tokens of the scopes. It contacts nobody yet.
func (s Source) Credentials(scopes ...string) (*auth.Credentials, error) {
	roots, err := RootsWith(s.CAFile)
	if err != nil {
		return nil, err
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots}
	options := &credentials.DetectOptions{
		Scopes: scopes, Logger: Silent,
		Client: &http.Client{Transport: transport, Timeout: 10 * time.Second},
	}
	if s.ApplicationDefault {
		return applicationDefault(options)
	}
	text, err := os.ReadFile(s.CredentialsFile)
	if err != nil {
		return nil, fmt.Errorf("read credentials_file: %w", err)
	}
	creds, err := federated(text, options)
	if err != nil {
		return nil, fmt.Errorf("credentials_file %s: %w", s.CredentialsFile, err)
	}
	return creds, nil
}

// applicationDefault takes what Application Default Credentials find. They may find a file: one
// that GOOGLE_APPLICATION_CREDENTIALS names, or the one that gcloud writes. What is in it counts,
// not how it was found: only a federated identity is taken, as by credentials_file. Where there is
// no file, they are the identity of the machine.
func applicationDefault(options *credentials.DetectOptions) (*auth.Credentials, error) {
	found, err := credentials.DetectDefault(options)
	if err != nil {
		return nil, fmt.Errorf("find Application Default Credentials (%s): %s", foundAt(), Clean(err))
	}
	text := found.JSON() // the bytes that were read, so nobody can put another file there in between
	if text == nil {
		return found, nil
	}
	creds, err := federated(text, options)
	if err != nil {
		return nil, fmt.Errorf("application_default found a file (%s): it %w; "+
			"take the file away and unset GOOGLE_APPLICATION_CREDENTIALS, so that the machine's own identity is used, or put an "+
			"external_account file there", foundAt(), err)
	}
	return creds, nil
}

// foundAt says where Application Default Credentials look for a file first
// (https://cloud.google.com/docs/authentication/application-default-credentials).
func foundAt() string {
	if path := os.Getenv("GOOGLE_APPLICATION_CREDENTIALS"); path != "" {
		return "GOOGLE_APPLICATION_CREDENTIALS=" + path
	}
	return "gcloud's application_default_credentials.json"
}

// federated makes credentials of an external_account file, and of no other.
func federated(text []byte, options *credentials.DetectOptions) (*auth.Credentials, error) {
	if err := checkFile(text); err != nil {
		return nil, err
	}
	creds, err := credentials.NewCredentialsFromJSON(credentials.ExternalAccount, text, options)
	if err != nil {
		return nil, fmt.Errorf("is not usable: %s", Clean(err))
	}
	return creds, nil
}

// checkFile refuses a file that is a secret itself, and endpoints that the gateway's own token
// would reach in plain text.
func checkFile(text []byte) error {
	var file struct {
		Type             string `json:"type"`
		TokenURL         string `json:"token_url"`
		ImpersonationURL string `json:"service_account_impersonation_url"`
	}
	if !jsontext.Value(text).IsValid() {
		return errors.New("is not a JSON object with unique keys") // of two keys of one name, two readers may take another
	}
	if err := json.Unmarshal(text, &file); err != nil {
		return fmt.Errorf("is not a JSON object: %s", Clean(err))
	}
	if file.Type != string(credentials.ExternalAccount) {
		return fmt.Errorf("has type %q; it must be %q (workload identity federation): a key in plain text is what bqgate takes away",
			file.Type, credentials.ExternalAccount)
	}
	for name, raw := range map[string]string{"token_url": file.TokenURL, "service_account_impersonation_url": file.ImpersonationURL} {
		if raw == "" {
			continue
		}
		u, err := url.Parse(raw)
		if err != nil || u.Host == "" {
			return fmt.Errorf("%s is not a URL", name)
		}
		addr, err := netip.ParseAddr(u.Hostname())
		if u.Scheme != "https" && !(u.Scheme == "http" && err == nil && addr.IsLoopback()) {
			return fmt.Errorf("%s must be https", name)
		}
	}
	return nil
}

// RootsWith returns the system's certificate roots and those of a PEM file; nil, which means the
// system's, without a file.
func RootsWith(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read ca_file: %w", err)
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	if !roots.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("ca_file %s holds no PEM certificate", file)
	}
	return roots, nil
}
