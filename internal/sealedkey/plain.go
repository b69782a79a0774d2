package sealedkey

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"regexp"

	"github.com/go-json-experiment/json/jsontext"
)

// Bounds of the keys that are taken.
const (
	maxPlain = 32 << 10 // bytes of Google's file
	minBits  = 2048
)

var (
	accountEmail = regexp.MustCompile(`^[a-z0-9][a-z0-9_.-]*@[a-z0-9][a-z0-9.-]*\.[a-z0-9-]+$`)
	keyID        = regexp.MustCompile(`^[A-Za-z0-9_-]{4,64}$`)
	projectID    = regexp.MustCompile(`^[a-z0-9.:-]{0,64}$`)
)

// serviceAccount is the type of Google's file of a key.
const serviceAccount = "service_account"

// kind is the type that a credentials file says, "" where it says none.
func kind(text []byte) string {
	var file struct {
		Type string `json:"type"`
	}
	if json.Unmarshal(text, &file) != nil {
		return ""
	}
	return file.Type
}

// ValidID says whether a key id may be one of Google's.
func ValidID(id string) bool { return keyID.MatchString(id) }

// Plain is a service-account key as Google gives it out.
type Plain struct {
	Account, KeyID, Project string
	// Elsewhere says what of the file is ignored: a token_uri or a universe that is not Google's
	// own. It is "" where there is nothing.
	Elsewhere string

	key *rsa.PrivateKey
}

// String keeps the key out of formatted text.
func (p *Plain) String() string { return "[key " + p.KeyID + " of " + p.Account + "]" }

// GoString keeps the key out of formatted text.
func (p *Plain) GoString() string { return p.String() }

// refusedTypes is what is said of credentials that are no service-account keys.
var refusedTypes = map[string]string{
	"authorized_user": "it is a user's refresh token, which is good for all that the person may do, for years; " +
		"make a service account for the gateway",
	"external_account": "it is federated and holds no key: name it as credentials_file of the configuration, as it is",
	"external_account_authorized_user": "it is a workforce user's refresh token, which is good for all that the person may do; " +
		"make a service account for the gateway",
	"impersonated_service_account": "it names another credential, by which an account is impersonated; " +
		"seal that one's service-account key, if there is one",
	"gdch_service_account": "it is a key of Google Distributed Cloud, which has no BigQuery",
}

// ReadPlain reads Google's file. Errors never hold what stands in it.
func ReadPlain(text []byte) (*Plain, error) {
	var file struct {
		Type           string `json:"type"`
		ProjectID      string `json:"project_id"`
		PrivateKeyID   string `json:"private_key_id"`
		PrivateKey     string `json:"private_key"`
		ClientEmail    string `json:"client_email"`
		TokenURI       string `json:"token_uri"`
		UniverseDomain string `json:"universe_domain"`
		Format         string `json:"format"`
		Installed, Web json.RawMessage
	}
	if len(text) > maxPlain || !jsontext.Value(text).IsValid() || json.Unmarshal(text, &file) != nil {
		return nil, errors.New("it is not the JSON file of a service-account key, as " +
			"`gcloud iam service-accounts keys create` writes it (a P12 file is not taken)")
	}
	switch why, known := refusedTypes[file.Type]; {
	case file.Format == format:
		return nil, errors.New("it is sealed already; `bqgate credentials rotate --sealed` wraps it anew")
	case known:
		return nil, fmt.Errorf("it has type %q: %s", file.Type, why)
	case file.Installed != nil || file.Web != nil:
		return nil, errors.New("it is the secret of an OAuth client, not a key of a service account")
	case file.Type != serviceAccount:
		return nil, errors.New(`it does not have type "service_account"`)
	case !accountEmail.MatchString(file.ClientEmail):
		return nil, errors.New("its client_email is not the e-mail of a service account")
	case !ValidID(file.PrivateKeyID):
		return nil, errors.New("its private_key_id is not the id of a key")
	case !projectID.MatchString(file.ProjectID):
		return nil, errors.New("its project_id is not the id of a project")
	}
	block, rest := pem.Decode([]byte(file.PrivateKey))
	if block == nil || block.Type != "PRIVATE KEY" || len(rest) > 0 {
		return nil, errors.New("its private_key is not one PEM block PRIVATE KEY (PKCS #8)")
	}
	key, err := parse(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("its private_key %w", err)
	}
	p := &Plain{Account: file.ClientEmail, KeyID: file.PrivateKeyID, Project: file.ProjectID, key: key}
	switch {
	case file.UniverseDomain != "" && file.UniverseDomain != "googleapis.com":
		p.Elsewhere = "universe_domain is ignored: the gateway knows Google's own universe alone"
	case file.TokenURI != "" && file.TokenURI != "https://oauth2.googleapis.com/token":
		p.Elsewhere = "token_uri is ignored: assertions go to oauth2.googleapis.com alone"
	}
	return p, nil
}

// parse reads a private key in PKCS #8. The causes of its errors may hold a part of it.
func parse(der []byte) (*rsa.PrivateKey, error) {
	parsed, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, errors.New("is not a private key (PKCS #8)")
	}
	key, ok := parsed.(*rsa.PrivateKey)
	if !ok || key.N.BitLen() < minBits {
		return nil, fmt.Errorf("is not an RSA key of at least %d bits", minBits)
	}
	return key, nil
}
