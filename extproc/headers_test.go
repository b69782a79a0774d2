package extproc

import (
	"slices"
	"testing"

	procv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
)

// A16: of an answer's headers only those of an allow-list reach the client, and none of its
// trailers: a value could stand in any of them, under any name.
func TestHeadersAndTrailersStayBehind(t *testing.T) {
	names := []string{
		"x-secret", "x-goog-meta-ssn", "x-goog-trace", "www-authenticate", "set-cookie", "etag", "server-timing", "grpc-message",
		"grpc-status-details-bin", "warning", "link",
	}
	var all []string
	for _, name := range names {
		all = append(all, name, secret)
	}
	s := newService(t, &journal{})
	head := responseHeadersOf("via_upstream", "200")
	head.GetResponseHeaders().Headers = headers(append([]string{":status", "200", "content-type", "application/json"}, all...)...)
	sent, err := run(t, s, true, request(t, s, nil), head, responseBodyOf(rowsBody, false), &procv3.ProcessingRequest{
		Request: &procv3.ProcessingRequest_ResponseTrailers{ResponseTrailers: &procv3.HttpTrailers{Trailers: headers(all...)}},
	})
	if err != nil {
		t.Fatal(err)
	}
	var removed, trailers []string
	answered := false
	for _, r := range sent {
		answered = answered || r.GetResponseBody() != nil
		removed = append(removed, r.GetResponseHeaders().GetResponse().GetHeaderMutation().GetRemoveHeaders()...)
		trailers = append(trailers, r.GetResponseTrailers().GetHeaderMutation().GetRemoveHeaders()...)
	}
	if !answered {
		t.Fatalf("the client gets no answer: %v", sent)
	}
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			if !slices.Contains(removed, name) {
				t.Error("it reaches the client as a header")
			}
			if !slices.Contains(trailers, name) {
				t.Error("it reaches the client as a trailer")
			}
		})
	}
}
