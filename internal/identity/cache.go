package identity

import (
	"crypto/sha256"
	"time"

	"github.com/bqgate/bqgate/internal/cache"
)

const (
	cacheSize = 4096
	// cacheFor bounds how long a key that the issuer withdrew still serves through a token seen
	// before.
	cacheFor = time.Minute
)

// tokenCache has the tokens that were verified a moment ago, by the digest of token and audience.
type tokenCache = cache.Cache[[sha256.Size]byte, Subject]

func newTokenCache() *tokenCache { return cache.New[[sha256.Size]byte, Subject](cacheSize) }

// remembered is until when a verified token is not verified again: never beyond its own end.
func remembered(subject Subject, now time.Time) time.Time {
	if until := now.Add(cacheFor); until.Before(subject.Expiry) {
		return until
	}
	return subject.Expiry
}
