package console

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"

	"github.com/bqgate/bqgate/internal/approvals"
)

// maxBody is the size of a decision's body in bytes: a reason is at most 1,000 characters.
const maxBody = 16 << 10

// readReason reads {"reason": "…"}. An empty body is an empty reason. Unknown and repeated keys are refused: somebody meant something by them.
// The Content-Type is not asked: no browser sends the token by itself, so no form of another site can post here.
func readReason(w http.ResponseWriter, r *http.Request) (string, *failure) {
	if encoding := r.Header.Get("Content-Encoding"); encoding != "" && encoding != "identity" {
		return "", &failure{status: http.StatusUnsupportedMediaType, reason: "invalid", message: "the body must be JSON without Content-Encoding"}
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return "", &failure{status: http.StatusRequestEntityTooLarge, reason: "invalid", message: fmt.Sprintf("the body is larger than %d bytes", maxBody)}
	}
	if err != nil {
		return "", &failure{status: http.StatusBadRequest, reason: "invalid", message: "the body could not be read to its end"}
	}
	reason, err := parseReason(body)
	if err != nil {
		return "", &failure{status: http.StatusBadRequest, reason: "invalid", message: err.Error()}
	}
	return reason, nil
}

func parseReason(body []byte) (string, error) {
	if len(body) == 0 {
		return "", nil
	}
	var in *struct {
		Reason *string `json:"reason"`
	}
	if err := json.Unmarshal(body, &in, json.RejectUnknownMembers(true)); err != nil || in == nil {
		return "", errors.New(`the body must be a JSON object with the one key "reason", a string: {"reason": "month end is closed"}`)
	}
	if in.Reason == nil {
		return "", nil
	}
	return *in.Reason, nil
}

func stateParameter(r *http.Request) (approvals.State, error) {
	query, err := parameters(r, "state")
	if err != nil || !query.Has("state") {
		return "", err
	}
	state := approvals.State(query.Get("state"))
	if !slices.Contains(approvals.States(), state) {
		var names []string
		for _, s := range approvals.States() {
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
