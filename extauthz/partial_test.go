package extauthz

import (
	"strings"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
)

// Of a body that is larger than the limit Envoy may show as much as the limit: it is refused as too
// large, also where what is shown could be read, and whatever the client says beside Envoy.
func TestABodyBeyondTheLimit(t *testing.T) {
	for name, c := range map[string]struct {
		body   string
		says   []string // of the header
		status int32
	}{
		"whole":                            {plainQuery, []string{"false"}, 0},
		"without a word of Envoy's":        {plainQuery, nil, 0},
		"cut":                              {plainQuery[:len(plainQuery)-5], []string{"true"}, 413},
		"cut where nothing is lost":        {plainQuery, []string{"true"}, 413},
		"cut, and the client denies it":    {plainQuery, []string{"false", "true"}, 413},
		"the client says so, and Envoy no": {plainQuery, []string{"true", "false"}, 413},
	} {
		t.Run(name, func(t *testing.T) {
			w := newBoundWorld(t)
			h := &authv3.AttributeContext_HttpRequest{
				Method:  "POST",
				Path:    queriesPath,
				RawBody: []byte(c.body),
				HeaderMap: &corev3.HeaderMap{
					Headers: []*corev3.HeaderValue{{Key: "content-type", RawValue: []byte("application/json")}},
				},
			}
			for _, v := range c.says {
				h.HeaderMap.Headers = append(
					h.HeaderMap.Headers,
					&corev3.HeaderValue{Key: "x-envoy-auth-partial-body", RawValue: []byte(v)},
				)
			}
			out, err := w.s.Check(t.Context(), &authv3.CheckRequest{Attributes: &authv3.AttributeContext{
				Request: &authv3.AttributeContext_Request{Http: h},
			}})
			if err != nil {
				t.Fatal(err)
			}
			denied := out.GetDeniedResponse()
			got := int32(denied.GetStatus().GetCode())
			if large := strings.Contains(denied.GetBody(), "larger than this gateway takes"); large != (c.status == 413) ||
				large && got != 413 {
				t.Errorf("%d %s", got, denied.GetBody())
			}
		})
	}
}
