package extproc

import (
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	procv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"

	"github.com/bqgate/bqgate/internal/verdict"
)

// chunkLimit is the largest body chunk of one reply: Envoy takes 64 KiB in FULL_DUPLEX_STREAMED
// mode.
const chunkLimit = 62_000

// header returns the value of a header, by lower-case name. Envoy sends ext_proc raw_value.
func header(h *procv3.HttpHeaders, name string) string {
	for _, v := range h.GetHeaders().GetHeaders() {
		if v.GetKey() == name {
			if len(v.GetRawValue()) > 0 {
				return string(v.GetRawValue())
			}
			return v.GetValue()
		}
	}
	return ""
}

// headersBut lists the names of all headers that keep does not name; pseudo-headers are never
// listed.
func headersBut(h *procv3.HttpHeaders, keep []string) []string {
	kept := make(map[string]bool, len(keep))
	for _, k := range keep {
		kept[k] = true
	}
	var drop []string
	for _, v := range h.GetHeaders().GetHeaders() {
		name := v.GetKey()
		if strings.HasPrefix(name, ":") || kept[name] {
			continue
		}
		drop = append(drop, name)
	}
	return drop
}

// attribute reads one of the attributes that Envoy was configured to send.
func attribute(r *procv3.ProcessingRequest, name string) string {
	for _, group := range r.GetAttributes() {
		if v, ok := group.GetFields()[name]; ok {
			return v.GetStringValue()
		}
	}
	return ""
}

// sealedVerdict is the text that ext_authz left in the dynamic metadata, "" where it left none.
func sealedVerdict(r *procv3.ProcessingRequest) string {
	fields := r.GetMetadataContext().GetFilterMetadata()[verdict.Namespace].GetFields()
	return fields[verdict.Key].GetStringValue()
}

// requestHeaders writes the path anew, with the query that was decided on and no byte of the
// client's. ext_authz cannot: of a query parameter that it sets, Envoy takes letters, digits and
// `*-._` only, escaped or not, and a page token of BigQuery ends in `=`.
func requestHeaders(f *verdict.Forward) *procv3.ProcessingResponse {
	path := f.Path
	if f.Query != "" {
		path += "?" + f.Query
	}
	return &procv3.ProcessingResponse{Response: &procv3.ProcessingResponse_RequestHeaders{
		RequestHeaders: &procv3.HeadersResponse{Response: &procv3.CommonResponse{
			HeaderMutation: &procv3.HeaderMutation{SetHeaders: []*corev3.HeaderValueOption{{
				Header:       &corev3.HeaderValue{Key: ":path", RawValue: []byte(path)},
				AppendAction: corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD,
			}}},
		}},
	}}
}

// replaceRequestBody answers a BUFFERED request body. The old content-length must go in the same
// reply, or Envoy rejects the new body.
func replaceRequestBody(body []byte) *procv3.ProcessingResponse {
	return &procv3.ProcessingResponse{Response: &procv3.ProcessingResponse_RequestBody{
		RequestBody: &procv3.BodyResponse{Response: &procv3.CommonResponse{
			HeaderMutation: &procv3.HeaderMutation{RemoveHeaders: []string{"content-length"}},
			BodyMutation:   &procv3.BodyMutation{Mutation: &procv3.BodyMutation_Body{Body: body}},
		}},
	}}
}

func responseHeaders(remove []string) *procv3.ProcessingResponse {
	return &procv3.ProcessingResponse{Response: &procv3.ProcessingResponse_ResponseHeaders{
		ResponseHeaders: &procv3.HeadersResponse{Response: &procv3.CommonResponse{
			HeaderMutation: &procv3.HeaderMutation{RemoveHeaders: remove},
		}},
	}}
}

// responseBody cuts a piece of the response into replies that Envoy accepts.
func responseBody(body []byte, end bool) []*procv3.ProcessingResponse {
	var out []*procv3.ProcessingResponse
	for {
		n := min(len(body), chunkLimit)
		last := n == len(body)
		if n > 0 || end {
			out = append(out, &procv3.ProcessingResponse{Response: &procv3.ProcessingResponse_ResponseBody{
				ResponseBody: &procv3.BodyResponse{Response: &procv3.CommonResponse{
					BodyMutation: &procv3.BodyMutation{Mutation: &procv3.BodyMutation_StreamedResponse{
						StreamedResponse: &procv3.StreamedBodyResponse{Body: body[:n:n], EndOfStream: end && last},
					}},
				}},
			}})
		}
		if last {
			return out
		}
		body = body[n:]
	}
}

func responseTrailers(remove []string) *procv3.ProcessingResponse {
	return &procv3.ProcessingResponse{Response: &procv3.ProcessingResponse_ResponseTrailers{
		ResponseTrailers: &procv3.TrailersResponse{HeaderMutation: &procv3.HeaderMutation{RemoveHeaders: remove}},
	}}
}

// immediate replaces the whole response. Envoy accepts it only before the first byte of a response
// went out.
func immediate(code int, body []byte) *procv3.ProcessingResponse {
	return &procv3.ProcessingResponse{Response: &procv3.ProcessingResponse_ImmediateResponse{
		ImmediateResponse: &procv3.ImmediateResponse{
			Status: &typev3.HttpStatus{Code: typev3.StatusCode(code)}, //nolint:gosec // G115: a status of HTTP
			Headers: &procv3.HeaderMutation{SetHeaders: []*corev3.HeaderValueOption{{
				Header:       &corev3.HeaderValue{Key: "content-type", RawValue: []byte("application/json; charset=UTF-8")},
				AppendAction: corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD,
			}}},
			Body:    body,
			Details: "bqgate",
		},
	}}
}
