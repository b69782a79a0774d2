package bigquery

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"strings"
)

// Mutation is what the gateway adds to a request on its way to BigQuery.
type Mutation struct {
	Decision           string `json:"decision"`                       // value of the label bqgate_decision
	RequestID          string `json:"request_id,omitempty"`           // jobs.query: the requestId that is sent
	JobID              string `json:"job_id,omitempty"`               // jobs.insert: replaces the client's job id
	Location           string `json:"location,omitempty"`             // replaces the client's location
	SQL                string `json:"sql,omitempty"`                  // replaces the client's SQL, where it was rewritten
	MaximumBytesBilled int64  `json:"maximum_bytes_billed,omitempty"` // caps the client's own limit, 0 for no cap
	// Labels say at Google whose job it is, beside Decision. Their keys begin with LabelPrefix.
	Labels map[string]string `json:"labels,omitempty"`
}

// DecisionLabel carries the id of the decision on every job that the gateway forwards.
const DecisionLabel = LabelPrefix + "_decision"

var decisionValue = pattern{regexp.MustCompile(`^[a-z0-9_-]+$`), 63}

// queryBody is QueryRequest as it is forwarded.
type queryBody struct {
	Query              string            `json:"query"`
	UseLegacySQL       bool              `json:"useLegacySql"`
	UseQueryCache      bool              `json:"useQueryCache"`
	ParameterMode      string            `json:"parameterMode,omitempty"`
	QueryParameters    rawJSON           `json:"queryParameters,omitempty"`
	DefaultDataset     *DatasetReference `json:"defaultDataset,omitempty"`
	Location           string            `json:"location,omitempty"`
	MaxResults         *uint32           `json:"maxResults,omitempty"`
	TimeoutMs          *int64            `json:"timeoutMs,omitempty"`
	FormatOptions      *formatBody       `json:"formatOptions,omitempty"`
	RequestID          string            `json:"requestId"`
	JobCreationMode    string            `json:"jobCreationMode"`
	DryRun             bool              `json:"dryRun,omitempty"`
	Labels             map[string]string `json:"labels"`
	MaximumBytesBilled int64             `json:"maximumBytesBilled,omitempty,string"`
	JobTimeoutMs       int64             `json:"jobTimeoutMs,omitempty,string"`
}

type formatBody struct {
	UseInt64Timestamp     bool   `json:"useInt64Timestamp,omitempty"`
	TimestampOutputFormat string `json:"timestampOutputFormat,omitempty"`
}

// jobBody is Job as it is forwarded.
type jobBody struct {
	JobReference  jobReference     `json:"jobReference"`
	Configuration jobConfiguration `json:"configuration"`
}

type jobReference struct {
	ProjectID string `json:"projectId"`
	JobID     string `json:"jobId,omitempty"`
	Location  string `json:"location,omitempty"`
}

type jobConfiguration struct {
	JobType      string            `json:"jobType"`
	Query        jobQuery          `json:"query"`
	DryRun       bool              `json:"dryRun,omitempty"`
	JobTimeoutMs int64             `json:"jobTimeoutMs,omitempty,string"`
	Labels       map[string]string `json:"labels,omitempty"`
}

type jobQuery struct {
	Query              string            `json:"query"`
	UseLegacySQL       bool              `json:"useLegacySql"`
	UseQueryCache      bool              `json:"useQueryCache"`
	Priority           string            `json:"priority,omitempty"`
	ParameterMode      string            `json:"parameterMode,omitempty"`
	QueryParameters    rawJSON           `json:"queryParameters,omitempty"`
	DefaultDataset     *DatasetReference `json:"defaultDataset,omitempty"`
	MaximumBytesBilled int64             `json:"maximumBytesBilled,omitempty,string"`
}

// Encode writes the body that is forwarded, from the operation alone: equal operations and
// mutations give equal bytes. Methods that take no body give none. A mutation without a decision,
// or for jobs.query without a request id, is an error.
func Encode(op Operation, m Mutation) ([]byte, error) {
	switch op.Method {
	case MethodQuery:
		return encodeQuery(op, m)
	case MethodInsert:
		return encodeInsert(op, m)
	case MethodGetQueryResults, MethodGetJob, MethodCancel, MethodListTableData:
		if op.Read == nil {
			return nil, fmt.Errorf("encode %s: it is not a read", op.Method)
		}
		return nil, nil
	default:
		return nil, fmt.Errorf("encode %q: not a method that is forwarded", op.Method)
	}
}

// EncodeInsert writes the query of the operation, whichever method it came with, as a body of
// jobs.insert under a fixed job id.
func EncodeInsert(op Operation, m Mutation) ([]byte, error) {
	if m.JobID == "" && op.Job.JobID == "" {
		return nil, errors.New("encode jobs.insert: no job id")
	}
	return encodeInsert(op, m)
}

// EncodeDryRun writes the query of the operation as a dry run by jobs.insert, which alone says what
// BigQuery would read. It has no label: it is the gateway's own job.
func EncodeDryRun(op Operation) ([]byte, error) {
	if op.Query == nil {
		return nil, fmt.Errorf("encode dry run of %s: it is not a query", op.Method)
	}
	if err := forwardable(op); err != nil {
		return nil, fmt.Errorf("encode dry run: %w", err)
	}
	body := jobBody{JobReference: jobReference{ProjectID: op.Job.ProjectID, Location: op.Job.Location}}
	body.Configuration = jobConfiguration{JobType: "QUERY", DryRun: true, Query: configuredQuery(*op.Query, Mutation{})}
	return compactJSON(body)
}

func encodeQuery(op Operation, m Mutation) ([]byte, error) {
	labels, err := welded(op, m)
	if err != nil {
		return nil, fmt.Errorf("encode jobs.query: %w", err)
	}
	if m.RequestID == "" {
		return nil, errors.New("encode jobs.query: no request id")
	}
	q := op.Query
	body := queryBody{
		Query: sqlOf(*q, m), ParameterMode: q.ParameterMode, QueryParameters: rawJSON(q.Parameters), DefaultDataset: q.DefaultDataset,
		Location: first(m.Location, op.Job.Location), MaxResults: q.MaxResults, TimeoutMs: q.TimeoutMs, RequestID: m.RequestID,
		JobCreationMode: "JOB_CREATION_REQUIRED", DryRun: q.DryRun, Labels: labels,
		MaximumBytesBilled: lower(q.MaximumBytesBilled, m.MaximumBytesBilled),
		JobTimeoutMs:       q.JobTimeoutMs,
	}
	if q.Format != (FormatOptions{}) {
		body.FormatOptions = &formatBody{UseInt64Timestamp: q.Format.UseInt64Timestamp,
			TimestampOutputFormat: q.Format.TimestampOutputFormat}
	}
	return compactJSON(body)
}

func encodeInsert(op Operation, m Mutation) ([]byte, error) {
	labels, err := welded(op, m)
	if err != nil {
		return nil, fmt.Errorf("encode jobs.insert: %w", err)
	}
	return compactJSON(jobBody{
		JobReference: jobReference{ProjectID: op.Job.ProjectID, JobID: first(m.JobID, op.Job.JobID),
			Location: first(m.Location, op.Job.Location)},
		Configuration: jobConfiguration{
			JobType: "QUERY", Query: configuredQuery(*op.Query, m), DryRun: op.Query.DryRun, JobTimeoutMs: op.Query.JobTimeoutMs,
			Labels: labels,
		},
	})
}

func configuredQuery(q QueryRequest, m Mutation) jobQuery {
	return jobQuery{
		Query: sqlOf(q, m), Priority: q.Priority, ParameterMode: q.ParameterMode, QueryParameters: rawJSON(q.Parameters),
		DefaultDataset:     q.DefaultDataset,
		MaximumBytesBilled: lower(q.MaximumBytesBilled, m.MaximumBytesBilled),
	}
}

// welded checks that the operation may be forwarded and gives its labels with the decision's.
func welded(op Operation, m Mutation) (map[string]string, error) {
	if err := forwardable(op); err != nil {
		return nil, err
	}
	decision := strings.ToLower(m.Decision)
	if !decisionValue.MatchString(decision) {
		return nil, fmt.Errorf("decision %q cannot be a label", m.Decision)
	}
	labels := maps.Clone(op.Query.Labels)
	if labels == nil {
		labels = map[string]string{}
	}
	for key := range labels {
		if strings.HasPrefix(key, LabelPrefix) {
			return nil, fmt.Errorf("label %q is the gateway's own", key)
		}
	}
	labels[DecisionLabel] = decision
	for key, value := range m.Labels {
		if _, taken := labels[key]; taken || !strings.HasPrefix(key, LabelPrefix) || !labelKey.MatchString(key) ||
			!labelText.MatchString(value) {
			return nil, fmt.Errorf("label %q: %q cannot be one of the gateway's own", key, value)
		}
		labels[key] = value
	}
	if len(labels) > mostLabels {
		return nil, fmt.Errorf("%d labels, and BigQuery takes %d", len(labels), mostLabels)
	}
	return labels, nil
}

func forwardable(op Operation) error {
	switch {
	case op.Query == nil:
		return errors.New("it is not a query")
	case op.Query.SQL == "":
		return errors.New("it has no SQL")
	default:
		return checkProject(op.Method, op.Job.ProjectID)
	}
}

func sqlOf(q QueryRequest, m Mutation) string { return first(m.SQL, q.SQL) }

func first(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// lower is the smaller of two limits; 0 is no limit.
func lower(a, b int64) int64 {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// rawJSON is canonical JSON that goes out as it is.
type rawJSON []byte

// MarshalJSON implements json.Marshaler.
func (r rawJSON) MarshalJSON() ([]byte, error) { return r, nil }
