package envoy

import (
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
)

// windows are the flow-control windows of an HTTP/2 connection, in bytes (RFC 9113 section 5.2). A
// stream whose reader has stopped keeps up to a window of its own out of the connection's. So the
// windows of all streams together are at most half of the connection's: whatever stands still, the
// others move (A37).
type windows struct{ streams, stream, connection uint32 }

var (
	// clientWindows bound what a client may send ahead, over all bodies of a connection, which may
	// be that of a proxy with many clients behind it.
	clientWindows = windows{streams: 100, stream: 128 << 10, connection: 32 << 20}
	// serviceWindows are those of connections to ext_authz and ext_proc. Requests beyond the
	// streams of one connection make another.
	serviceWindows = windows{streams: 128, stream: 256 << 10, connection: 64 << 20}
	// upstreamWindows are those of connections to Google: 512 KiB on the way are 50 MB/s at 10 ms.
	// Google's front ends take 100 streams a connection and refuse more.
	upstreamWindows = windows{streams: 64, stream: 512 << 10, connection: 64 << 20}
)

// fit says that no number of streams can use the connection's window up.
func (w windows) fit() bool {
	return w.streams > 0 && w.stream > 0 && 2*uint64(w.streams)*uint64(w.stream) <= uint64(w.connection)
}

// in sets the windows in o, and returns it.
func (w windows) in(o *corev3.Http2ProtocolOptions) *corev3.Http2ProtocolOptions {
	o.MaxConcurrentStreams, o.InitialStreamWindowSize, o.InitialConnectionWindowSize = u32(w.streams), u32(w.stream), u32(w.connection)
	return o
}

// windowsOf are the windows that o says. What it leaves out is 0: Envoy's defaults do not fit.
func windowsOf(o *corev3.Http2ProtocolOptions) windows {
	return windows{o.GetMaxConcurrentStreams().GetValue(), o.GetInitialStreamWindowSize().GetValue(),
		o.GetInitialConnectionWindowSize().GetValue()}
}

// windows wants those of an HTTP/2 connection such that streams that stand still cannot use it up.
func (l *linter) windows(p path, o *corev3.Http2ProtocolOptions) {
	l.must(windowsOf(o).fit(), p, "windows",
		"streams that nobody reads use up the window of a connection that others share, and those hang",
		"max_concurrent_streams × initial_stream_window_size of at most half of initial_connection_window_size, all three given")
}
