package envoy

import (
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	setfilterstatecommonv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/common/set_filter_state/v3"
	setfilterstatev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/set_filter_state/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
)

const (
	filterSetFilterState = "envoy.filters.http.set_filter_state"

	// formatRequestID is the id of a request in the access log and in error messages. ext_authz
	// sees the same one as the header x-request-id.
	formatRequestID = "%FILTER_STATE(bqgate.request_id:PLAIN)%"
)

// requestState keeps two things of a request where no later filter can change them: the id that
// Envoy gave it, and how its body is delimited, which the early look goes by. The header
// x-request-id does not go to Google, and without it %STREAM_ID% would be gone from the access log.
func requestState() *hcmv3.HttpFilter {
	return &hcmv3.HttpFilter{Name: filterSetFilterState,
		ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: packed(&setfilterstatev3.Config{
			OnRequestHeaders: []*setfilterstatecommonv3.FilterStateValue{
				state("bqgate.request_id", "%REQUEST_HEADER(X-REQUEST-ID)%"), state(stateFraming, formatFraming),
			},
		})}}
}

func state(key, format string) *setfilterstatecommonv3.FilterStateValue {
	return &setfilterstatecommonv3.FilterStateValue{
		Key:        &setfilterstatecommonv3.FilterStateValue_ObjectKey{ObjectKey: key},
		FactoryKey: "envoy.string",
		Value: &setfilterstatecommonv3.FilterStateValue_FormatString{FormatString: &corev3.SubstitutionFormatString{
			Format: &corev3.SubstitutionFormatString_TextFormatSource{TextFormatSource: &corev3.DataSource{
				Specifier: &corev3.DataSource_InlineString{InlineString: format},
			}},
		}},
	}
}
