package jobs

import (
	"errors"
	"unicode/utf8"

	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/sealed"
)

// BigQuery's page tokens say where in which result a page begins. A reader gets them sealed, for
// one owner, one job and one method, so that none opens a page of anything else.

// A page token of BigQuery may be any text: it leaves sealed, and goes back to BigQuery escaped. In
// practice it is base32 with padding. Sealed it must fit into a URL of the client's.
const (
	tokenLimit  = 4 << 10
	sealedLimit = bigquery.MaxPageToken
)

var errPageToken = errors.New("not a page token of this result")

// pagesOf says whose tokens a method takes: those of the answers before it. Java's client reads the
// later pages of jobs.query from the result's table.
// https://github.com/googleapis/java-bigquery (BigQueryImpl.QueryPageFetcher)
var pagesOf = map[bigquery.Method][]bigquery.Method{
	bigquery.MethodGetQueryResults: {bigquery.MethodGetQueryResults, bigquery.MethodQuery},
	bigquery.MethodListTableData:   {bigquery.MethodListTableData, bigquery.MethodQuery},
}

func (r Record) pages(method bigquery.Method) string {
	return "page/" + string(method) + "/" + r.Owner + "/" + r.Job.ProjectID + "/" + r.Job.JobID
}

// SealPageToken makes the token that the reader of an answer of a method gets.
func (r Record) SealPageToken(keys *sealed.Keyring, method bigquery.Method, token string) (string, error) {
	if r.Owner == "" || r.Job.ProjectID == "" || r.Job.JobID == "" || token == "" || len(token) > tokenLimit || !utf8.ValidString(token) {
		return "", errPageToken
	}
	text, err := keys.Seal(r.pages(method), token)
	if err == nil && len(text) > sealedLimit {
		return "", errPageToken
	}
	return text, err
}

// OpenPageToken gives BigQuery's token for a request of a method.
func (r Record) OpenPageToken(keys *sealed.Keyring, method bigquery.Method, text string) (string, error) {
	for _, from := range pagesOf[method] {
		var token string
		if keys.Open(r.pages(from), text, &token) == nil {
			return token, nil
		}
	}
	return "", errPageToken
}
