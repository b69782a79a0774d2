package envoy

import bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"

// admin puts the admin interface on a socket that only Envoy's own user opens. It has no
// authentication of its own: /quitquitquit, /drain_listeners and /config_dump answer whoever
// connects.
func admin(path string) *bootstrapv3.Admin {
	return &bootstrapv3.Admin{Address: pipe(path, 0o600)}
}
