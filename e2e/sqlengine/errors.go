package main

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

var (
	sqliteNoise = regexp.MustCompile(`^failed to (?:exec|query|prepare) (?s:.*): `)
	codeNoise   = regexp.MustCompile(`sqlite3: (?:SQL logic error: )?`)
	divided     = regexp.MustCompile(`zero divided error \( (\S+) / 0 \)`)
	parsed      = regexp.MustCompile(`strconv\.(ParseInt|ParseFloat|ParseBool|ParseUint): parsing "((?s:.*))": (?:invalid syntax|value ` +
		`out of range)`)
)

// googleTypes are the words BigQuery uses in "Bad int64 value: …".
var googleTypes = map[string]string{"ParseInt": "int64", "ParseUint": "uint64", "ParseFloat": "double", "ParseBool": "bool"}

// runFailure turns a driver error into BigQuery's: its words where they are known, else the
// driver's without the wrapping. The values that Google's errors carry stay in them: that is what
// the gateway has to hide.
func runFailure(err error) *failure {
	msg := codeNoise.ReplaceAllString(sqliteNoise.ReplaceAllString(err.Error(), ""), "")
	msg, _, _ = strings.Cut(msg, "\ngoroutine ")
	msg = googleWords(strings.TrimPrefix(msg, "failed to analyze: "))
	if m := parsed.FindStringSubmatch(msg); m != nil {
		msg = "Bad " + googleTypes[m[1]] + " value: " + m[2]
	}
	if m := divided.FindStringSubmatch(msg); m != nil {
		msg = "division by zero: " + strings.TrimSuffix(m[1], ".000000") + " / 0"
	}
	return &failure{Reason: "invalidQuery", Message: strings.TrimSpace(msg), RunTime: true}
}

// asFailure is an error as an answer has it.
func asFailure(err error) *failure {
	var f *failure
	if errors.As(err, &f) {
		return f
	}
	return &failure{Reason: "internalError", Message: err.Error()}
}

// gaveUp is deferred around a run: where a function of the driver does not stand its argument,
// REPEAT('x', -1) or 1 << -1, the driver panics. The query was understood by then, so that for
// BigQuery it is a query that fails while it runs, invalidQuery and 400
// (https://cloud.google.com/bigquery/docs/error-messages), and not an error of the service.
func gaveUp(err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("a function was given an argument that it does not take: %v", r)
	}
}
