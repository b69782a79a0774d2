package envoy

import (
	"fmt"
	"net/http"

	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	celv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/filters/cel/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/types/known/structpb"
)

const jsonContentType = "application/json; charset=UTF-8"

// Envoy's own errors (a body too large, a path it refuses, a service that is down) are a line of
// text or nothing at all, which BigQuery clients show as a parse error. They get the shape of
// BigQuery's errors instead.
//
// ext_authz's replies, ext_proc's and the direct responses of routes are local replies as well, and
// must stay as they are. What tells them apart is that their authors set a content-type.
const withoutContentType = `!('content-type' in response.headers)`

// A localReply says what was wrong and what would be right, by status.
type localReply struct {
	status  uint32
	reason  string // BigQuery's errors[].reason
	oauth   string // RFC 6749 section 5.2 and 4.1.2.1
	message string
}

// text names the request where an operator may have to look for it. Requests that Envoy refuses on
// sight have no id yet.
func (r localReply) text(maxBody uint32) string {
	if r.status == http.StatusRequestEntityTooLarge {
		return fmt.Sprintf("bqgate: "+r.message, maxBody)
	}
	if r.status < 500 {
		return "bqgate: " + r.message
	}
	return "bqgate: " + r.message + " Request " + formatRequestID + "."
}

var localReplies = []localReply{
	{400, "invalid", "invalid_request",
		"the request is malformed: a path with an escaped slash, a header that is not allowed, or broken HTTP framing."},
	{403, "accessDenied", "invalid_request", "upgrades and tunnels are not served; plain HTTP requests are."},
	{404, "notFound", "invalid_request", "nothing is served at this path and method."},
	{408, "timeout", "temporarily_unavailable", "the request did not arrive in time; send it again."},
	{413, "invalid", "invalid_request", "the request body is larger than the %d bytes that this gateway takes."},
	{426, "invalid", "invalid_request", "HTTP/1.0 is not served; use HTTP/1.1 or HTTP/2."},
	{429, "rateLimitExceeded", "temporarily_unavailable", "Exceeded rate limits: too many requests; try again in a few seconds."},
	{431, "invalid", "invalid_request",
		fmt.Sprintf("there are more than %d request headers, or more than %d KiB of them.", maxHeaders, maxHeadersKiB)},
	{500, "backendError", "server_error", "the request or its answer could not be processed safely and was broken off."},
	{502, "backendError", "server_error", "what stands behind the gateway gave no valid answer."},
	{503, "backendError", "temporarily_unavailable",
		"the gateway cannot decide or reach BigQuery at the moment, so nothing was let through; try again."},
	{504, "backendError", "temporarily_unavailable", "no answer arrived in time."},
}

// bigQueryLocalReplies shapes Envoy's own errors as BigQuery's. maxBody is of requests, in bytes.
func bigQueryLocalReplies(maxBody uint32) *hcmv3.LocalReplyConfig {
	return localReplyConfig(func(r localReply) *structpb.Struct {
		message := r.text(maxBody)
		return object(
			"error", structpb.NewStructValue(object(
				"code", structpb.NewStringValue("%RESPONSE_CODE%"), // JSON formats keep its type: a number
				"message", structpb.NewStringValue(message),
				"errors", structpb.NewListValue(&structpb.ListValue{Values: []*structpb.Value{structpb.NewStructValue(object(
					"domain", structpb.NewStringValue("global"),
					"reason", structpb.NewStringValue(r.reason),
					"message", structpb.NewStringValue(message),
				))}}),
			)))
	})
}

// oauthLocalReplies shapes them as RFC 6749 section 5.2 does, for the token endpoint.
func oauthLocalReplies() *hcmv3.LocalReplyConfig {
	return localReplyConfig(func(r localReply) *structpb.Struct {
		return object(
			"error", structpb.NewStringValue(r.oauth),
			"error_description", structpb.NewStringValue(r.text(maxTokenRequest)),
		)
	})
}

func localReplyConfig(body func(localReply) *structpb.Struct) *hcmv3.LocalReplyConfig {
	c := &hcmv3.LocalReplyConfig{}
	for _, r := range localReplies {
		c.Mappers = append(c.Mappers, &hcmv3.ResponseMapper{
			Filter: both(ofStatus(r.status), matching(withoutContentType)),
			BodyFormatOverride: &corev3.SubstitutionFormatString{
				Format:      &corev3.SubstitutionFormatString_JsonFormat{JsonFormat: body(r)},
				ContentType: jsonContentType,
			},
		})
	}
	return c
}

func both(a, b *accesslogv3.AccessLogFilter) *accesslogv3.AccessLogFilter {
	return &accesslogv3.AccessLogFilter{FilterSpecifier: &accesslogv3.AccessLogFilter_AndFilter{
		AndFilter: &accesslogv3.AndFilter{Filters: []*accesslogv3.AccessLogFilter{a, b}},
	}}
}

func ofStatus(code uint32) *accesslogv3.AccessLogFilter {
	return &accesslogv3.AccessLogFilter{FilterSpecifier: &accesslogv3.AccessLogFilter_StatusCodeFilter{
		StatusCodeFilter: &accesslogv3.StatusCodeFilter{Comparison: &accesslogv3.ComparisonFilter{
			Op: accesslogv3.ComparisonFilter_EQ,
			// The runtime key has no value in the static layer, so the default counts.
			Value: &corev3.RuntimeUInt32{DefaultValue: code, RuntimeKey: "bqgate.local_reply"},
		}},
	}}
}

func matching(expression string) *accesslogv3.AccessLogFilter {
	return &accesslogv3.AccessLogFilter{FilterSpecifier: &accesslogv3.AccessLogFilter_ExtensionFilter{
		ExtensionFilter: &accesslogv3.ExtensionFilter{
			Name:       "envoy.access_loggers.extension_filters.cel",
			ConfigType: &accesslogv3.ExtensionFilter_TypedConfig{TypedConfig: packed(&celv3.ExpressionFilter{Expression: expression})},
		},
	}}
}

// object makes a struct of names and values by turns.
func object(pairs ...any) *structpb.Struct {
	s := &structpb.Struct{Fields: map[string]*structpb.Value{}}
	for i := 0; i < len(pairs); i += 2 {
		s.Fields[pairs[i].(string)] = pairs[i+1].(*structpb.Value) //nolint:gosec // G602: pairs come by twos
	}
	return s
}
