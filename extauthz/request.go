package extauthz

import (
	"net/netip"
	"slices"
	"strings"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"

	"github.com/bqgate/bqgate/internal/bigquery"
)

// request is a CheckRequest without Envoy in it.
type request struct {
	http          bigquery.Request
	authorization []string // every Authorization value, as it arrived
	names         []string // names of all headers but pseudo-headers, for removal
	scheme, host  string   // by which the client reached Envoy
	// client is the client's address as Envoy has it, with the hops that it trusts counted; invalid
	// where Envoy did not say.
	client netip.Addr
	// partial says that the body is cut: Envoy has more of it.
	partial bool
}

// partialBody is the header by which Envoy says whether it has shown all of the body. What it has
// buffered beyond the limit it refuses itself (413), but not what came in one piece with the end of
// the request: of that it shows as much as the limit, and would send all.
const partialBody = "x-envoy-auth-partial-body"

// externalAddress is the header in which Envoy says which address the client has, behind the
// proxies that trusted_hops counts. Envoy takes away what clients send under this name, and sets it
// for every request (envoy/http_connection_manager.go).
const externalAddress = "x-envoy-external-address"

// translate reads a CheckRequest that Envoy packed with encode_raw_headers and pack_as_bytes.
// Missing parts stay empty, and empty is refused further on.
func translate(in *authv3.CheckRequest) request {
	h := in.GetAttributes().GetRequest().GetHttp()
	r := request{scheme: h.GetScheme(), host: h.GetHost(),
		http: bigquery.Request{Verb: h.GetMethod(), Path: h.GetPath(), Body: h.GetRawBody(), Header: map[string][]string{}}}
	add := func(name, value string) {
		name = strings.ToLower(name)
		if strings.HasPrefix(name, ":") {
			return
		}
		if name == "authorization" {
			r.authorization = append(r.authorization, value)
		}
		if _, seen := r.http.Header[name]; !seen {
			r.names = append(r.names, name)
		}
		r.http.Header[name] = append(r.http.Header[name], value)
	}
	for _, v := range h.GetHeaderMap().GetHeaders() {
		value := v.GetValue()
		if len(v.GetRawValue()) > 0 {
			value = string(v.GetRawValue())
		}
		add(v.GetKey(), value)
	}
	for name, value := range h.GetHeaders() { // without encode_raw_headers; lint asks for it, but nothing here depends on it
		add(name, value)
	}
	from := in.GetAttributes().GetSource().GetAddress().GetSocketAddress().GetAddress() // who connected to Envoy
	if said := r.http.Header[externalAddress]; len(said) == 1 {
		from = said[0]
	}
	r.client, _ = netip.ParseAddr(from)
	r.partial = slices.ContainsFunc(r.http.Header[partialBody], func(v string) bool { return v != "false" })
	return r
}
