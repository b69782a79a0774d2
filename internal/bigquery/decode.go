package bigquery

import (
	"math"
	"regexp"
	"strconv"
	"strings"

	"github.com/bqgate/bqgate/internal/coarse"
)

// Request is an HTTP request as it arrived: nothing decoded, nothing normalised.
type Request struct {
	Verb   string
	Path   string              // raw, with the query
	Header map[string][]string // lower-case names, every value as it arrived
	Body   []byte
}

// Limits of a request. BigQuery takes 1 MiB of SQL.
const (
	MaxBody = 4 << 20
	MaxSQL  = 1 << 20
)

// Large says that a body may take much to read: it is long, or may be once it is unpacked.
func (r Request) Large() bool { return len(r.Body) > largeBody || len(r.Body) > 0 && r.Coding() != "" }

const largeBody = 64 << 10

// Meant is which method a request means, and for which job: what can be said of it without reading
// its body. It asks for nothing.
func Meant(r Request) Operation {
	op, _ := Decode(Request{Verb: r.Verb, Path: r.Path}) // without its body it is malformed
	return Operation{Method: op.Method, Job: op.Job}
}

// Decode reads a request by allow-list. The error is a *RequestError; the Operation then says no
// more than which method was meant and for which job, for the record, and asks for nothing.
func Decode(r Request) (Operation, error) {
	path, query, _ := strings.Cut(r.Path, "?")
	route, params, err := Match(r.Verb, path)
	if err != nil {
		return Operation{}, err
	}
	op := Operation{Method: route.Method,
		Job: JobReference{ProjectID: params["project"], JobID: params["job"], Location: params["location"]}}
	if !route.Governed() {
		return op, refuse(route.Method, "%s is not served: %s", route.Method, route.Refusal)
	}
	refused := op
	body, err := checkHeaders(route, r)
	if err != nil {
		return refused, err
	}
	if err := decodeQuery(&op, query); err != nil {
		return refused, err
	}
	switch route.Method {
	case MethodQuery:
		err = decodeJobsQuery(&op, body)
	case MethodInsert:
		err = decodeJobsInsert(&op, body)
	case MethodGetQueryResults, MethodGetJob, MethodCancel, MethodListJobs:
		if len(body) > 0 {
			err = malformed(op.Method, "%s takes no body", op.Method)
		}
	case MethodListTableData:
		op.Read.Table = &TableID{Project: params["project"], Dataset: params["dataset"], Table: params["table"]}
	case MethodListProjects, MethodListDatasets, MethodGetDataset, MethodListTables, MethodGetTable:
		op.Metadata.Dataset, op.Metadata.Table = params["dataset"], params["table"]
	case MethodDiscovery:
	default:
		err = refuse(op.Method, "%s is not served", op.Method)
	}
	if err != nil {
		return refused, err
	}
	return op, nil
}

var (
	location = pattern{regexp.MustCompile(`^[A-Za-z][A-Za-z0-9-]*$`), 64}
	// "Keys and values can contain only lowercase letters, numeric characters, underscores, and
	// dashes. […] International characters are allowed":
	// https://cloud.google.com/bigquery/docs/labels-intro
	labelKey  = pattern{regexp.MustCompile(`^[\p{Ll}\p{Lo}][\p{Ll}\p{Lo}\p{Mn}\p{Nd}_-]{0,62}$`), 128}
	labelText = pattern{regexp.MustCompile(`^[\p{Ll}\p{Lo}\p{Mn}\p{Nd}_-]{0,63}$`), 128}
	// A request id longer than BigQuery's 36 characters is sent by Go. It only ever is an input of
	// the gateway's own id.
	requestID    = pattern{regexp.MustCompile(`^[!-~]+$`), 128}
	legacyPrefix = regexp.MustCompile(`(?i)#\s*legacysql`)
)

// mostLabels is how many BigQuery takes, and maxLabels leaves room for the gateway's own.
const (
	mostLabels = 64
	maxLabels  = mostLabels - 12
)

// LabelPrefix begins the names of the gateway's own labels.
const LabelPrefix = "bqgate"

// WaitLabel is the one label of the gateway's that a client sets: "no" asks to be refused at once
// where the query would wait for approval.
const WaitLabel = LabelPrefix + "_wait"

// Fields of QueryRequest and JobConfigurationQuery that are understood and not served. A harmless
// value says what BigQuery would do anyway.
var refusedFields = []struct {
	name     string
	why      string
	harmless []string
}{
	{"destinationTable", "results are read with jobs.getQueryResults; leave it out", nil},
	{"createDisposition", "there is no destination table to create; leave it out", []string{`"CREATE_IF_NEEDED"`}},
	{"writeDisposition", "there is no destination table to write; leave it out", []string{`"WRITE_EMPTY"`}},
	{"schemaUpdateOptions", "there is no destination table; leave it out", []string{`[]`}},
	{"timePartitioning", "there is no destination table; leave it out", nil},
	{"rangePartitioning", "there is no destination table; leave it out", nil},
	{"clustering", "there is no destination table; leave it out", nil},
	{"destinationEncryptionConfiguration", "there is no destination table; leave it out", nil},
	{"tableDefinitions", "external tables cannot be governed; query tables of a dataset", []string{`{}`}},
	{"userDefinedFunctionResources", "functions outside the query cannot be analysed; write them in GoogleSQL", []string{`[]`}},
	{"connectionProperties", "sessions and other connection properties change what the query means; leave it out", []string{`[]`}},
	{"createSession", "sessions keep state between queries; leave it out", []string{`false`}},
	{"continuous", "continuous queries do not end; leave it out", []string{`false`}},
	{"secureContext", "it would change row access policies; leave it out", nil},
	{"systemVariables", "system variables are not served; leave it out", nil},
	{"scriptOptions", "scripts are not served; leave it out", nil},
	{"queryResultsFormat", "only JSON rows can be masked; leave it out",
		[]string{`"STRUCT_ENCODING"`, `"QUERY_RESULTS_FORMAT_UNSPECIFIED"`}},
	{"arrowSerializationOptions", "only JSON rows can be masked; leave it out", nil},
	{"writeIncrementalResults", "results are read when the query is done; leave it out", []string{`false`}},
	{"reservation", "the operator decides what pays for a query; leave it out", nil},
	{"maxSlots", "the operator decides what pays for a query; leave it out", []string{`0`}},
	{"maximumBillingTier", "set maximumBytesBilled instead", nil},
}

// legacyFields are those that BigQuery's reference says to have no meaning for GoogleSQL: whatever
// their value, they are taken and not forwarded. ibis and JDBC set some of them on every query.
// https://cloud.google.com/bigquery/docs/reference/rest/v2/Job#JobConfigurationQuery
var legacyFields = []string{"allowLargeResults", "flattenResults", "preserveNulls"}

func decodeJobsQuery(op *Operation, body []byte) error {
	var err error
	o := readBody(op.Method, body, &err)
	q := &QueryRequest{}
	o.word("kind", "bigquery#queryRequest")
	decodeShared(o, op, q)
	decodeLabels(o, q)
	if d := o.boolean("dryRun"); d != nil {
		q.DryRun = *d
	}
	if n := o.integer("jobTimeoutMs", math.MaxInt64); n != nil {
		q.JobTimeoutMs = *n
	}
	op.Job.Location = CanonicalLocation(o.pattern("location", location, "a location such as US or europe-west3"))
	q.RequestID = o.pattern("requestId", requestID, "at most 128 printable ASCII characters without spaces")
	q.JobCreationMode = o.word("jobCreationMode", "JOB_CREATION_REQUIRED", "JOB_CREATION_OPTIONAL", "JOB_CREATION_MODE_UNSPECIFIED")
	if n := o.integer("maxResults", math.MaxUint32); n != nil {
		limit := uint32(*n) //nolint:gosec // G115: at most math.MaxUint32, above
		q.MaxResults = &limit
	}
	q.TimeoutMs = o.integer("timeoutMs", math.MaxUint32)
	if f, ok := o.object("formatOptions"); ok {
		if b := f.boolean("useInt64Timestamp"); b != nil {
			q.Format.UseInt64Timestamp = *b
		}
		q.Format.TimestampOutputFormat = f.word("timestampOutputFormat", timestampFormats...)
		f.done()
	}
	o.done()
	op.Query = q
	return err
}

var timestampFormats = []string{"FLOAT64", "INT64", "ISO8601_STRING", "TIMESTAMP_OUTPUT_FORMAT_UNSPECIFIED"}

// outputOnly are the members of a Job that BigQuery alone writes.
var outputOnly = []string{"etag", "id", "jobCreationReason", "principal_subject", "selfLink", "statistics", "status", "user_email"}

func decodeJobsInsert(op *Operation, body []byte) error {
	var err error
	o := readBody(op.Method, body, &err)
	o.word("kind", "bigquery#job")
	for _, name := range outputOnly {
		if _, found := o.take(name); found {
			o.fail("%s is for BigQuery to write: leave it out", o.at(strconv.Quote(name)))
		}
	}
	if ref, ok := o.object("jobReference"); ok {
		if p := ref.text("projectId"); p != "" && p != op.Job.ProjectID {
			ref.fail("jobReference.projectId must be the project of the path")
		}
		op.Job.JobID = ref.pattern("jobId", jobID, "1 to 1024 letters, digits, '_' and '-'")
		op.Job.Location = CanonicalLocation(ref.pattern("location", location, "a location such as US or europe-west3"))
		ref.done()
	}
	c, found := o.object("configuration")
	if !found {
		o.fail("configuration is missing")
		return err
	}
	op.Query = decodeConfiguration(c, op)
	o.done()
	return err
}

func decodeConfiguration(c *object, op *Operation) *QueryRequest {
	q := &QueryRequest{}
	kinds := 0
	for _, kind := range []string{"query", "load", "copy", "extract"} {
		if value, has := c.members[kind]; has && value.Kind() != 'n' { // null is absent
			kinds++
		}
	}
	if kinds > 1 {
		c.fail("configuration must hold one of query, load, copy and extract")
	}
	c.refused("load", noWrites)
	c.refused("copy", noWrites)
	c.refused("extract", "exports leave the gateway's sight; run a SELECT with jobs.query or jobs.insert")
	c.word("jobType", "QUERY")
	decodeLabels(c, q)
	if d := c.boolean("dryRun"); d != nil {
		q.DryRun = *d
	}
	if n := c.integer("jobTimeoutMs", math.MaxInt64); n != nil {
		q.JobTimeoutMs = *n
	}
	c.refused("reservation", "the operator decides what pays for a query; leave it out")
	c.refused("maxSlots", "the operator decides what pays for a query; leave it out", `0`, `"0"`)
	c.refused("properties", "connection properties change what the query means; leave it out", `{}`)
	o, found := c.object("query")
	if !found {
		c.fail("configuration.query is missing")
		return q
	}
	decodeShared(o, op, q)
	q.Priority = o.word("priority", "INTERACTIVE", "BATCH")
	o.done()
	c.done()
	return q
}

// decodeShared reads what QueryRequest and JobConfigurationQuery have in common, and refuses by
// name what neither may hold.
func decodeShared(o *object, op *Operation, q *QueryRequest) {
	q.SQL = o.text("query")
	switch {
	case strings.TrimSpace(q.SQL) == "":
		o.fail("%s is missing: it holds the SQL", o.at("query"))
	case len(q.SQL) > MaxSQL:
		o.fail("%s is longer than %d bytes", o.at("query"), MaxSQL)
	case strings.ContainsRune(q.SQL, 0):
		o.fail("%s holds a NUL character", o.at("query"))
	case legacyPrefix.MatchString(q.SQL) && *o.err == nil:
		*o.err = refuse(o.method, "the query holds #legacySQL, and legacy SQL is not served: write GoogleSQL")
	}
	o.refused("useLegacySql", "write GoogleSQL and set it to false", `false`)
	q.UseQueryCache = o.boolean("useQueryCache")
	if n := o.integer("maximumBytesBilled", math.MaxInt64); n != nil {
		q.MaximumBytesBilled = coarse.Limit(*n)
	}
	if d, ok := o.object("defaultDataset"); ok {
		ref := &DatasetReference{ProjectID: d.text("projectId"),
			DatasetID: d.pattern("datasetId", datasetID, "1 to 1024 letters, digits and '_'")}
		if ref.ProjectID == "" {
			ref.ProjectID = op.Job.ProjectID
		}
		if err := checkProject(o.method, ref.ProjectID); err != nil && *o.err == nil {
			*o.err = err
		}
		if ref.DatasetID == "" {
			d.fail("%s is missing: a default dataset needs its name", d.at("datasetId"))
		}
		d.done()
		q.DefaultDataset = ref
	}
	decodeParameters(o, q)
	for _, f := range refusedFields {
		o.refused(f.name, f.why, f.harmless...)
	}
	for _, name := range legacyFields {
		o.boolean(name)
	}
}

func decodeLabels(o *object, q *QueryRequest) {
	labels, good := o.small("labels", maxLabels)
	if !good || len(labels.names) == 0 {
		return
	}
	q.Labels = map[string]string{}
	for _, key := range labels.names {
		value := labels.text(key)
		switch {
		case key == WaitLabel && (value == "no" || value == "yes"):
			q.NoWait = value == "no"
		case key == WaitLabel:
			labels.fail("label %s must be yes or no", WaitLabel)
		case strings.HasPrefix(strings.ToLower(key), LabelPrefix):
			if *o.err == nil {
				*o.err = refuse(o.method, "labels that begin with %q are the gateway's own: name it otherwise", LabelPrefix)
			}
		case !labelKey.MatchString(key) || !labelText.MatchString(value):
			labels.fail("label %q: keys and values are at most 63 lower case letters, digits, '_' and '-', and a key begins with a letter",
				shorten(key))
		default:
			q.Labels[key] = value
		}
	}
	if len(q.Labels) == 0 {
		q.Labels = nil
	}
}
