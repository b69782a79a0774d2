package bigquery

import (
	"mime"
	"slices"
	"strconv"
	"strings"
)

// ForwardHeaders are the client's headers that may go upstream, in lower case. Everything else
// stays behind: credentials, project and quota headers, encodings (the answer must be readable),
// and names that Google honours and nobody here knows (A16).
var ForwardHeaders = []string{"content-length", "content-type"}

// ResponseHeaders are the headers of an upstream answer that may go to the client, in lower case.
// Envoy adds its own date.
var ResponseHeaders = []string{"cache-control", "content-type"}

// overrides name headers by which a front end may take a request for one of another verb.
var overrides = []string{"x-http-method-override", "x-http-method", "x-method-override"}

// normal is the headers under the names that a front end could take them for.
func (r Request) normal() map[string][]string {
	header := map[string][]string{}
	for name, values := range r.Header {
		name = strings.ReplaceAll(strings.ToLower(name), "_", "-")
		header[name] = append(header[name], values...)
	}
	return header
}

// checkHeaders refuses what would make BigQuery read the request otherwise than Decode does. body
// is the request's, unpacked.
func checkHeaders(route Route, r Request) (body []byte, err error) {
	m, header := route.Method, r.normal()
	for _, name := range overrides {
		if _, has := header[name]; has {
			return nil, refuse(m, "header %s is not served: send the request with its own verb", name)
		}
	}
	if len(r.Body) > MaxBody {
		return nil, malformed(m, "the body is larger than %d bytes", MaxBody)
	}
	if lengths, has := header["content-length"]; has && !slices.Equal(lengths, []string{strconv.Itoa(len(r.Body))}) {
		return nil, malformed(m, "Content-Length is not the length of the body")
	}
	if body, err = unpack(m, header["content-encoding"], r.Body); err != nil {
		return nil, err
	}
	if len(body) == 0 {
		return nil, nil
	}
	if route.Verb == "GET" {
		return nil, malformed(m, "a GET takes no body")
	}
	if types := header["content-type"]; len(types) != 1 || !jsonType(types[0]) {
		return nil, &RequestError{Status: 415, Reason: "invalid", Method: m,
			Message: "the body must be JSON: send it with Content-Type: application/json"}
	}
	return body, nil
}

// jsonType takes application/json, with no parameter but the only charset that JSON has.
func jsonType(value string) bool {
	t, params, err := mime.ParseMediaType(value)
	if err != nil || t != "application/json" {
		return false
	}
	for name, v := range params {
		if name != "charset" || !strings.EqualFold(v, "utf-8") {
			return false
		}
	}
	return true
}
