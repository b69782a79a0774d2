package wrapping

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"net"
	"net/http"
	"strings"
	"time"

	"cloud.google.com/go/auth/httptransport"
	"google.golang.org/api/cloudkms/v1"
	"google.golang.org/api/googleapi"
	"google.golang.org/api/option"

	"github.com/bqgate/bqgate/internal/googleidentity"
)

// kmsWithin bounds one call, kmsTries how often it is made where the answer says that bytes were
// damaged on the way.
const (
	kmsWithin = 10 * time.Second
	kmsTries  = 3
	kmsHost   = "cloudkms.googleapis.com"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// errDamaged says that a checksum does not fit: ask again
// (https://cloud.google.com/kms/docs/data-integrity-guidelines).
var errDamaged = errors.New("the KMS and the gateway do not agree on a checksum")

// kmsWrapper asks Cloud KMS, which takes associated data itself. It needs
// cloudkms.cryptoKeyVersions.useToDecrypt, and useToEncrypt to wrap.
type kmsWrapper struct {
	key  string // projects/…/cryptoKeys/K
	keys *cloudkms.ProjectsLocationsKeyRingsCryptoKeysService
}

func openKMS(ctx context.Context, c Config) (*kmsWrapper, error) {
	source := googleidentity.Source{
		CredentialsFile: c.CredentialsFile, ApplicationDefault: c.CredentialsFile == "", CAFile: c.CAFile,
	}
	creds, err := source.Credentials(cloudkms.CloudkmsScope)
	if err != nil {
		return nil, fmt.Errorf("identity for the KMS: %w", err)
	}
	roots, err := googleidentity.RootsWith(c.CAFile)
	if err != nil {
		return nil, err
	}
	base := http.DefaultTransport.(*http.Transport).Clone()
	base.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots, ServerName: kmsHost}
	if c.Endpoint != "" {
		base.Proxy = nil
		base.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, c.Endpoint)
		}
	}
	client, err := httptransport.NewClient(&httptransport.Options{
		Credentials: creds, BaseRoundTripper: base, DisableTelemetry: true, Logger: googleidentity.Silent,
	})
	if err != nil {
		return nil, fmt.Errorf("client for the KMS: %s", googleidentity.Clean(err))
	}
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	service, err := cloudkms.NewService(ctx, option.WithHTTPClient(client))
	if err != nil {
		return nil, fmt.Errorf("client for the KMS: %s", googleidentity.Clean(err))
	}
	return &kmsWrapper{key: strings.TrimPrefix(c.URI, schemeKMS), keys: service.Projects.Locations.KeyRings.CryptoKeys}, nil
}

func (w *kmsWrapper) Name() string { return schemeKMS + w.key }

func (w *kmsWrapper) Wrap(ctx context.Context, plain, associated []byte) ([]byte, error) {
	if err := checkSizes(plain, associated); err != nil {
		return nil, err
	}
	return w.ask(ctx, "wrap", func(ctx context.Context) ([]byte, error) {
		answer, err := w.keys.Encrypt(w.key, &cloudkms.EncryptRequest{
			Plaintext:                         base64.StdEncoding.EncodeToString(plain),
			PlaintextCrc32c:                   checksum(plain),
			AdditionalAuthenticatedData:       base64.StdEncoding.EncodeToString(associated),
			AdditionalAuthenticatedDataCrc32c: checksum(associated),
			// A checksum of nothing is 0, which is sent all the same.
			ForceSendFields: []string{"PlaintextCrc32c", "AdditionalAuthenticatedDataCrc32c"},
		}).Context(ctx).Do()
		if err != nil {
			return nil, err
		}
		if !strings.HasPrefix(answer.Name, w.key+"/cryptoKeyVersions/") {
			return nil, errors.New("the KMS used another key")
		}
		if !answer.VerifiedPlaintextCrc32c || !answer.VerifiedAdditionalAuthenticatedDataCrc32c {
			return nil, errDamaged
		}
		return decode(answer.Ciphertext, answer.CiphertextCrc32c)
	})
}

func (w *kmsWrapper) Unwrap(ctx context.Context, wrapped, associated []byte) ([]byte, error) {
	return w.ask(ctx, "unwrap", func(ctx context.Context) ([]byte, error) {
		answer, err := w.keys.Decrypt(w.key, &cloudkms.DecryptRequest{
			Ciphertext:                        base64.StdEncoding.EncodeToString(wrapped),
			CiphertextCrc32c:                  checksum(wrapped),
			AdditionalAuthenticatedData:       base64.StdEncoding.EncodeToString(associated),
			AdditionalAuthenticatedDataCrc32c: checksum(associated),
			ForceSendFields:                   []string{"CiphertextCrc32c", "AdditionalAuthenticatedDataCrc32c"},
		}).Context(ctx).Do()
		if err != nil {
			return nil, err
		}
		return decode(answer.Plaintext, answer.PlaintextCrc32c)
	})
}

// ask makes a call, again where bytes were damaged on the way.
func (w *kmsWrapper) ask(ctx context.Context, what string, call func(context.Context) ([]byte, error)) (answer []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, kmsWithin)
	defer cancel()
	for range kmsTries {
		if answer, err = call(ctx); !errors.Is(err, errDamaged) && !invalid(err) { // a request may be damaged on its way too
			break
		}
	}
	var refused *googleapi.Error
	switch {
	case err == nil:
		return answer, nil
	// INVALID_ARGUMENT is what Decrypt answers for a ciphertext or associated data that is not its
	// own. The message is not shown: it is about what was sent.
	case invalid(err) && what == "unwrap":
		return nil, fmt.Errorf("unwrap with %s: %w", w.Name(), ErrNotOurs)
	case errors.As(err, &refused):
		return nil, fmt.Errorf("%s with %s: HTTP %d: %s", what, w.Name(), refused.Code, googleidentity.Clean(errors.New(refused.Message)))
	default:
		return nil, fmt.Errorf("%s with %s: %s", what, w.Name(), googleidentity.Clean(err))
	}
}

// invalid says whether the KMS has called the request INVALID_ARGUMENT. FAILED_PRECONDITION is a
// 400 too, and passes: a version of the key that is disabled can be enabled again.
func invalid(err error) bool {
	var refused *googleapi.Error
	if !errors.As(err, &refused) || refused.Code != http.StatusBadRequest {
		return false
	}
	var body struct{ Error struct{ Status string } }
	return json.Unmarshal([]byte(refused.Body), &body) == nil && body.Error.Status == "INVALID_ARGUMENT"
}

func checksum(b []byte) int64 { return int64(crc32.Checksum(b, castagnoli)) }

func decode(text string, sum int64) ([]byte, error) {
	b, err := base64.StdEncoding.DecodeString(text)
	if err != nil || checksum(b) != sum {
		return nil, errDamaged
	}
	return b, nil
}
