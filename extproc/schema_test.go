package extproc

import (
	"strings"
	"testing"
)

// An answer with other columns than the plan has is a refusal that no client repeats: each try
// would be a new job with the same answer. It says what to do, and tells nothing of the answer.
func TestAnAnswerWithOtherColumnsIsARefusal(t *testing.T) {
	const row, field = `{"v":"` + secret + `"}`, `{"name":"ssn","type":"STRING"}`
	answer := func(fields, cells string) string {
		return `{"jobReference":{"projectId":"demo","jobId":"j1","location":"US"},"schema":{"fields":[` + fields +
			`]},"jobComplete":true,"totalRows":"1","rows":[{"f":[` + cells + `]}]}`
	}
	for name, body := range map[string]string{
		"one more":      answer(field+`,{"name":"policy_tags","type":"STRING","mode":"REPEATED"}`, row+`,{"v":[]}`),
		"none":          answer("", ""),
		"another name":  answer(`{"name":"sn","type":"STRING"}`, row),
		"another type":  answer(`{"name":"ssn","type":"BYTES"}`, row),
		"repeated":      answer(`{"name":"ssn","type":"STRING","mode":"REPEATED"}`, `{"v":[`+row+`]}`),
		"a record":      answer(`{"name":"ssn","type":"RECORD","fields":[`+field+`]}`, `{"v":{"f":[`+row+`]}}`),
		"a new type":    answer(`{"name":"ssn","type":"VECTOR"}`, row),
		"with a secret": answer(`{"name":"`+secret+`","type":"STRING"}`, row),
	} {
		t.Run(name, func(t *testing.T) {
			s := newService(t, &journal{})
			sent, err := run(t, s, false, request(t, s, nil), responseHeadersOf("via_upstream", "200"), responseBodyOf(body, true))
			if err == nil || leaked(sent) || len(sent) == 0 {
				t.Fatalf("%v; a raw value passed: %t", err, leaked(sent))
			}
			last := sent[len(sent)-1].GetImmediateResponse()
			if last.GetStatus().GetCode() != 403 || !strings.Contains(string(last.GetBody()), "accessDenied") ||
				!strings.Contains(string(last.GetBody()), "named in place of *") {
				t.Errorf("the client gets %d %s", last.GetStatus().GetCode(), last.GetBody())
			}
		})
	}
}
