package bigquery

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/bqgate/bqgate/internal/durable"
)

// RowAccess says whether a table has row access policies, and nothing of what they say. The zero
// RowAccess means that it is not known.
type RowAccess string

// What is known of a table.
const (
	RowAccessNone     RowAccess = "NONE"     // it has no row access policy: whoever may read it reads all of its rows
	RowAccessPolicies RowAccess = "POLICIES" // which of its rows are read depends on the account that the query runs under
)

// ErrRowAccessDenied says that the inspection identity lacks bigquery.rowAccessPolicies.list on a
// table.
var ErrRowAccessDenied = errors.New("the permission bigquery.rowAccessPolicies.list is missing")

// errNoRowAccessList leaves out why: an error of the JSON reader could repeat the text of a policy.
var errNoRowAccessList = fmt.Errorf("%w: it is not a list of row access policies of this table", ErrNotUnderstood)

// RowAccess asks whether a table has row access policies (rowAccessPolicies.list) under the
// inspection identity. A policy's filterPredicate holds values of the data: it is neither kept nor
// part of an error. A table that is not there is ErrNotFound; one whose policies BigQuery does not
// tell of is ErrRowAccessDenied.
func (c *Client) RowAccess(ctx context.Context, w durable.Facts, id TableID) (RowAccess, error) {
	path, err := tablePath(id)
	if err != nil {
		return "", fmt.Errorf("list row access policies of %q: %w", id, err)
	}
	query := url.Values{"pageSize": {"1"}} // whether there is one is all that matters
	for range listPages {
		body, err := c.inspect(ctx, w, http.MethodGet, path+"/rowAccessPolicies", query, nil)
		var api *APIError
		if errors.As(err, &api) && api.Status == http.StatusForbidden && api.Reason == "accessDenied" {
			err = fmt.Errorf("%w: %w", ErrRowAccessDenied, err)
		}
		if err != nil {
			return "", fmt.Errorf("list row access policies of %s: %w", id, err)
		}
		found, next, err := readRowAccess(body, id)
		switch {
		case err != nil:
			return "", fmt.Errorf("list row access policies of %s: %w", id, err)
		case found:
			return RowAccessPolicies, nil
		case next == "":
			return RowAccessNone, nil
		}
		query.Set("pageToken", next)
	}
	return "", fmt.Errorf("list row access policies of %s: %w", id, ErrTooMany)
}

// readRowAccess reads one page of ListRowAccessPoliciesResponse. A member that is not known could
// say that the list is not whole.
func readRowAccess(body []byte, id TableID) (found bool, next string, err error) {
	var page struct {
		Kind     string           `json:"kind"`
		Etag     string           `json:"etag"`
		Policies []jsontext.Value `json:"rowAccessPolicies"`
		Next     string           `json:"nextPageToken"`
	}
	if !whole(body) {
		return false, "", errors.New("the answer came broken")
	}
	if jsontext.Value(body).Kind() != '{' || json.Unmarshal(body, &page, json.RejectUnknownMembers(true)) != nil {
		return false, "", errNoRowAccessList
	}
	for _, text := range page.Policies {
		var policy struct {
			Reference TableID `json:"rowAccessPolicyReference"`
		}
		if json.Unmarshal(text, &policy) != nil || policy.Reference != id {
			return false, "", errNoRowAccessList
		}
	}
	return len(page.Policies) > 0, page.Next, nil
}
