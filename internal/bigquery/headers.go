package bigquery

import (
	"mime"
	"slices"
	"strconv"
	"strings"
)

// ForwardHeaders are the client's headers that may go upstream, in lower case. Everything else stays behind: credentials, project and quota headers,
// encodings (the answer must be readable), and names that Google honours and nobody here knows (A16).
var ForwardHeaders = []string{"content-length", "content-type"}

// ResponseHeaders are the headers of an upstream answer that may go to the client, in lower case. Envoy adds its own date.
var ResponseHeaders = []string{"cache-control", "content-type"}

// overrides name headers by which a front end may take a request for one of another verb.
var overrides = []string{"x-http-method-override", "x-http-method", "x-method-override"}

// checkHeaders refuses what would make BigQuery read the request otherwise than Decode does.
func checkHeaders(route Route, r Request) error {
	m := route.Method
	header := map[string][]string{}
	for name, values := range r.Header {
		name = strings.ReplaceAll(strings.ToLower(name), "_", "-")
		header[name] = append(header[name], values...)
	}
	for _, name := range overrides {
		if _, has := header[name]; has {
			return refuse(m, "header %s is not served: send the request with its own verb", name)
		}
	}
	for _, v := range header["content-encoding"] {
		if !strings.EqualFold(strings.TrimSpace(v), "identity") {
			return &RequestError{Status: 415, Reason: "invalid", Method: m, Message: "the body must not be compressed: send it without Content-Encoding"}
		}
	}
	if len(r.Body) > MaxBody {
		return malformed(m, "the body is larger than %d bytes", MaxBody)
	}
	if lengths, has := header["content-length"]; has && !slices.Equal(lengths, []string{strconv.Itoa(len(r.Body))}) {
		return malformed(m, "Content-Length is not the length of the body")
	}
	if len(r.Body) == 0 {
		return nil
	}
	if route.Verb == "GET" {
		return malformed(m, "a GET takes no body")
	}
	if types := header["content-type"]; len(types) != 1 || !jsonType(types[0]) {
		return &RequestError{Status: 415, Reason: "invalid", Method: m, Message: "the body must be JSON: send it with Content-Type: application/json"}
	}
	return nil
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
