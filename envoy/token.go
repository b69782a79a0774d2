package envoy

import (
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	ratelimitv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/common/ratelimit/v3"
	bufferv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/buffer/v3"
	localratelimitv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/local_ratelimit/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
)

const (
	filterLocalRateLimit = "envoy.filters.http.local_ratelimit"
	filterBuffer         = "envoy.filters.http.buffer"

	// maxTokenRequest holds an OIDC token and a few parameters.
	maxTokenRequest = 64 << 10
)

// malformedTokenRate is a second, of all addresses together.
const malformedTokenRate = 100

// tokenRate bounds what anonymous callers can make the token endpoint verify. What could be an
// exchange by its length and type has a bucket for each address, which is large: the honest callers
// of an address share it with whoever else is there, and a session lasts for many queries. What
// cannot be one has a small bucket of its own, so that it takes nothing from those.
func tokenRate(l Limits) *hcmv3.HttpFilter {
	always := &corev3.RuntimeFractionalPercent{DefaultValue: &typev3.FractionalPercent{Numerator: 100}}
	return &hcmv3.HttpFilter{Name: filterLocalRateLimit,
		ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: packed(&localratelimitv3.LocalRateLimit{
			StatPrefix:                      "token",
			TokenBucket:                     bucket(malformedTokenRate),
			AlwaysConsumeDefaultTokenBucket: no(),
			Descriptors: []*ratelimitv3.LocalRateLimitDescriptor{{
				Entries:     []*ratelimitv3.RateLimitDescriptor_Entry{{Key: "remote_address"}, {Key: "header_match", Value: "exchange"}},
				TokenBucket: bucket(l.MaxTokenRate),
			}},
			// Addresses beyond these share the buckets of those that were seen least lately.
			MaxDynamicDescriptors: u32(4096),
			RateLimits: []*routev3.RateLimit{{Actions: []*routev3.RateLimit_Action{
				{ActionSpecifier: &routev3.RateLimit_Action_RemoteAddress_{RemoteAddress: &routev3.RateLimit_Action_RemoteAddress{}}},
				{ActionSpecifier: &routev3.RateLimit_Action_HeaderValueMatch_{HeaderValueMatch: &routev3.RateLimit_Action_HeaderValueMatch{
					DescriptorValue: "exchange",
					Headers: []*routev3.HeaderMatcher{
						// No token is shorter than 100 bytes.
						{
							Name:                 "content-length",
							HeaderMatchSpecifier: &routev3.HeaderMatcher_StringMatch{StringMatch: likeThis("[1-9][0-9]{2,4}")},
						},
						{Name: "content-type", HeaderMatchSpecifier: &routev3.HeaderMatcher_StringMatch{
							StringMatch: startingWith("application/x-www-form-urlencoded")}},
					},
				}}},
			}}},
			FilterEnabled:  always,
			FilterEnforced: always,
			// There is room again within a second.
			ResponseHeadersToAdd: []*corev3.HeaderValueOption{{Header: &corev3.HeaderValue{Key: "retry-after", Value: "1"}}},
		})}}
}

// bucket takes so many a second, and twice as many at once.
func bucket(perSecond uint32) *typev3.TokenBucket {
	return &typev3.TokenBucket{MaxTokens: 2 * perSecond, TokensPerFill: u32(perSecond), FillInterval: seconds(time.Second)}
}

// tokenBody takes in a whole request before the token endpoint hears of it, and refuses large ones
// with a 413.
func tokenBody() *hcmv3.HttpFilter {
	return &hcmv3.HttpFilter{Name: filterBuffer, ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: packed(&bufferv3.Buffer{
		MaxRequestBytes: u32(maxTokenRequest),
	})}}
}
