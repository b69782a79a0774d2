package bigquery

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/bqgate/bqgate/internal/durable"
)

// ErrNotFound says that BigQuery knows no such table or job, or does not tell the gateway's
// identity of it.
var ErrNotFound = errors.New("not found")

// ErrNoEstimate says that a dry run did not say how much would be read, as for tables with row
// access policies.
var ErrNoEstimate = errors.New("BigQuery gave no estimate")

// APIError is an error answer of BigQuery. Message is BigQuery's own text: it may hold values of
// the query and of data, so it is for decisions, not for clients and logs; Error leaves it out.
type APIError struct {
	Status  int
	Reason  string // documented reasons only; knownReason otherwise
	Message string
	// Again is set where an earlier try of the same call failed, and may all the same have done
	// what this one is refused for: a job id is taken, perhaps by that try.
	Again bool
}

func (e *APIError) Error() string { return fmt.Sprintf("BigQuery answered %d %s", e.Status, e.Reason) }

// Passes says that the same call may be answered after a while: the fault is BigQuery's own, or one
// of too many calls.
func (e *APIError) Passes() bool { return momentary(e) }

// Is makes a 404 recognisable as ErrNotFound.
func (e *APIError) Is(target error) bool {
	return target == ErrNotFound && e.Status == http.StatusNotFound
}

// ClientOptions configure a Client. Every field is needed.
type ClientOptions struct {
	BaseURL    string       // "https://bigquery.googleapis.com"; http on loopback only
	HTTPClient *http.Client // transport and time-outs; redirects are never followed
	// Token is the access token of the inspection identity.
	Token func(ctx context.Context, w durable.Facts) (string, error)
	// Account is whom Google knows that identity as, for the words of errors; may be empty.
	Account string
	// Denied, where it is set, hears of a table that BigQuery does not tell that identity of, which
	// callers take as one that is not there. because is what it was asked for: a decision's id.
	Denied func(because string, err error)
}

// Client is the gateway's own way to BigQuery. It reads schemas and jobs and makes dry runs under
// the inspection identity, whose token never passes Envoy, and submits released queries under the
// token it is given. Rows are never read. Deadlines come from the context. Within them, a call that
// failed for a moment is made again (Again): each of them reads, or names the job it is about.
//
// Every method takes the witness of a durable record (invariant I1). What it is of, as the id of a
// decision, goes along as X-Goog-Request-Reason, which Google writes into its own audit log.
type Client struct {
	base  string
	http  *http.Client
	token func(ctx context.Context, w durable.Facts) (string, error)

	account string
	denied  func(because string, err error)
}

// maxAnswer bounds an answer: a Table with 10,000 columns and their descriptions stays below it.
const maxAnswer = 16 << 20

// NewClient checks the options.
func NewClient(o ClientOptions) (*Client, error) {
	u, err := url.Parse(o.BaseURL)
	if err != nil {
		return nil, fmt.Errorf("BigQuery URL %q: %w", o.BaseURL, err)
	}
	switch {
	case u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || strings.Trim(u.Path, "/") != "":
		return nil, fmt.Errorf("BigQuery URL %q: want a scheme and a host, nothing else", o.BaseURL)
	case u.Scheme != "https" && (u.Scheme != "http" || !loopback(u.Hostname())):
		return nil, fmt.Errorf("BigQuery URL %q: want https (http on loopback only)", o.BaseURL)
	case o.HTTPClient == nil || o.Token == nil:
		return nil, errors.New("BigQuery client: HTTPClient and Token are needed")
	}
	h := *o.HTTPClient
	h.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	h.Jar = nil
	return &Client{base: u.Scheme + "://" + u.Host, http: &h, token: o.Token, account: o.Account, denied: o.Denied}, nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// GetTable reads a table's schema (tables.get). A table that is not there is ErrNotFound.
func (c *Client) GetTable(ctx context.Context, w durable.Facts, id TableID) (*Table, error) {
	path, err := tablePath(id)
	if err != nil {
		return nil, fmt.Errorf("get table %q: %w", id, err)
	}
	body, err := c.inspect(ctx, w, http.MethodGet, path, nil, nil)
	var api *APIError
	if errors.As(err, &api) && api.Status == http.StatusForbidden && !api.limited() {
		// "or it may not exist": BigQuery does not tell the gateway's identity of it
		err = fmt.Errorf("%w: %w", ErrNotFound, err)
		if c.denied != nil {
			c.denied(durable.Because(w), err)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("get table %s: %w", id, err)
	}
	t, err := ReadTable(body)
	if err != nil {
		return nil, fmt.Errorf("get table %s: %w", id, err)
	}
	if t.TableReference != id {
		return nil, fmt.Errorf("get table %s: BigQuery answered about %s", id, t.TableReference)
	}
	if _, err := t.Base(); err != nil {
		return nil, fmt.Errorf("get table: %w", err)
	}
	return t, nil
}

func tablePath(id TableID) (string, error) {
	if !projectID.MatchString(id.Project) || !datasetID.MatchString(id.Dataset) || id.Table == "" || id.Table == "." || id.Table == ".." ||
		strings.ContainsAny(id.Table, "$@*:") {
		return "", fmt.Errorf("%w: not the name of a table", ErrNotFound)
	}
	return "projects/" + id.Project + "/datasets/" + id.Dataset + "/tables/" + url.PathEscape(id.Table), nil
}

// GetRoutine reads a function or procedure (routines.get). One that is not there is ErrNotFound.
func (c *Client) GetRoutine(ctx context.Context, w durable.Facts, id RoutineID) (*Routine, error) {
	if !projectID.MatchString(id.Project) || !datasetID.MatchString(id.Dataset) || !routineID.MatchString(id.Routine) {
		return nil, fmt.Errorf("get routine %q: %w: not the name of a routine", id, ErrNotFound)
	}
	body, err := c.inspect(ctx, w, http.MethodGet, "projects/"+id.Project+"/datasets/"+id.Dataset+"/routines/"+id.Routine, nil, nil)
	if err != nil {
		return nil, fmt.Errorf("get routine %s: %w", id, err)
	}
	r, err := ReadRoutine(body)
	if err != nil {
		return nil, fmt.Errorf("get routine %s: %w", id, err)
	}
	if r.RoutineReference != id {
		return nil, fmt.Errorf("get routine %s: BigQuery answered about %s", id, r.RoutineReference)
	}
	return r, nil
}

// GetJob reads a job (jobs.get) under the inspection identity.
func (c *Client) GetJob(ctx context.Context, w durable.Facts, ref JobReference) (Job, error) {
	path, query, err := jobPath(ref)
	if err != nil {
		return Job{}, fmt.Errorf("get job: %w", err)
	}
	body, err := c.inspect(ctx, w, http.MethodGet, path, query, nil)
	if err != nil {
		return Job{}, fmt.Errorf("get job %s: %w", ref.JobID, err)
	}
	return parseOwn(body, ref, false)
}

func jobPath(ref JobReference) (string, url.Values, error) {
	if !projectID.MatchString(ref.ProjectID) || !jobID.MatchString(ref.JobID) {
		return "", nil, fmt.Errorf("%w: not the reference of a job", ErrNotFound)
	}
	query := url.Values{}
	if ref.Location != "" {
		query.Set("location", ref.Location)
	}
	return "projects/" + ref.ProjectID + "/jobs/" + ref.JobID, query, nil
}

// parseOwn reads a Job and checks that it is the one asked for.
func parseOwn(body []byte, ref JobReference, wrapped bool) (Job, error) {
	j, err := ParseJob(body, wrapped)
	if err != nil {
		return Job{}, fmt.Errorf("job %s: %w", ref.JobID, err)
	}
	if j.Reference.ProjectID != ref.ProjectID || j.Reference.JobID != ref.JobID {
		return Job{}, fmt.Errorf("job %s: BigQuery answered about %s:%s", ref.JobID, j.Reference.ProjectID, j.Reference.JobID)
	}
	return j, nil
}

// DryRun is what BigQuery says about a query without running it.
type DryRun struct {
	TotalBytesProcessed int64
	Accuracy            string // PRECISE, LOWER_BOUND, UPPER_BOUND, UNKNOWN, or "" where BigQuery does not say
	StatementType       string
	ReferencedTables    []TableID // base tables after views are expanded; lists of 50 and more may be incomplete
	Schema              Schema
}

// DryRun asks BigQuery, under the inspection identity and through jobs.insert, what the query of
// the operation would read. A query that BigQuery does not accept is an *APIError of status 400; a
// missing estimate is ErrNoEstimate, with the rest of the answer.
func (c *Client) DryRun(ctx context.Context, w durable.Text, op Operation) (DryRun, error) {
	request, err := EncodeDryRun(op)
	if err != nil {
		return DryRun{}, err
	}
	body, err := c.inspect(ctx, w, http.MethodPost, "projects/"+op.Job.ProjectID+"/jobs", nil, request)
	if err != nil {
		return DryRun{}, fmt.Errorf("dry run: %w", err)
	}
	j, err := ParseJob(body, false)
	switch {
	case err != nil:
		return DryRun{}, fmt.Errorf("dry run: %w", err)
	case !j.DryRun || j.Reference.ProjectID != op.Job.ProjectID:
		return DryRun{}, errors.New("dry run: BigQuery's answer is not about a dry run of this project")
	case j.Error != nil:
		return DryRun{}, fmt.Errorf("dry run: %w",
			&APIError{Status: http.StatusBadRequest, Reason: knownReason(j.Error.Reason, http.StatusBadRequest), Message: j.Error.Message})
	}
	run := DryRun{Accuracy: j.Accuracy, StatementType: j.StatementType, ReferencedTables: j.ReferencedTables, Schema: j.Schema}
	if j.TotalBytesProcessed == nil || *j.TotalBytesProcessed < 0 {
		return run, fmt.Errorf("dry run: %w", ErrNoEstimate)
	}
	run.TotalBytesProcessed = *j.TotalBytesProcessed
	return run, nil
}

// InsertJob submits a body of EncodeInsert under the given access token. A job id that is taken is
// an *APIError of status 409. A body that names no job id is sent once: a second one would be a
// second job.
func (c *Client) InsertJob(ctx context.Context, w durable.Decided, bearer, project string, body []byte) (Job, error) {
	if !projectID.MatchString(project) {
		return Job{}, errors.New("insert job: not a project id")
	}
	lost := false
	answer, err := Again(ctx, func(err error) bool { return fixesJob(body) && momentary(err) }, func() ([]byte, error) {
		answer, err := c.call(ctx, w, bearer, http.MethodPost, "projects/"+project+"/jobs", nil, body)
		var api *APIError
		if errors.As(err, &api) {
			api.Again = lost
		}
		lost = lost || momentary(err)
		return answer, err
	})
	if err != nil {
		return Job{}, fmt.Errorf("insert job: %w", err)
	}
	j, err := ParseJob(answer, false)
	if err == nil && j.Reference.ProjectID != project {
		err = fmt.Errorf("BigQuery answered about project %s", j.Reference.ProjectID)
	}
	if err != nil {
		return Job{}, fmt.Errorf("insert job: %w", err)
	}
	return j, nil
}

// fixesJob says whether a body of jobs.insert names the job that it makes.
func fixesJob(body []byte) bool {
	var b struct {
		Reference struct {
			JobID string `json:"jobId"`
		} `json:"jobReference"`
	}
	return json.Unmarshal(body, &b) == nil && b.Reference.JobID != ""
}

// CancelJob asks BigQuery to stop a job, under the given access token: the account that runs it
// may, the inspection identity may not. BigQuery may answer without a body; the Job has its
// reference alone then.
func (c *Client) CancelJob(ctx context.Context, w durable.Runs, bearer string, ref JobReference) (Job, error) {
	path, query, err := jobPath(ref)
	if err != nil {
		return Job{}, fmt.Errorf("cancel job: %w", err)
	}
	body, err := Again(ctx, momentary, func() ([]byte, error) {
		answer, err := c.call(ctx, w, bearer, http.MethodPost, path+"/cancel", query, nil)
		if errors.Is(err, errNoBody) {
			return nil, nil
		}
		return answer, err
	})
	switch {
	case err != nil:
		return Job{}, fmt.Errorf("cancel job %s: %w", ref.JobID, err)
	case len(body) == 0:
		return Job{Reference: ref}, nil
	}
	return parseOwn(body, ref, true)
}

func (c *Client) inspect(ctx context.Context, w durable.Facts, verb, path string, query url.Values, body []byte) ([]byte, error) {
	token, err := c.token(ctx, w)
	if err != nil {
		return nil, fmt.Errorf("token of the inspection identity: %w", err)
	}
	answer, err := Again(ctx, momentary, func() ([]byte, error) { return c.call(ctx, w, token, verb, path, query, body) })
	var call *CallError
	if errors.As(err, &call) {
		call.Account = c.account
	}
	return answer, err
}

// errNoBody is an answer of status 200 without a body.
var errNoBody = errors.New("the answer has no body")

// call makes one request, once, and reads its answer whole. Its error is a *CallError.
func (c *Client) call(
	ctx context.Context, w durable.Witness, bearer, verb, path string, query url.Values, body []byte,
) ([]byte, error) {
	answer, err := c.send(ctx, w, bearer, verb, path, query, body)
	if err != nil {
		method, on := asked(verb, path)
		return nil, &CallError{Method: method, On: on, Err: err}
	}
	return answer, nil
}

func (c *Client) send(
	ctx context.Context, w durable.Witness, bearer, verb, path string, query url.Values, body []byte,
) ([]byte, error) {
	reason := durable.Because(w)
	if bearer == "" {
		return nil, errors.New("no access token")
	}
	values := url.Values{"alt": {"json"}, "prettyPrint": {"false"}}
	for name, v := range query {
		values[name] = v
	}
	r, err := http.NewRequestWithContext(ctx, verb, c.base+Root+path+"?"+values.Encode(), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Authorization", "Bearer "+bearer)
	if len(body) > 0 {
		r.Header.Set("Content-Type", "application/json")
	}
	r.Header.Set("X-Goog-Request-Reason", reason)
	resp, err := c.http.Do(r)
	if err != nil {
		return nil, &unanswered{err}
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil:
		return nil, &unanswered{fmt.Errorf("read answer: %w", err)}
	case len(answer) > maxAnswer:
		return nil, fmt.Errorf("the answer is larger than %d bytes", maxAnswer)
	case resp.StatusCode == http.StatusOK && len(answer) == 0:
		return nil, &unanswered{errNoBody}
	case resp.StatusCode == http.StatusOK && !jsontext.Value(answer).IsValid(jsontext.AllowDuplicateNames(true)):
		return nil, &unanswered{errors.New("the answer is not JSON, or not all of it")}
	case resp.StatusCode == http.StatusOK:
		return answer, nil
	case resp.StatusCode < 400:
		return nil, fmt.Errorf("BigQuery answered with status %d", resp.StatusCode)
	}
	reason, message, err := readError(resp.StatusCode, answer)
	if err != nil {
		message = "" // no error of BigQuery's; the status says enough
	}
	return nil, &APIError{Status: resp.StatusCode, Reason: reason, Message: message}
}
