package refusal_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/bqgate/bqgate/internal/refusal"
)

const decision = "d-01M8APFVD9MPG197PA1PZD20TW"

// secret is in the cause of every refusal here, and in no form of any.
const secret = "CANARY-4711"

var errCause = errors.New("10.0.0.7:6379: " + secret)

// what each refusal is in each form.
var refusals = map[string]struct {
	r              refusal.Refusal
	status         int
	reason, text   string
	code, grpcText string
}{
	"by a rule": {
		refusal.Refusal{
			What:   "DROP_TABLE is not allowed",
			Rule:   refusal.Rule{Policy: "demo", Name: "agents-read", File: "demo.yaml", Line: 7},
			Remedy: "SELECT on crm.*",
			Err:    errCause,
		},
		403, "accessDenied",
		"bqgate: refused: DROP_TABLE is not allowed.\nRule demo/agents-read (demo.yaml:7).\nWhat would pass: SELECT on crm.*.\nDecision " +
			decision + ".",
		"7", "bqgate: refused: DROP_TABLE is not allowed.%0ARule demo/agents-read (demo.yaml:7).%0AWhat would pass: SELECT on crm.*.%0A" +
			"Decision " + decision + ".",
	},
	"without a rule or a remedy": {
		refusal.Refusal{What: "no policy lets you read anything.", Err: errCause}, 403, "accessDenied",
		"bqgate: refused: no policy lets you read anything.\nDecision " + decision + ".",
		"7", "bqgate: refused: no policy lets you read anything.%0ADecision " + decision + ".",
	},
	"what BigQuery would say": {
		refusal.Refusal{Status: 400, Reason: "invalidQuery", Bare: true, What: "Syntax error: Unexpected “;” at 100%", Err: errCause},
		400, "invalidQuery", "bqgate: Syntax error: Unexpected “;” at 100%.\nDecision " + decision + ".",
		"3", "bqgate: Syntax error: Unexpected %E2%80%9C;%E2%80%9D at 100%25.%0ADecision " + decision + ".",
	},
	"no credential": {
		refusal.Refusal{Status: 401, Reason: "required", What: "no credential was sent", Err: errCause}, 401, "required",
		"bqgate: refused: no credential was sent.\nDecision " + decision + ".",
		"16", "bqgate: refused: no credential was sent.%0ADecision " + decision + ".",
	},
	"beyond a rate": {
		refusal.Refusal{Reason: "rateLimitExceeded", What: "too many", Err: errCause}, 403, "rateLimitExceeded",
		"bqgate: refused: Exceeded rate limits: too many.\nDecision " + decision + ".", "8",
		"bqgate: refused: Exceeded rate limits: too many.%0ADecision " + decision + ".",
	},
	"beyond a quota": {
		refusal.Refusal{Reason: "quotaExceeded", What: "too much", Err: errCause}, 403, "quotaExceeded",
		"bqgate: refused: too much.\nDecision " + decision + ".", "8", "bqgate: refused: too much.%0ADecision " + decision + ".",
	},
	"not there": {
		refusal.Refusal{Status: 404, Reason: "notFound", What: "no job", Bare: true, Err: errCause}, 404, "notFound",
		"bqgate: no job.\nDecision " + decision + ".", "5", "bqgate: no job.%0ADecision " + decision + ".",
	},
	"there already": {
		refusal.Refusal{Status: 409, Reason: "duplicate", What: "taken", Err: errCause}, 409, "duplicate",
		"bqgate: refused: taken.\nDecision " + decision + ".", "6", "bqgate: refused: taken.%0ADecision " + decision + ".",
	},
	"in use": {
		refusal.Refusal{Status: 409, Reason: "resourceInUse", What: "under way", Err: errCause}, 409, "resourceInUse",
		"bqgate: refused: under way.\nDecision " + decision + ".", "10", "bqgate: refused: under way.%0ADecision " + decision + ".",
	},
	"not implemented": {
		refusal.Refusal{Status: 501, Reason: "notImplemented", What: "no", Err: errCause}, 501, "notImplemented",
		"bqgate: refused: no.\nDecision " + decision + ".", "12", "bqgate: refused: no.%0ADecision " + decision + ".",
	},
	"a fault": {
		*refusal.Undecided(errCause), 503, "backendError",
		"bqgate: the gateway could not decide about the request or could not record its decision; nothing was sent to BigQuery. " +
			"Try again; if it stays, give this id to the operator: decision " + decision + ".",
		"14", "bqgate: the gateway could not decide about the request or could not record its decision; nothing was sent to BigQuery. " +
			"Try again; if it stays, give this id to the operator: decision " + decision + ".",
	},
	"the zero refusal": {refusal.Refusal{Err: errCause}, 403, "accessDenied", "bqgate: refused: .\nDecision " + decision + ".", "7",
		"bqgate: refused: .%0ADecision " + decision + "."},
}

func TestForms(t *testing.T) {
	for name, c := range refusals {
		t.Run(name+"/BigQuery", func(t *testing.T) {
			status, body := c.r.BigQuery(decision)
			var got struct {
				Error struct {
					Code    int
					Message string
					Errors  []struct{ Reason, Message string }
				}
			}
			if err := json.Unmarshal(body, &got); err != nil || len(got.Error.Errors) != 1 {
				t.Fatalf("%v: %s", err, body)
			}
			if status != c.status || got.Error.Code != c.status || got.Error.Message != c.text || got.Error.Errors[0].Reason != c.reason {
				t.Errorf("%d %+v\nwant %d %s %q", status, got, c.status, c.reason, c.text)
			}
			hides(t, string(body))
		})
		t.Run(name+"/gRPC", func(t *testing.T) {
			code, text := c.r.GRPC(decision)
			if code != c.code || text != c.grpcText {
				t.Errorf("%s %q\nwant %s %q", code, text, c.code, c.grpcText)
			}
			hides(t, text)
		})
		t.Run(name+"/approval endpoint", func(t *testing.T) {
			w := httptest.NewRecorder()
			c.r.Endpoint(w)
			var got map[string]struct {
				Code            int
				Message, Reason string
			}
			if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || len(got) != 1 {
				t.Fatalf("%v: %s", err, w.Body)
			}
			if e := got["error"]; w.Code != c.status || e.Code != c.status || e.Reason != c.reason || e.Message != c.r.What {
				t.Errorf("%d %+v", w.Code, e)
			}
			hides(t, w.Body.String())
		})
		t.Run(name+"/token endpoint", func(t *testing.T) {
			w := httptest.NewRecorder()
			if err := c.r.OAuth(w); err != nil {
				t.Fatal(err)
			}
			var got map[string]string
			if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || len(got) != 2 || w.Code != c.status || got["error"] != c.reason {
				t.Errorf("%d %v %v", w.Code, got, err)
			}
			if strings.ContainsFunc(got["error_description"], func(r rune) bool { return r < 0x20 || r > 0x7e || r == '"' || r == '\\' }) {
				t.Errorf("characters that RFC 6749 section 5.2 does not allow: %q", got["error_description"])
			}
			hides(t, w.Body.String())
		})
	}
}

func hides(t *testing.T, text string) {
	t.Helper()
	if strings.Contains(text, secret) || strings.Contains(text, "10.0.0.7") {
		t.Errorf("the cause is in the answer: %s", text)
	}
}

// The cause is for operators.
func TestTheErrorIsItsCause(t *testing.T) {
	r := refusal.Undecided(errCause)
	if !errors.Is(r, errCause) || r.Error() != errCause.Error() {
		t.Errorf("%v", r)
	}
	if bare := (&refusal.Refusal{What: "no"}); bare.Error() != "no" {
		t.Errorf("%v", bare)
	}
}

func TestHeaders(t *testing.T) {
	for name, c := range map[string]struct {
		r             refusal.Refusal
		header, value string
	}{
		"a challenge": {refusal.Refusal{Status: 401, Challenge: refusal.Bearer("invalid_token")}, "WWW-Authenticate",
			`Bearer realm="bqgate", error="invalid_token"`},
		"another method":        {refusal.Refusal{Status: 405, Allow: "POST"}, "Allow", "POST"},
		"a fault":               {refusal.Refusal{Status: 503}, "Retry-After", "2"},
		"a fault that lasts":    {refusal.Refusal{Status: 503, Lasting: true}, "Retry-After", ""},
		"too many":              {refusal.Refusal{Status: 429}, "Retry-After", "2"},
		"too many for a while":  {refusal.Refusal{Status: 429, Wait: 6100 * time.Millisecond}, "Retry-After", "7"},
		"too many for a moment": {refusal.Refusal{Status: 429, Wait: time.Millisecond}, "Retry-After", "1"},
		"a refusal, not again":  {refusal.Refusal{}, "Retry-After", ""},
		"a refusal of any kind": {refusal.Refusal{}, "WWW-Authenticate", ""},
	} {
		t.Run(name, func(t *testing.T) {
			for door, write := range map[string]func(http.ResponseWriter){
				"approval endpoint": c.r.Endpoint, "token endpoint": func(w http.ResponseWriter) { _ = c.r.OAuth(w) },
			} {
				w := httptest.NewRecorder()
				write(w)
				if got := w.Header().Get(c.header); got != c.value {
					t.Errorf("%s: %s %q, want %q", door, c.header, got, c.value)
				}
			}
		})
	}
}

// What passes soon is repeated by Google's clients, what a day's budget refuses by none. Their
// rules as their sources have them: python-bigquery retry.py, cloud.google.com/go/bigquery
// retryableError and nodejs-common shouldRetryRequest look at status and reason, java-bigquery
// BigQueryRetryAlgorithm at the message.
func TestWhatClientsRepeat(t *testing.T) {
	java := regexp.MustCompile(`^.*exceed.*rate.*limit.*$`)
	for name, c := range map[string]struct {
		r      refusal.Refusal
		repeat bool
	}{
		"beyond a rate": {refusal.Refusal{Reason: "rateLimitExceeded", What: "too many queries at once: 200 are served"}, true},
		"and a rule": {refusal.Refusal{Reason: "rateLimitExceeded", What: "too many", Rule: refusal.Rule{Policy: "p", Name: "r"},
			Remedy: "later"}, true},
		"beyond a budget": {refusal.Refusal{Reason: "quotaExceeded",
			What: "what the query would bill does not fit: nothing is left of the " +
				"budget of 1 GiB a day", Remedy: "the same query later"}, false},
		"too much in the journal": {refusal.Refusal{Reason: "quotaExceeded", What: "too many bytes in the audit journal"}, false},
		"refused":                 {refusal.Refusal{What: "no"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			status, body := c.r.BigQuery("d-1")
			var answer struct {
				Error struct {
					Message string
					Errors  []struct{ Reason string }
				}
			}
			if err := json.Unmarshal(body, &answer); err != nil {
				t.Fatal(err)
			}
			words := strings.ToLower(answer.Error.Message)
			for client, repeats := range map[string]bool{
				"Python, Go and Node": status == 429 || status >= 500 || answer.Error.Errors[0].Reason == "rateLimitExceeded",
				"Java":                status >= 500 || strings.Contains(words, "exceeded rate limits:") || java.MatchString(words),
			} {
				if repeats != c.repeat {
					t.Errorf("%s: repeated %t: %d %s", client, repeats, status, body)
				}
			}
		})
	}
}
