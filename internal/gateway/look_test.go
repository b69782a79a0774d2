package gateway

import (
	"testing"

	"github.com/bqgate/bqgate/envoy"
	"github.com/bqgate/bqgate/extauthz"
	"github.com/bqgate/bqgate/extproc"
)

// A refusal of a large body names what Envoy takes.
func TestTheLargestBodyIsTheSame(t *testing.T) {
	if limits, _ := envoy.Defaults(); limits.MaxRequestBytes != extproc.MaxRequest {
		t.Errorf("extproc has %d bytes, envoy %d", extproc.MaxRequest, limits.MaxRequestBytes)
	}
}

// Envoy's configuration and the service that it calls speak of the early look alike.
func TestTheEarlyLookIsTheSame(t *testing.T) {
	if extauthz.LookMetadata != envoy.LookMetadata || extauthz.LookEarly != envoy.LookEarly || extauthz.SmallBody != envoy.SmallBody {
		t.Errorf("extauthz has %s: %s, %d bytes, envoy %s: %s, %d bytes", extauthz.LookMetadata, extauthz.LookEarly, extauthz.SmallBody,
			envoy.LookMetadata, envoy.LookEarly, envoy.SmallBody)
	}
}

// What the service says of its own replies is what Envoy's configuration looks for.
func TestOwnRepliesAreNamedTheSame(t *testing.T) {
	if extauthz.ReplyMetadata != envoy.ReplyMetadata {
		t.Errorf("extauthz says %s, envoy looks for %s", extauthz.ReplyMetadata, envoy.ReplyMetadata)
	}
}
