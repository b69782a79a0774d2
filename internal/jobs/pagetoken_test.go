package jobs_test

import (
	"strings"
	"testing"

	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/jobs"
	"github.com/bqgate/bqgate/internal/sealedtest"
)

// BigQuery's own tokens may be of any alphabet; what clients get can stand in a URL as it is, and
// is good for its own job and method alone.
func TestPageTokensOfAnyAlphabet(t *testing.T) {
	keys := sealedtest.Keyring(t, 7)
	r := record()
	for name, token := range map[string]string{
		"base32": "BEGXTEE3PMAQAAASA4EAAEEAQCAAKGQEBBSBAZBAWCXBK===", "base64": "a+b/c==", "one": "x", "space": "a b",
		"query":   "a&alt=proto#x?y;z",
		"escapes": "%2F%zz%00", "quotes": `a"b\c'<d>`, "other letters": "ß€😀", "control": "a\n\t\x00b", "dots": "../..",
		"4 KiB":          strings.Repeat("A", 4096),
		"4 KiB of signs": strings.Repeat("=/+~", 1024),
	} {
		t.Run(name, func(t *testing.T) {
			text, err := r.SealPageToken(keys, bigquery.MethodGetQueryResults, token)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Trim(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-") != "" ||
				len(text) > bigquery.MaxPageToken {
				t.Errorf("%q (%d bytes) has to be escaped", text, len(text))
			}
			if got, err := r.OpenPageToken(keys, bigquery.MethodGetQueryResults, text); err != nil || got != token {
				t.Errorf("%q, %v; want %q", got, err, token)
			}
			other := record(func(r *jobs.Record) { r.Job.JobID = "other" })
			if got, err := other.OpenPageToken(keys, bigquery.MethodGetQueryResults, text); err == nil {
				t.Errorf("it opens a page of another job: %q", got)
			}
			if got, err := r.OpenPageToken(keys, bigquery.MethodListTableData, text); err == nil {
				t.Errorf("it opens a page of another method: %q", got)
			}
		})
	}
	for name, token := range map[string]string{"none": "", "too long": strings.Repeat("A", 4097),
		"longer once sealed": strings.Repeat("<", 4000), "no text": "a\xff"} {
		t.Run(name, func(t *testing.T) {
			if text, err := r.SealPageToken(keys, bigquery.MethodGetQueryResults, token); err == nil {
				t.Errorf("%s: sealed as %d bytes", name, len(text))
			}
		})
	}
}
