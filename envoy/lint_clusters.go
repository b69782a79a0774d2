package envoy

import (
	"strings"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	httpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
)

// innerCluster checks the way from Envoy to a part of bqgate.
func (l *linter) innerCluster(name string) {
	c, p, ok := l.cluster(name, "inner-link")
	if !ok {
		return
	}
	const want = "a Unix socket (pipe), or mutual TLS with ca, certificate and an exact DNS name"
	if c.GetTransportSocket() == nil {
		for _, a := range addresses(c) {
			pipe := a.GetPipe()
			if pipe == nil || strings.HasPrefix(pipe.GetPath(), "@") {
				l.add(p, "inner-link", "the link to "+name+" is plain text on a network: whoever reaches the port is given Google "+
					"tokens, or plays the service", want)
				return
			}
		}
	} else {
		t, tp, ok := l.upstreamTLS(p, c.GetTransportSocket(), "inner-link")
		if ok && len(t.GetCommonTlsContext().GetTlsCertificates()) == 0 {
			l.add(tp.field("common_tls_context"), "inner-link", "Envoy shows no certificate to "+name+", so that others can call it", want)
		}
	}
	if name == clusterToken || !isHTTP2(c) {
		return
	}
	l.windows(p.field("typed_extension_protocol_options"), options(c).GetExplicitHttpConfig().GetHttp2ProtocolOptions())
	keepalive := options(c).GetExplicitHttpConfig().GetHttp2ProtocolOptions().GetConnectionKeepalive()
	total := keepalive.GetInterval().AsDuration() + keepalive.GetTimeout().AsDuration()
	l.must(keepalive.GetInterval().AsDuration() > 0 && total <= frozenWithin, p.field("typed_extension_protocol_options"), "keepalive",
		"a frozen "+name+" leaves clients hanging",
		"connection_keepalive with interval and timeout of at most "+frozenWithin.String()+" together")
	if len(c.GetHealthChecks()) > 0 {
		l.must(
			c.GetCommonLbConfig().GetHealthyPanicThreshold().GetValue() == 100,
			p.field("common_lb_config"),
			"health",
			"a health check that is late refuses everybody in "+name+"'s place",
			"healthy_panic_threshold of 100: the service is asked all the same",
		)
	}
	thresholds := c.GetCircuitBreakers().GetThresholds()
	l.must(len(thresholds) > 0 && thresholds[0].GetMaxRequests().GetValue() > 1024, p.field("circuit_breakers"), "hold-room",
		"held queries use up Envoy's default of 1024 requests, and the rest is refused", "max_requests above 1024")
}

// upstreamCluster checks the way to Google.
func (l *linter) upstreamCluster(name string) {
	c, p, ok := l.cluster(name, "upstream-tls")
	if !ok {
		return
	}
	if o := options(c); o.GetExplicitHttpConfig().GetHttpProtocolOptions() == nil { // HTTP/1.1 has a connection for each request
		h2 := o.GetExplicitHttpConfig().GetHttp2ProtocolOptions()
		if h2 == nil {
			h2 = o.GetAutoConfig().GetHttp2ProtocolOptions()
		}
		l.windows(p.field("typed_extension_protocol_options"), h2)
	}
	if c.GetTransportSocket() == nil {
		l.add(p, "upstream-tls", "minted tokens go to "+name+" in plain text",
			"a TLS transport_socket with trusted_ca and an exact DNS name")
		return
	}
	t, tp, ok := l.upstreamTLS(p, c.GetTransportSocket(), "upstream-tls")
	if ok {
		l.must(t.GetSni() != "", tp.field("sni"), "upstream-tls", "no server name is asked for", "the host's name")
	}
}

func (l *linter) cluster(name, rule string) (*clusterv3.Cluster, path, bool) {
	c, ok := l.clusters[name]
	if !ok {
		l.add(path{"static_resources", "clusters"}, rule, "there is no cluster "+name, "a static cluster")
		return nil, nil, false
	}
	p := l.clusterPaths[name]
	kind := c.GetType()
	fixed := c.GetClusterType() == nil && c.GetEdsClusterConfig() == nil &&
		(kind == clusterv3.Cluster_STATIC || kind == clusterv3.Cluster_STRICT_DNS || kind == clusterv3.Cluster_LOGICAL_DNS)
	l.must(fixed, p.field("type"), "fixed-clusters", "where "+name+" is comes from elsewhere or from the request",
		"STATIC, STRICT_DNS or LOGICAL_DNS")
	l.must(len(c.GetTransportSocketMatches()) == 0 && c.GetTransportSocketMatcher() == nil, p.field("transport_socket_matches"), rule,
		"the transport depends on metadata", "transport_socket")
	o := p.field("typed_extension_protocol_options")
	l.must(options(c).GetRetryPolicy() == nil, o, "retries", "a job that is sent twice may run twice", "no retry_policy")
	l.must(len(options(c).GetRequestMirrorPolicies()) == 0, o, "mirrors", "requests are copied elsewhere, tokens included",
		"no request_mirror_policies")
	l.must(options(c).GetUseDownstreamProtocolConfig() == nil, o, "framing", "clients choose the protocol in which Google is spoken to",
		"auto_config or explicit_http_config")
	l.must(len(c.GetFilters()) == 0, p.field("filters"), "filters", "network filters behind ext_proc see tokens and rows", "none")
	l.must(c.GetUpstreamConfig() == nil, p.field("upstream_config"), "understood", "an extension makes the connections", "none")
	l.must(c.GetLrsServer() == nil, p.field("lrs_server"), "static", "loads are reported elsewhere", "none")
	l.must(len(options(c).GetHttpFilters()) == 0, p.field("typed_extension_protocol_options"), "filters",
		"filters behind ext_proc change what it decided", "none")
	return c, p, true
}

func addresses(c *clusterv3.Cluster) []*corev3.Address {
	var out []*corev3.Address
	for _, locality := range c.GetLoadAssignment().GetEndpoints() {
		for _, e := range locality.GetLbEndpoints() {
			out = append(out, e.GetEndpoint().GetAddress())
		}
	}
	return out
}

func options(c *clusterv3.Cluster) *httpv3.HttpProtocolOptions {
	var o httpv3.HttpProtocolOptions
	if a, ok := c.GetTypedExtensionProtocolOptions()[httpProtocolOptions]; !ok || a.UnmarshalTo(&o) != nil {
		return nil
	}
	return &o
}

func isHTTP2(c *clusterv3.Cluster) bool {
	return options(c).GetExplicitHttpConfig().GetHttpProtocolOptions() == nil
}

// upstreamTLS checks that the other side is who it should be.
func (l *linter) upstreamTLS(p path, socket *corev3.TransportSocket, rule string) (*tlsv3.UpstreamTlsContext, path, bool) {
	p = p.field("transport_socket", "typed_config")
	var t tlsv3.UpstreamTlsContext
	if socket.GetTypedConfig().UnmarshalTo(&t) != nil {
		l.add(p, rule, "the transport socket "+socket.GetName()+" is not TLS", "envoy.transport_sockets.tls")
		return nil, nil, false
	}
	common := p.field("common_tls_context")
	l.commonTLS(common, t.GetCommonTlsContext())
	v := t.GetCommonTlsContext().GetValidationContext()
	vp := common.field("validation_context")
	l.must(v.GetTrustedCa() != nil, vp.field("trusted_ca"), rule, "any certificate is believed", "the certificate authorities to trust")
	l.must(v.GetTrustChainVerification() == tlsv3.CertificateValidationContext_VERIFY_TRUST_CHAIN, vp.field("trust_chain_verification"),
		rule, "certificates that fail verification are accepted", "VERIFY_TRUST_CHAIN")
	l.must(!v.GetAllowExpiredCertificate(), vp.field("allow_expired_certificate"), rule, "expired certificates are accepted", "false")
	l.must(namesExactly(v.GetMatchTypedSubjectAltNames()), vp.field("match_typed_subject_alt_names"), rule,
		"a certificate of another name is believed", "exact DNS names")
	return &t, p, true
}

func namesExactly(names []*tlsv3.SubjectAltNameMatcher) bool {
	for _, n := range names {
		_, exact := n.GetMatcher().GetMatchPattern().(*matcherv3.StringMatcher_Exact)
		if n.GetSanType() != tlsv3.SubjectAltNameMatcher_DNS || !exact || n.GetMatcher().GetExact() == "" ||
			strings.Contains(n.GetMatcher().GetExact(), "*") {
			return false
		}
	}
	return len(names) > 0
}

func (l *linter) commonTLS(p path, c *tlsv3.CommonTlsContext) {
	l.must(c.GetKeyLog() == nil, p.field("key_log"), "secrets", "session keys are written to a file", "no key_log")
	switch c.GetTlsParams().GetTlsMinimumProtocolVersion() {
	case tlsv3.TlsParameters_TLSv1_0, tlsv3.TlsParameters_TLSv1_1:
		l.add(p.field("tls_params", "tls_minimum_protocol_version"), "tls-version", "TLS below 1.2 is broken", "TLSv1_2 or TLSv1_3")
	}
}
