package envoy

import (
	matcherv3 "github.com/cncf/xds/go/xds/type/matcher/v3"

	xdscorev3 "github.com/cncf/xds/go/xds/core/v3"
	mutationv3 "github.com/envoyproxy/go-control-plane/envoy/config/common/mutation_rules/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	matchingv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/common/matching/v3"
	actionv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/common/matcher/action/v3"
	inputsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/matching/common_inputs/network/v3"

	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
)

const (
	filterEarlyLook = "bqgate.early_look"

	// LookMetadata of a call of ext_authz says that it is the early look, by the value LookEarly.
	// It is gRPC metadata of Envoy's own call: no client can set it.
	LookMetadata = "bqgate-look"
	// LookEarly asks whether the credential is good, and for nothing else.
	LookEarly = "early"

	// formatFraming is how the body of a request is delimited: protocol, transfer-encoding,
	// content-length.
	formatFraming = "%PROTOCOL%;%REQUEST_HEADER(X-BQGATE-TRANSFER-ENCODING)%;%REQUEST_HEADER(CONTENT-LENGTH)%"
	stateFraming  = "bqgate.framing"
	// SmallBody is the length in bytes from which on a body is large.
	SmallBody = 16_000
	// headerTransferEncoding is transfer-encoding under another name: Envoy takes the header itself
	// away before its filters see the request. ext_authz takes away this one.
	headerTransferEncoding = "x-bqgate-transfer-encoding"
	// small is HTTP/1.1 with no body, or with one that is shorter than SmallBody: one connection
	// holds no more than one. One of HTTP/2 holds a hundred, and does not say whether a body comes.
	small = `HTTP/1\.1;-;(-|[0-9]{1,4}|1[0-5][0-9]{3})`
)

// earlyLook asks bqgate about the credential alone, before the body is buffered: who sends none, or
// one that is not good, gets the answer that the whole check would give, and makes nobody keep a
// megabyte for it (A38). It lets nothing pass that ext_authz does not decide about behind it.
//
// Requests with a small body do not pay for it.
func earlyLook(c Config) *hcmv3.HttpFilter {
	look := asking(c)
	look.StatPrefix = "bqgate_early"
	look.GetGrpcService().InitialMetadata = []*corev3.HeaderValue{{Key: LookMetadata, Value: LookEarly}}
	return &hcmv3.HttpFilter{Name: filterEarlyLook, ConfigType: &hcmv3.HttpFilter_TypedConfig{
		TypedConfig: packed(&matchingv3.ExtensionWithMatcher{
			ExtensionConfig: &corev3.TypedExtensionConfig{Name: filterEarlyLook, TypedConfig: packed(look)},
			XdsMatcher:      unlessSmall(),
		}),
	}}
}

// keepTransferEncoding is done before Envoy takes the header away, and after one of that name that
// the client sent was removed.
func keepTransferEncoding() *mutationv3.HeaderMutation {
	return &mutationv3.HeaderMutation{Action: &mutationv3.HeaderMutation_Append{Append: &corev3.HeaderValueOption{
		Header:       &corev3.HeaderValue{Key: headerTransferEncoding, Value: "%REQUEST_HEADER(TRANSFER-ENCODING)%"},
		AppendAction: corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD,
	}}}
}

// unlessSmall skips the filter for requests whose body is small. Where the framing is not known the
// filter runs.
func unlessSmall() *matcherv3.Matcher {
	return &matcherv3.Matcher{MatcherType: &matcherv3.Matcher_MatcherList_{MatcherList: &matcherv3.Matcher_MatcherList{
		Matchers: []*matcherv3.Matcher_MatcherList_FieldMatcher{{
			Predicate: &matcherv3.Matcher_MatcherList_Predicate{
				MatchType: &matcherv3.Matcher_MatcherList_Predicate_SinglePredicate_{
					SinglePredicate: &matcherv3.Matcher_MatcherList_Predicate_SinglePredicate{
						Input: &xdscorev3.TypedExtensionConfig{
							Name: "envoy.matching.inputs.filter_state", TypedConfig: packed(&inputsv3.FilterStateInput{Key: stateFraming}),
						},
						Matcher: &matcherv3.Matcher_MatcherList_Predicate_SinglePredicate_ValueMatch{ValueMatch: &matcherv3.StringMatcher{
							MatchPattern: &matcherv3.StringMatcher_SafeRegex{SafeRegex: &matcherv3.RegexMatcher{
								EngineType: &matcherv3.RegexMatcher_GoogleRe2{GoogleRe2: &matcherv3.RegexMatcher_GoogleRE2{}}, Regex: small,
							}},
						}},
					},
				},
			},
			OnMatch: &matcherv3.Matcher_OnMatch{OnMatch: &matcherv3.Matcher_OnMatch_Action{
				Action: &xdscorev3.TypedExtensionConfig{Name: "skip", TypedConfig: packed(&actionv3.SkipFilter{})},
			}},
		}},
	}}}
}
