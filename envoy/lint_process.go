package envoy

import (
	"strings"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	overloadv3 "github.com/envoyproxy/go-control-plane/envoy/config/overload/v3"
)

// process checks what belongs to Envoy as a whole.
func (l *linter) process(b *bootstrapv3.Bootstrap) {
	const static = "what can be read here is all there is: static_resources only"
	l.must(b.GetDynamicResources() == nil, path{"dynamic_resources"}, "static",
		"listeners, routes or clusters come from elsewhere and cannot be checked", static)
	l.must(b.GetXdsDelegateExtension() == nil && len(b.GetConfigSources()) == 0 && b.GetDefaultConfigSource() == nil,
		path{"config_sources"}, "static",
		"configuration may come from elsewhere", static)
	l.must(len(b.GetStaticResources().GetListeners()) > 0, path{"static_resources", "listeners"}, "static", "there is no listener", static)
	l.must(b.GetHeaderPrefix() == "", path{"header_prefix"}, "client-headers",
		"Envoy's own headers get another prefix, and the removal of x-envoy-* from requests misses them", "no header_prefix")
	l.must(b.GetHdsConfig() == nil, path{"hds_config"}, "static", "another server says which hosts are in use", static)
	l.must(len(b.GetStatsSinks()) == 0, path{"stats_sinks"}, "secrets",
		"statistics are sent elsewhere, and they name clusters, routes and status codes of each agent's requests",
		"none; read them from the admin socket")
	l.must(len(b.GetInlineHeaders()) == 0, path{"inline_headers"}, "client-headers",
		"duplicates of these headers are joined before ext_authz sees them", "none")
	l.must(len(b.GetFatalActions()) == 0, path{"fatal_actions"}, "understood", "extensions run code in Envoy", "none")
	l.must(len(b.GetBootstrapExtensions()) == 0, path{"bootstrap_extensions"}, "understood", "extensions run code in Envoy", "none")
	l.admin(b.GetAdmin())
	l.runtime(b)
	l.overload(b)
}

func (l *linter) admin(a *bootstrapv3.Admin) {
	if a == nil {
		return
	}
	p := path{"admin"}
	l.accessLogs(p.field("access_log"), a.GetAccessLog())
	pipe := a.GetAddress().GetPipe()
	if pipe == nil {
		l.add(p.field("address"), "admin",
			"the admin interface is on a network port: whoever reaches it can stop Envoy, drain it and read its configuration",
			"admin.address.pipe with mode 0600 (384), or no admin")
		return
	}
	l.must(pipe.GetMode() == 0o600, p.field("address", "pipe", "mode"), "admin", "the admin socket may be opened by other users",
		"mode 0600 (384)")
	l.must(!strings.HasPrefix(pipe.GetPath(), "@"), p.field("address", "pipe", "path"), "admin",
		"an abstract socket has no owner and no mode", "a path")
}

func (l *linter) runtime(b *bootstrapv3.Bootstrap) {
	p := path{"layered_runtime"}
	if b.GetLayeredRuntime() == nil {
		l.must(b.GetAdmin() == nil, p, "runtime",
			"without layered_runtime the admin interface may change runtime values, and with them turn guards off",
			"one static_layer")
		return
	}
	said := 0
	for i, layer := range b.GetLayeredRuntime().GetLayers() {
		p := p.field("layers").index(i)
		static := layer.GetStaticLayer()
		if static == nil {
			l.add(p, "runtime", "a runtime layer from outside this file can turn guards off while Envoy runs", "static_layer only")
			continue
		}
		for key, value := range static.GetFields() {
			if want, known := runtimeValues[key]; known && value.GetNumberValue() == want {
				said++
				continue
			}
			l.add(p.field("static_layer", key), "runtime", "the runtime value "+key+" may revert a security fix or a limit",
				"what \"bqgate envoy render\" writes")
		}
	}
	l.must(said == len(runtimeValues), p, "turns",
		"who resets requests as soon as they are made, or sends many at once, keeps all others waiting",
		"the static_layer that \"bqgate envoy render\" writes")
}

func (l *linter) overload(b *bootstrapv3.Bootstrap) {
	p := path{"overload_manager"}
	monitors := map[string]bool{}
	for _, m := range b.GetOverloadManager().GetResourceMonitors() {
		monitors[m.GetName()] = true
	}
	l.must(monitors[monitorHeap] && monitors[monitorConnections], p, "overload", "clients can exhaust memory or connections",
		"resource monitors "+monitorHeap+" and "+monitorConnections)
	for i, a := range b.GetOverloadManager().GetActions() {
		l.must(a.GetName() != "envoy.overload_actions.reduce_timeouts" || idleConnectionsOnly(a), p.field("actions").index(i), "overload",
			"shorter timeouts under load cut the waiting for approvals",
			"no reduce_timeouts, or with the timer HTTP_DOWNSTREAM_CONNECTION_IDLE alone")
	}
}

// idleConnectionsOnly says that an action shortens the time-out of connections without a request,
// and none besides.
func idleConnectionsOnly(a *overloadv3.OverloadAction) bool {
	var c overloadv3.ScaleTimersOverloadActionConfig
	if a.GetTypedConfig().UnmarshalTo(&c) != nil {
		return false
	}
	for _, f := range c.GetTimerScaleFactors() {
		if f.GetTimer() != overloadv3.ScaleTimersOverloadActionConfig_HTTP_DOWNSTREAM_CONNECTION_IDLE {
			return false
		}
	}
	return len(c.GetTimerScaleFactors()) > 0
}

// loopback says whether only this host can connect.
func loopback(a *corev3.Address) bool {
	if a.GetPipe() != nil {
		return true
	}
	return parseLoopback(a.GetSocketAddress().GetAddress())
}
