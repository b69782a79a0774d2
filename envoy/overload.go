package envoy

import (
	"time"

	overloadv3 "github.com/envoyproxy/go-control-plane/envoy/config/overload/v3"
	connectionsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/resource_monitors/downstream_connections/v3"
	heapv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/resource_monitors/fixed_heap/v3"
)

const (
	monitorHeap        = "envoy.resource_monitors.fixed_heap"
	monitorConnections = "envoy.resource_monitors.global_downstream_max_connections"
)

// overloadManager sheds load before memory runs out. It never shortens timeouts
// (envoy.overload_actions.reduce_timeouts): that would cut the long-polls of held queries.
func overloadManager(l Limits) *overloadv3.OverloadManager {
	return &overloadv3.OverloadManager{
		RefreshInterval: seconds(250 * time.Millisecond),
		ResourceMonitors: []*overloadv3.ResourceMonitor{
			{
				Name: monitorHeap,
				ConfigType: &overloadv3.ResourceMonitor_TypedConfig{
					TypedConfig: packed(&heapv3.FixedHeapConfig{MaxHeapSizeBytes: l.MaxHeapBytes}),
				},
			},
			{
				Name: monitorConnections,
				ConfigType: &overloadv3.ResourceMonitor_TypedConfig{TypedConfig: packed(
					&connectionsv3.DownstreamConnectionsConfig{MaxActiveDownstreamConnections: int64(l.MaxConnections)})},
			},
		},
		Actions: []*overloadv3.OverloadAction{
			heapAction("envoy.overload_actions.shrink_heap", 0.90),
			heapAction("envoy.overload_actions.disable_http_keepalive", 0.93),
			heapAction("envoy.overload_actions.stop_accepting_requests", 0.95),
			heapAction("envoy.overload_actions.stop_accepting_connections", 0.98),
		},
	}
}

func heapAction(name string, threshold float64) *overloadv3.OverloadAction {
	return &overloadv3.OverloadAction{
		Name: name,
		Triggers: []*overloadv3.Trigger{{
			Name:         monitorHeap,
			TriggerOneof: &overloadv3.Trigger_Threshold{Threshold: &overloadv3.ThresholdTrigger{Value: threshold}},
		}},
	}
}
