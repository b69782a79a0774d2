package envoy

import (
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
)

const transportTLS = "envoy.transport_sockets.tls"

// downstreamTLS is what clients meet. alpn lists the protocols of the listener's surface.
func downstreamTLS(t ServerTLS, alpn []string) *corev3.TransportSocket {
	return &corev3.TransportSocket{
		Name: transportTLS,
		ConfigType: &corev3.TransportSocket_TypedConfig{TypedConfig: packed(&tlsv3.DownstreamTlsContext{
			CommonTlsContext: &tlsv3.CommonTlsContext{
				TlsParams:       tlsFloor(),
				TlsCertificates: []*tlsv3.TlsCertificate{{CertificateChain: fileSource(t.CertFile), PrivateKey: fileSource(t.KeyFile)}},
				AlpnProtocols:   alpn,
			},
		})},
	}
}

// upstreamTLS connects to a Google API host. Envoy verifies nothing unless it is told to: the
// trusted authorities and the name are both needed.
func upstreamTLS(u Upstream) *corev3.TransportSocket {
	return &corev3.TransportSocket{
		Name: transportTLS,
		ConfigType: &corev3.TransportSocket_TypedConfig{TypedConfig: packed(&tlsv3.UpstreamTlsContext{
			CommonTlsContext: &tlsv3.CommonTlsContext{
				TlsParams:             tlsFloor(),
				ValidationContextType: validation(u.CAFile, u.Host),
			},
			Sni: u.Host,
		})},
	}
}

// mutualTLS connects to a service of bqgate that is not on this host.
func mutualTLS(t ClientTLS) *corev3.TransportSocket {
	return &corev3.TransportSocket{
		Name: transportTLS,
		ConfigType: &corev3.TransportSocket_TypedConfig{TypedConfig: packed(&tlsv3.UpstreamTlsContext{
			CommonTlsContext: &tlsv3.CommonTlsContext{
				TlsParams: &tlsv3.TlsParameters{
					TlsMinimumProtocolVersion: tlsv3.TlsParameters_TLSv1_3,
					TlsMaximumProtocolVersion: tlsv3.TlsParameters_TLSv1_3,
				},
				TlsCertificates: []*tlsv3.TlsCertificate{
					{CertificateChain: fileSource(t.CertFile), PrivateKey: fileSource(t.KeyFile)},
				},
				ValidationContextType: validation(t.CAFile, t.SAN),
			},
			Sni: t.SAN,
		})},
	}
}

func tlsFloor() *tlsv3.TlsParameters {
	return &tlsv3.TlsParameters{
		TlsMinimumProtocolVersion: tlsv3.TlsParameters_TLSv1_2,
		TlsMaximumProtocolVersion: tlsv3.TlsParameters_TLSv1_3,
	}
}

func validation(caFile, name string) *tlsv3.CommonTlsContext_ValidationContext {
	return &tlsv3.CommonTlsContext_ValidationContext{ValidationContext: &tlsv3.CertificateValidationContext{
		TrustedCa: fileSource(caFile),
		// An exact DNS matcher honours a wildcard in the certificate ("*.googleapis.com"), as RFC
		// 6125 does.
		MatchTypedSubjectAltNames: []*tlsv3.SubjectAltNameMatcher{{SanType: tlsv3.SubjectAltNameMatcher_DNS, Matcher: exactly(name)}},
	}}
}
