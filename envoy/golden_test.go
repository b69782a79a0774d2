package envoy

import (
	"bytes"
	"path/filepath"
	"testing"

	"github.com/bqgate/bqgate/internal/golden"
)

// goldenConfigs are the shapes that operators deploy.
var goldenConfigs = map[string]Config{
	// Beside the services on one host, everything on.
	"sidecar": {
		REST: []Listener{{Address: "127.0.0.1:8080"},
			{Address: "0.0.0.0:8443", TLS: &ServerTLS{CertFile: "/etc/bqgate/tls.crt", KeyFile: "/etc/bqgate/tls.key"}}},
		GRPC: []Listener{{Address: "127.0.0.1:8081"},
			{Address: "0.0.0.0:8444", TLS: &ServerTLS{CertFile: "/etc/bqgate/tls.crt", KeyFile: "/etc/bqgate/tls.key"}}},
		Token: []Listener{{Address: "127.0.0.1:8082"},
			{Address: "[::]:8445", TLS: &ServerTLS{CertFile: "/etc/bqgate/tls.crt", KeyFile: "/etc/bqgate/tls.key"}}},
		ExtAuthz:      Service{Socket: "/run/bqgate/ext_authz.sock"},
		ExtProc:       Service{Socket: "/run/bqgate/ext_proc.sock"},
		TokenEndpoint: Service{Socket: "/run/bqgate/token.sock"},
		Admin:         "/run/bqgate/envoy-admin.sock",
	},
	// Services on other hosts, one TLS listener, exact names.
	"remote": {
		REST:      []Listener{{Address: "0.0.0.0:443", TLS: &ServerTLS{CertFile: "/etc/bqgate/tls.crt", KeyFile: "/etc/bqgate/tls.key"}}},
		Domains:   []string{"bigquery.internal.example", "bigquery.internal.example:443"},
		ExtAuthz:  Service{Address: "bqgate.internal.example:9001", TLS: remoteTLS},
		ExtProc:   Service{Address: "10.0.0.7:9002", TLS: remoteTLS},
		BigQuery:  Upstream{Host: "bigquery.googleapis.com", Address: "private.googleapis.com:443", CAFile: "/etc/bqgate/google-roots.pem"},
		AccessLog: "/var/log/bqgate/access.log", TrustedHops: 1,
	},
}

var remoteTLS = &ClientTLS{
	CertFile: "/etc/bqgate/envoy.crt", KeyFile: "/etc/bqgate/envoy.key", CAFile: "/etc/bqgate/ca.pem", SAN: "bqgate.internal.example",
}

func TestGolden(t *testing.T) {
	for name, config := range goldenConfigs {
		t.Run(name, func(t *testing.T) {
			got, err := Render(config)
			if err != nil {
				t.Fatal(err)
			}
			for range 5 {
				again, err := Render(config)
				if err != nil || !bytes.Equal(got, again) {
					t.Fatalf("a second Render differs (error %v)", err)
				}
			}
			golden.File(t, filepath.Join("testdata", name+".yaml"), got)
		})
	}
}
