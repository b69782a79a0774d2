package envoy

import (
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
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

// tokenRate bounds what anonymous callers can make the token endpoint verify. It is one bucket for
// all: exchanging a token is rare, a session lasts for many queries.
func tokenRate(l Limits) *hcmv3.HttpFilter {
	always := &corev3.RuntimeFractionalPercent{DefaultValue: &typev3.FractionalPercent{Numerator: 100}}
	return &hcmv3.HttpFilter{Name: filterLocalRateLimit,
		ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: packed(&localratelimitv3.LocalRateLimit{
			StatPrefix: "token",
			TokenBucket: &typev3.TokenBucket{
				MaxTokens:     l.MaxTokenRate * 2,
				TokensPerFill: u32(l.MaxTokenRate),
				FillInterval:  seconds(time.Second),
			},
			FilterEnabled:  always,
			FilterEnforced: always,
		})}}
}

// tokenBody takes in a whole request before the token endpoint hears of it, and refuses large ones
// with a 413.
func tokenBody() *hcmv3.HttpFilter {
	return &hcmv3.HttpFilter{Name: filterBuffer, ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: packed(&bufferv3.Buffer{
		MaxRequestBytes: u32(maxTokenRequest),
	})}}
}
