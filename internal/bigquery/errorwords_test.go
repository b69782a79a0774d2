package bigquery

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// What an agent is told of a query over its limit: whose limit it is, how much, and what would
// pass. Nothing of BigQuery's own text, which says how much the query reads to the MiB, is told,
// also of a query that touches sensitive columns.
func TestAQueryOverItsLimitIsToldWhich(t *testing.T) {
	const upstream = "Query exceeded limit for bytes billed: 20971520. 34603008 or higher required."
	for name, c := range map[string]struct {
		limit BytesCap
		says  []string
	}{
		"the request's": {BytesCap{20 << 20, CapRequest},
			[]string{"more than 20 MiB, the maximumBytesBilled of the request", "a higher maximumBytesBilled"}},
		"below a step": {BytesCap{1, CapRequest}, []string{"more than 1 B, the maximumBytesBilled of the request"}},
		"the policy's": {BytesCap{200 << 30, CapPolicy},
			[]string{"more than 200 GiB, the max_bytes of the policy", "What would pass: a query that reads less"}},
		"the estimate's": {BytesCap{1153 << 20, CapEstimate},
			[]string{"more than 1.1 GiB, which is the estimate", "the same query again"}},
		"the reviewers'": {BytesCap{5 << 40, CapApproval},
			[]string{"more than 5 TiB, which is what was approved", "asks for approval"}},
		"of an older record": {BytesCap{}, []string{"more than its maximumBytesBilled allows"}},
		"of nobody":          {BytesCap{10 << 20, "nobody"}, []string{"more than 10 MiB."}},
	} {
		for _, sensitive := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/%t", name, sensitive), func(t *testing.T) {
				_, failed := FilterError(400, []byte(`{"error":{"message":"`+upstream+`",`+
					`"errors":[{"reason":"bytesBilledLimitExceeded"}]}}`), ErrorView{Sensitive: sensitive, Cap: c.limit})
				job := `{"jobReference":{"projectId":"demo","jobId":"j1"},"configuration":{"query":{"query":"SELECT ` +
					`1"}},"status":{"state":"DONE","errorResult":{"reason":"bytesBilledLimitExceeded","message":"` + upstream + `"}}}`
				shown, err := filterJob([]byte(job), JobView{SQL: "SELECT 1", Sensitive: sensitive, Cap: c.limit})
				if err != nil {
					t.Fatal(err)
				}
				for what, text := range map[string]string{"error": string(failed), "job": string(shown)} {
					t.Run(what, func(t *testing.T) {
						for _, want := range append(c.says, `"bytesBilledLimitExceeded"`) {
							if !strings.Contains(text, want) {
								t.Errorf("%s: %s, want %q", what, text, want)
							}
						}
						if strings.Contains(text, "34603008") || strings.Contains(text, "20971520") || strings.Contains(text, "33 MiB") {
							t.Errorf("%s tells BigQuery's figures: %s", what, text)
						}
					})
				}
			})
		}
	}
}

// A query that touches sensitive columns fails for a reason that is no value's: its agent reads
// what the reason is, in words that are the same whatever BigQuery said. What a value may have
// caused has one text.
func TestReasonsHaveFixedWords(t *testing.T) {
	for reason, want := range map[string]string{
		"accessDenied": "the gateway's account", "authError": "the gateway's credential", "backendError": "Try again",
		"badGateway": "Try again", "billingNotEnabled": "no billing account",
		"billingTierLimitExceeded": "billing tier", "blocked": "blocked", "duplicate": "under a new job id", "internalError": "Try again",
		"jobBackendError": "Try again", "jobInternalError": "Try again",
		"jobRateLimitExceeded": "too many jobs", "notFound": "did not find", "notImplemented": "does not support",
		"policyViolation": "policy of the organization",
		"quotaExceeded":   "a quota of BigQuery's is used up", "rateLimitExceeded": "too many requests", "resourceInUse": "in use",
		"resourcesExceeded": "more memory or computing",
		"responseTooLarge":  "larger than BigQuery returns", "stopped": "cancelled, or ran longer than its jobTimeoutMs",
		"tableUnavailable": "cannot be read at the moment", "timeout": "longer than it may",
		"attributeError": SensitiveErrorText, "badRequest": SensitiveErrorText, "invalid": SensitiveErrorText,
		"invalidParameter": SensitiveErrorText, "invalidQuery": SensitiveErrorText,
		"invalidUser": SensitiveErrorText, "required": SensitiveErrorText, "resourceNotFound": SensitiveErrorText,
		canary: SensitiveErrorText, "": SensitiveErrorText,
	} {
		t.Run(reason, func(t *testing.T) {
			var texts []string
			for _, message := range []string{canary, "Bad int64 value: 911-00-1001", "Resources exceeded during query execution: " + canary,
				""} {
				t.Run(message, func(t *testing.T) {
					body := fmt.Sprintf(`{"error":{"message":%q,"errors":[{"reason":%q}]}}`, message, reason)
					_, out := FilterError(http.StatusBadRequest, []byte(body), ErrorView{Sensitive: true})
					var e errorBody
					if err := json.Unmarshal(out, &e); err != nil {
						t.Fatal(err)
					}
					texts = append(texts, e.Error.Message)
					if !strings.Contains(e.Error.Message, want) || !strings.HasPrefix(e.Error.Message, "bqgate: ") ||
						e.Error.Message != texts[0] || strings.Contains(string(out), canary) {
						t.Errorf("%s of %q: %s", reason, message, out)
					}
				})
			}
			if got := shownWords(reason, canary, ErrorView{}); got != canary {
				t.Errorf("BigQuery's own words are lost where they hold nothing: %s", got)
			}
		})
	}
	for _, reason := range reasons {
		if _, ok := reasonWords[reason]; !ok && shownWords(reason, canary, ErrorView{Sensitive: true}) == canary {
			t.Errorf("%s shows what BigQuery says", reason)
		}
	}
}
