package extproc

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	procv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"

	"github.com/bqgate/bqgate/internal/verdict"
)

// The page that Google's front ends answer with, as it was recorded in public bug reports of 2018
// to 2024.
const frontEndPage = "<!DOCTYPE html>\n<html lang=en>\n  <title>Error 502 (Server Error)!!1</title>\n" +
	"  <p>The server encountered a temporary error and could not complete your request. " + secret + "\n"

// Every error of the upstream reaches the client with its status, as error JSON with a reason that
// clients understand, and without a byte of what is no error of BigQuery's.
func TestUpstreamErrorsKeepTheirStatus(t *testing.T) {
	const bigqueryError = `{"error":{"code":%d,"message":"words of BigQuery","errors":[{"message":"words of ` +
		`BigQuery","domain":"global","reason":"%s"}]}}`
	reasons := map[int]string{
		400: "invalid", 401: "authError", 403: "accessDenied", 404: "notFound", 409: "duplicate", 412: "invalid", 413: "invalid",
		429: "rateLimitExceeded",
		500: "backendError", 501: "notImplemented", 502: "backendError", 503: "backendError", 504: "backendError",
	}
	for status, reason := range reasons {
		for name, c := range map[string]struct {
			typ, coding string
			pieces      []string // none: the answer ends with its headers
			trailers    bool
			shown       bool
		}{
			"HTML":                {typ: "text/html; charset=UTF-8", pieces: []string{frontEndPage}},
			"HTML in two pieces":  {typ: "text/html; charset=UTF-8", pieces: []string{frontEndPage[:40], frontEndPage[40:]}},
			"HTML without a body": {typ: "text/html; charset=UTF-8"},
			"HTML, gzip":          {typ: "text/html", coding: "gzip", pieces: []string{"\x1f\x8b" + secret}},
			"text":                {typ: "text/plain", pieces: []string{secret}},
			"no type":             {pieces: []string{secret}},
			"empty JSON":          {typ: "application/json; charset=UTF-8"},
			"an empty piece":      {typ: "application/json; charset=UTF-8", pieces: []string{""}},
			"half of its JSON":    {typ: "application/json", pieces: []string{`{"error":{"message":"` + secret}},
			"a list":              {typ: "application/json", pieces: []string{`["` + secret + `"]`}},
			"a megabyte": {typ: "application/json",
				pieces: []string{`{"error":{"message":"`, strings.Repeat(secret, 100_000), `"}}`}},
			"BigQuery's": {typ: "application/json", pieces: []string{fmt.Sprintf(bigqueryError, status, reason)},
				shown: status != 401},
			"BigQuery's, trailers": {typ: "application/json", pieces: []string{fmt.Sprintf(bigqueryError, status, reason)}, trailers: true,
				shown: status != 401},
			"BigQuery's, no reason": {typ: "application/json", pieces: []string{`{"error":{"message":"words of BigQuery"}}`},
				shown: status != 401},
		} {
			t.Run(fmt.Sprintf("%d/%s", status, name), func(t *testing.T) {
				j := &journal{}
				s := newService(t, j)
				head := &procv3.HttpHeaders{Headers: headers(":status", fmt.Sprint(status), "x-secret", secret),
					EndOfStream: len(c.pieces) == 0}
				for key, value := range map[string]string{"content-type": c.typ, "content-encoding": c.coding} {
					if value != "" {
						head.Headers.Headers = append(head.Headers.Headers, &corev3.HeaderValue{Key: key, RawValue: []byte(value)})
					}
				}
				first := responseHeadersOf("via_upstream", fmt.Sprint(status))
				first.GetResponseHeaders().Headers, first.GetResponseHeaders().EndOfStream = head.Headers, head.EndOfStream
				messages := []*procv3.ProcessingRequest{request(t, s, func(f *verdict.Forward) { f.Plan.Sensitive = false }), first}
				for i, p := range c.pieces {
					messages = append(messages, responseBodyOf(p, i == len(c.pieces)-1 && !c.trailers))
				}
				if c.trailers {
					messages = append(messages, &procv3.ProcessingRequest{Request: &procv3.ProcessingRequest_ResponseTrailers{
						ResponseTrailers: &procv3.HttpTrailers{Trailers: headers("grpc-message", secret)},
					}})
				}
				sent, err := run(t, s, true, messages...)
				if err != nil || leaked(sent) || len(sent) == 0 {
					t.Fatalf("%v, leaked %v: %v", err, leaked(sent), sent)
				}
				last := sent[len(sent)-1].GetImmediateResponse()
				if last == nil || len(sent) != 2 { // the answer to the request's headers, and this
					t.Fatalf("the client gets %v, want a response of the gateway's own", sent)
				}
				var body struct {
					Error struct {
						Code    int
						Message string
						Errors  []struct{ Reason string }
					}
				}
				if err := json.Unmarshal(last.Body, &body); err != nil {
					t.Fatalf("%v: %q", err, last.Body)
				}
				if int(last.Status.Code) != status || body.Error.Code != status || len(body.Error.Errors) != 1 ||
					body.Error.Errors[0].Reason != reason {
					t.Errorf("status %d, %s; want %d %s", last.Status.Code, last.Body, status, reason)
				}
				if shown := body.Error.Message == "words of BigQuery"; shown != c.shown || body.Error.Message == "" {
					t.Errorf("message %q", body.Error.Message)
				}
			})
		}
	}
}
