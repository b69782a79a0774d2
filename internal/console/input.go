package console

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"

	"github.com/bqgate/bqgate/internal/approvals"
	"github.com/bqgate/bqgate/internal/refusal"
)

// maxBody is the size of a ballot in bytes: a reason is at most 1,000 characters.
const maxBody = 16 << 10

// ballot is the body of a vote.
type ballot struct {
	Reason string
	approvals.Terms
}

// readBallot reads {"reason": "…"}, and beside it "uses" and "hours" of an approval that is to
// stand. An empty body is an empty reason. Unknown and repeated keys are refused: somebody meant
// something by them. The Content-Type is not asked: no browser sends the token by itself, so no
// form of another site can post here.
func readBallot(w http.ResponseWriter, r *http.Request) (ballot, *refusal.Refusal) {
	if encoding := r.Header.Get("Content-Encoding"); encoding != "" && encoding != "identity" {
		return ballot{}, &refusal.Refusal{Status: http.StatusUnsupportedMediaType, Reason: "invalid",
			What: "the body must be JSON without Content-Encoding"}
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return ballot{}, &refusal.Refusal{Status: http.StatusRequestEntityTooLarge, Reason: "invalid",
			What: fmt.Sprintf("the body is larger than %d bytes", maxBody)}
	}
	if err != nil {
		return ballot{}, &refusal.Refusal{Status: http.StatusBadRequest, Reason: "invalid", What: "the body could not be read to its end"}
	}
	in, err := parseBallot(body)
	if err != nil {
		return ballot{}, &refusal.Refusal{Status: http.StatusBadRequest, Reason: "invalid", What: err.Error()}
	}
	return in, nil
}

func parseBallot(body []byte) (ballot, error) {
	if len(body) == 0 {
		return ballot{}, nil
	}
	var in *struct {
		Reason *string `json:"reason"`
		Uses   *int    `json:"uses"`
		Hours  *int    `json:"hours"`
	}
	if err := json.Unmarshal(body, &in, json.RejectUnknownMembers(true)); err != nil || in == nil {
		return ballot{}, errors.New(`the body must be a JSON object with the key "reason", a string, and for an approval that is to ` +
			`stand "uses" and "hours", whole numbers: {"reason": "month end is closed"}`)
	}
	var out ballot
	if in.Reason != nil {
		out.Reason = *in.Reason
	}
	for _, n := range []struct {
		in  *int
		out *int
	}{{in.Uses, &out.Uses}, {in.Hours, &out.Hours}} {
		if n.in == nil {
			continue
		}
		if *n.in < 1 {
			return ballot{}, errors.New("uses and hours must be whole numbers of at least 1")
		}
		*n.out = *n.in
	}
	return out, nil
}

// Requests on one page of a list.
const (
	pageDefault = 200
	pageMost    = 500
)

// pageParameters reads ?state=, ?limit= and ?after= of a list of requests.
func pageParameters(r *http.Request) (approvals.Filter, error) {
	f := approvals.Filter{Limit: pageDefault}
	query, err := parameters(r, "state", "limit", "after")
	if err != nil {
		return f, err
	}
	if f.State, err = word(query, approvals.States()); err != nil {
		return f, err
	}
	if query.Has("limit") {
		if f.Limit, err = strconv.Atoi(query.Get("limit")); err != nil || f.Limit < 1 || f.Limit > pageMost {
			return f, fmt.Errorf("limit must be a number from 1 to %d, or left out for %d", pageMost, pageDefault)
		}
	}
	if f.After = query.Get("after"); query.Has("after") && !approvals.ValidID(f.After) {
		return f, errors.New("after must be the id of a request: next of the page before")
	}
	return f, nil
}

// pageQuery is the query of the page that comes after a request.
func pageQuery(f approvals.Filter, after string) string {
	query := url.Values{"after": {after}}
	if f.State != "" {
		query.Set("state", string(f.State))
	}
	if f.Limit != pageDefault {
		query.Set("limit", strconv.Itoa(f.Limit))
	}
	return query.Encode()
}

// wordParameter reads ?state=, one of the known words, or "" where it is left out.
func wordParameter[T ~string](r *http.Request, known []T) (T, error) {
	query, err := parameters(r, "state")
	if err != nil {
		return "", err
	}
	return word(query, known)
}

func word[T ~string](query url.Values, known []T) (T, error) {
	if !query.Has("state") {
		return "", nil
	}
	state := T(query.Get("state"))
	if !slices.Contains(known, state) {
		var names []string
		for _, s := range known {
			names = append(names, string(s))
		}
		return "", fmt.Errorf("state must be one of %s, or left out for all", strings.Join(names, ", "))
	}
	return state, nil
}

func noParameters(r *http.Request) error {
	_, err := parameters(r)
	return err
}

// parameters reads the query strictly: a misspelt filter must not show everything.
func parameters(r *http.Request, known ...string) (url.Values, error) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, errors.New("the query string is malformed")
	}
	for name, values := range query {
		switch {
		case !slices.Contains(known, name) && len(known) == 0:
			return nil, errors.New("this path takes no query parameters")
		case !slices.Contains(known, name):
			return nil, fmt.Errorf("unknown query parameter; this path takes %s", strings.Join(known, ", "))
		case len(values) != 1:
			return nil, fmt.Errorf("query parameter %s is given more than once", name)
		}
	}
	return query, nil
}
