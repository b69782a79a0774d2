package envoy

import (
	"slices"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
)

// dataRoutes checks routes behind ext_authz and ext_proc.
func (l *linter) dataRoutes(p path, c *routev3.RouteConfiguration) {
	l.routeConfiguration(p, c)
	anyHost := false
	for i, v := range c.GetVirtualHosts() {
		p := p.field("virtual_hosts").index(i)
		l.virtualHost(p, v)
		anyHost = anyHost || slices.Contains(v.GetDomains(), "*")
		for j, r := range v.GetRoutes() {
			l.dataRoute(p.field("routes").index(j), r)
		}
		routes := v.GetRoutes()
		l.must(len(routes) > 0 && refusesAll(routes[len(routes)-1]), p.field("routes"), "catch-all",
			"ext_authz is not asked about paths without a route", "a last route with prefix / and a direct_response of 403")
	}
	l.must(anyHost, p.field("virtual_hosts"), "catch-all", "ext_authz is not asked about hosts without a virtual host",
		"a virtual host \"*\"")
}

func refusesAll(r *routev3.Route) bool {
	m := r.GetMatch()
	return m.GetPrefix() == "/" && len(m.GetHeaders()) == 0 && len(m.GetQueryParameters()) == 0 && m.GetRuntimeFraction() == nil &&
		m.GetGrpc() == nil &&
		r.GetDirectResponse().GetStatus() >= 400
}

func (l *linter) routeConfiguration(p path, c *routev3.RouteConfiguration) {
	l.addedHeaders(p, c.GetRequestHeadersToAdd())
	l.must(c.GetVhds() == nil, p.field("vhds"), "static", "virtual hosts come from elsewhere and cannot be checked", "virtual_hosts only")
	l.must(len(c.GetTypedPerFilterConfig()) == 0, p.field("typed_per_filter_config"), "exceptions", "filters are changed for all routes",
		"none")
	l.must(len(c.GetRequestMirrorPolicies()) == 0, p.field("request_mirror_policies"), "mirrors",
		"requests are copied elsewhere, tokens included", "none")
	l.must(len(c.GetClusterSpecifierPlugins()) == 0, p.field("cluster_specifier_plugins"), "fixed-clusters",
		"something else chooses where requests go", "none")
}

func (l *linter) virtualHost(p path, v *routev3.VirtualHost) {
	l.addedHeaders(p, v.GetRequestHeadersToAdd())
	l.must(!v.GetIncludeRequestAttemptCount(), p.field("include_request_attempt_count"), "client-headers",
		"x-envoy-attempt-count goes to Google", "false")
	l.must(v.GetMatcher() == nil, p.field("matcher"), "understood", "match trees are not understood", "routes")
	l.must(len(v.GetTypedPerFilterConfig()) == 0, p.field("typed_per_filter_config"), "exceptions",
		"filters are changed for a whole virtual host", "none")
	l.must(v.GetRetryPolicy() == nil && v.GetRetryPolicyTypedConfig() == nil && v.GetHedgePolicy() == nil, p.field("retry_policy"),
		"retries", "a job that is sent twice may run twice", "none")
	l.must(len(v.GetRequestMirrorPolicies()) == 0, p.field("request_mirror_policies"), "mirrors",
		"requests are copied elsewhere, tokens included", "none")
}

func (l *linter) dataRoute(p path, r *routev3.Route) {
	if r.GetDirectResponse() != nil || r.GetRedirect() != nil {
		return // Envoy answers by itself; filters may be off
	}
	l.must(len(r.GetTypedPerFilterConfig()) == 0, p.field("typed_per_filter_config"), "exceptions",
		"ext_authz or ext_proc is changed or off on a route that leads somewhere", "none, but where Envoy answers by direct_response")
	a := r.GetRoute()
	if a == nil {
		l.add(p, "understood", "the route does something that is not understood", "route or direct_response")
		return
	}
	l.addedHeaders(p, r.GetRequestHeadersToAdd())
	l.must(r.GetMatch().GetConnectMatcher() == nil, p.field("match"), "upgrades", "CONNECT tunnels carry bytes that no filter sees", "none")
	l.action(p.field("route"), a)
	if name := a.GetCluster(); name != "" {
		l.upstream[name] = true
	}
	l.must(slices.Contains(r.GetRequestHeadersToRemove(), "accept-encoding"), p.field("request_headers_to_remove"), "compressed-answers",
		"Google may compress answers, and ext_proc breaks those off", "accept-encoding")
	for _, name := range credentialHeaders {
		l.must(slices.Contains(r.GetResponseHeadersToRemove(), name), p.field("response_headers_to_remove"), "secrets",
			"a response header "+name+" is hidden from ext_proc and goes to the client", name)
	}
}

// addedHeaders refuses headers that are added behind ext_authz: it has taken out all that it did
// not decide about, and this puts others in, a credential perhaps.
func (l *linter) addedHeaders(p path, headers []*corev3.HeaderValueOption) {
	l.must(len(headers) == 0, p.field("request_headers_to_add"), "mutations",
		"headers go to Google that ext_authz did not decide about, and may take the place of the minted token", "none")
}

// action checks where a route leads and that nothing is done on the way.
func (l *linter) action(p path, a *routev3.RouteAction) {
	l.must(a.GetCluster() != "", p, "fixed-clusters", "a header, a weight or an extension chooses where requests go", "cluster: NAME")
	l.must(a.GetPrefixRewrite() == "" && a.GetRegexRewrite() == nil && a.GetPathRewritePolicy() == nil && a.GetPathRewrite() == "",
		p.field("prefix_rewrite"), "path",
		"the path that is sent on is not the one that was decided about", "no rewriting")
	l.must(a.GetHostRewriteHeader() == "" && a.GetHostRewritePathRegex() == nil && a.GetHostRewrite() == "", p.field("host_rewrite_header"),
		"path", "the client chooses the host", "host_rewrite_literal")
	l.must(a.GetRetryPolicy() == nil && a.GetRetryPolicyTypedConfig() == nil && a.GetHedgePolicy() == nil, p.field("retry_policy"),
		"retries", "a job that is sent twice may run twice", "none")
	l.must(len(a.GetRequestMirrorPolicies()) == 0, p.field("request_mirror_policies"), "mirrors",
		"requests are copied elsewhere, tokens included", "none")
	l.must(len(a.GetUpgradeConfigs()) == 0, p.field("upgrade_configs"), "upgrades", "upgraded connections carry bytes that no filter sees",
		"none")
	//nolint:staticcheck // SA1019: a configuration may still say it in the deprecated way
	l.must(a.GetInternalRedirectPolicy() == nil && a.GetInternalRedirectAction() == routev3.RouteAction_PASS_THROUGH_INTERNAL_REDIRECT,
		p.field("internal_redirect_policy"), "fixed-clusters",
		"an answer sends the request elsewhere, token included", "none")
	if a.IdleTimeout != nil {
		l.positive(a.GetIdleTimeout(), p.field("idle_timeout"))
	}
}

// unguardedRoutes checks routes without ext_authz: the token endpoint is the only place they may
// lead.
func (l *linter) unguardedRoutes(p path, c *routev3.RouteConfiguration) {
	l.routeConfiguration(p, c)
	for i, v := range c.GetVirtualHosts() {
		p := p.field("virtual_hosts").index(i)
		l.virtualHost(p, v)
		for j, r := range v.GetRoutes() {
			if r.GetDirectResponse() != nil || r.GetRedirect() != nil {
				continue
			}
			p := p.field("routes").index(j)
			if r.GetRoute().GetCluster() == "" || r.GetMatch().GetPath() != tokenPath || !onlyPost(r.GetMatch()) {
				l.add(p, "unguarded", "the route leads on without ext_authz and ext_proc",
					"exactly POST "+tokenPath+" to the token endpoint, or the filters")
				continue
			}
			l.action(p.field("route"), r.GetRoute())
			l.inner[r.GetRoute().GetCluster()] = true
		}
	}
}

func onlyPost(m *routev3.RouteMatch) bool {
	return slices.ContainsFunc(m.GetHeaders(), func(h *routev3.HeaderMatcher) bool {
		return h.GetName() == ":method" && h.GetStringMatch().GetExact() == "POST" && !h.GetInvertMatch()
	})
}
