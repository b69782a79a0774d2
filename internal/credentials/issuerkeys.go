package credentials

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"

	"github.com/bqgate/bqgate/internal/subjecttoken"
)

// open reads the keys. It is nil where nothing is federated.
func (i *Issuer) open() (*subjecttoken.Issuer, error) {
	if i == nil {
		return nil, nil
	}
	var keys []crypto.Signer
	for _, path := range i.Keys {
		key, err := readKey(path)
		if err != nil {
			return nil, fmt.Errorf("key %s: %w", path, err)
		}
		keys = append(keys, key)
	}
	return subjecttoken.New(i.URL, keys...)
}

func readKey(path string) (crypto.Signer, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	block, rest := pem.Decode(text)
	if block == nil || block.Type != "PRIVATE KEY" || len(rest) > 0 {
		return nil, errors.New("is not one PEM block PRIVATE KEY (PKCS #8)")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, errors.New("is not a private key (PKCS #8)") // the cause may hold a part of it
	}
	key, ok := parsed.(crypto.Signer)
	if !ok {
		return nil, errors.New("is not a key to sign with")
	}
	return key, nil
}
