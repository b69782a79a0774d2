// Package wrapping encrypts keys that are to lie on a disk: a sealed static key, keys of the
// gateway's own. What opens them is elsewhere, in a file that only the gateway can read or in a
// KMS.
//
//	age:FILE                                     an X25519 identity, as age-keygen writes it
//	gcp-kms://projects/P/locations/L/keyRings/R/cryptoKeys/K
//
// A Wrapper opens what it has wrapped, together with the very same associated data, and nothing
// else: not what another one wrapped, nor what was put under another name, nor what lost a bit.
package wrapping

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"regexp"
	"strings"
)

// ErrNotOurs is returned by Unwrap for what this Wrapper did not wrap with this associated data:
// another key was used, or a bit is another one.
var ErrNotOurs = errors.New("it was not wrapped by this key for this purpose, or was altered since")

// A Wrapper wraps small secrets. It is safe for concurrent use.
type Wrapper interface {
	// Wrap encrypts a secret of at most MaxPlain bytes, bound to associated data of at most
	// MaxAssociated, which is not in the result.
	Wrap(ctx context.Context, plain, associated []byte) ([]byte, error)
	// Unwrap gives back what Wrap was given with the same associated data. Errors are ErrNotOurs,
	// or say what could not be reached; none says anything of the secret.
	Unwrap(ctx context.Context, wrapped, associated []byte) ([]byte, error)
	// Name tells wrapping keys apart, and tells nothing that helps to open: it may be written
	// beside what was wrapped.
	Name() string
}

// Bounds of what is wrapped, in bytes. A key in an HSM takes 8 KiB of both together.
const (
	MaxPlain      = 4 << 10
	MaxAssociated = 4 << 10
)

// Config names a Wrapper in the gateway's configuration.
type Config struct {
	// URI is age:FILE, or gcp-kms:// and the resource name of a key. A relative FILE is taken from
	// the configuration's folder.
	URI string `yaml:"uri"`
	// CredentialsFile is an external_account file to ask the KMS with. Without it, the machine's
	// own identity asks.
	CredentialsFile string `yaml:"credentials_file,omitempty"`
	// Endpoint is where cloudkms.googleapis.com is reached, host:port, for a private endpoint or a
	// test. CAFile holds PEM certificates to trust for it, and for the token endpoint of
	// CredentialsFile, beside the system's.
	Endpoint string `yaml:"endpoint,omitempty"`
	CAFile   string `yaml:"ca_file,omitempty"`
}

const (
	schemeAge = "age:"
	schemeKMS = "gcp-kms://"
)

var kmsKey = regexp.MustCompile(`^projects/[a-z0-9.:-]+/locations/[a-z0-9-]+/keyRings/[A-Za-z0-9_-]{1,63}/cryptoKeys/[A-Za-z0-9_-]{1,63}$`)

// Remote says whether what opens is reached by the network.
func (c Config) Remote() bool { return strings.HasPrefix(c.URI, schemeKMS) }

// File is the identity file of age:FILE, "" for a KMS.
func (c Config) File() string {
	file, _ := strings.CutPrefix(c.URI, schemeAge)
	if file == c.URI {
		return ""
	}
	return file
}

// In returns the configuration with relative paths taken from a folder.
func (c Config) In(dir string) Config {
	in := func(path string) string {
		if path == "" || filepath.IsAbs(path) {
			return path
		}
		return filepath.Join(dir, path)
	}
	if file := c.File(); file != "" {
		c.URI = schemeAge + in(file)
	}
	c.CredentialsFile, c.CAFile = in(c.CredentialsFile), in(c.CAFile)
	return c
}

// Validate reports every mistake in the configuration. It reads no file.
func (c Config) Validate() error {
	var errs []error
	switch key, isKMS := strings.CutPrefix(c.URI, schemeKMS); {
	case c.URI == "":
		errs = append(errs, errors.New("uri is missing: age:FILE (make one with `bqgate credentials keygen`), or gcp-kms://projects/…"))
	case isKMS && !kmsKey.MatchString(key):
		errs = append(errs, fmt.Errorf("uri %q does not name a key: "+
			"want gcp-kms://projects/P/locations/L/keyRings/R/cryptoKeys/K, without a version", c.URI))
	case isKMS && c.Endpoint != "":
		if host, port, err := net.SplitHostPort(c.Endpoint); err != nil || host == "" || port == "" {
			errs = append(errs, fmt.Errorf("endpoint %q is not host:port", c.Endpoint))
		}
	case isKMS:
	case c.File() == "":
		errs = append(errs, fmt.Errorf("uri %q is neither age:FILE nor gcp-kms://projects/…", c.URI))
	case c.CredentialsFile != "" || c.Endpoint != "" || c.CAFile != "":
		errs = append(errs, errors.New("credentials_file, endpoint and ca_file are for a KMS: age asks nobody"))
	}
	return errors.Join(errs...)
}

// Open makes the Wrapper that a configuration names. It reads the files that are named and contacts
// nobody.
func Open(ctx context.Context, c Config) (Wrapper, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	if c.Remote() {
		return openKMS(ctx, c)
	}
	return openAge(c.File())
}

func checkSizes(plain, associated []byte) error {
	switch {
	case len(plain) == 0 || len(plain) > MaxPlain:
		return fmt.Errorf("wrap: a secret has 1 to %d bytes, not %d", MaxPlain, len(plain))
	case len(associated) > MaxAssociated:
		return fmt.Errorf("wrap: associated data has at most %d bytes, not %d", MaxAssociated, len(associated))
	}
	return nil
}
