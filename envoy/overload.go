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

// overloadManager sheds load before memory runs out, in this order: connections without a request
// go sooner than after their idle timeout; the streams that hold most are reset; new requests are
// refused, and at last new connections.
//
// It shortens the time-out of idle connections and no other: those of streams
// (HTTP_DOWNSTREAM_STREAM_IDLE) bound the long-polls of held queries.
func overloadManager(l Limits) *overloadv3.OverloadManager {
	idle := heapAction("envoy.overload_actions.reduce_timeouts", 0.40, 0.85)
	idle.TypedConfig = packed(&overloadv3.ScaleTimersOverloadActionConfig{
		TimerScaleFactors: []*overloadv3.ScaleTimersOverloadActionConfig_ScaleTimer{{
			Timer: overloadv3.ScaleTimersOverloadActionConfig_HTTP_DOWNSTREAM_CONNECTION_IDLE,
			OverloadAdjust: &overloadv3.ScaleTimersOverloadActionConfig_ScaleTimer_MinTimeout{
				MinTimeout: seconds(5 * time.Second)},
		}},
	})
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
		// Streams are counted from 64 KiB on; the largest go first.
		BufferFactoryConfig: &overloadv3.BufferFactoryConfig{MinimumAccountToTrackPowerOfTwo: 16},
		Actions: []*overloadv3.OverloadAction{
			idle,
			heapAction("envoy.overload_actions.shrink_heap", 0.80),
			heapAction("envoy.overload_actions.reset_high_memory_stream", 0.85, 0.95),
			heapAction("envoy.overload_actions.disable_http_keepalive", 0.93),
			heapAction("envoy.overload_actions.stop_accepting_requests", 0.95),
			heapAction("envoy.overload_actions.stop_accepting_connections", 0.98),
		},
	}
}

// heapAction begins when so much of the heap is used; with a second share it grows from the first
// to that one.
func heapAction(name string, from float64, to ...float64) *overloadv3.OverloadAction {
	trigger := &overloadv3.Trigger{
		Name:         monitorHeap,
		TriggerOneof: &overloadv3.Trigger_Threshold{Threshold: &overloadv3.ThresholdTrigger{Value: from}},
	}
	if len(to) > 0 {
		trigger.TriggerOneof = &overloadv3.Trigger_Scaled{
			Scaled: &overloadv3.ScaledTrigger{ScalingThreshold: from, SaturationThreshold: to[0]},
		}
	}
	return &overloadv3.OverloadAction{Name: name, Triggers: []*overloadv3.Trigger{trigger}}
}
