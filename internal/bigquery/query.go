package bigquery

import (
	"math"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Query parameters that are decoded, by method. Those of commonParameters go with every method.
var (
	commonParameters = []string{"alt", "fields", "prettyPrint"}
	methodParameters = map[Method][]string{
		MethodQuery:  {},
		MethodInsert: {},
		MethodGetQueryResults: {
			"formatOptions.timestampOutputFormat", "formatOptions.useInt64Timestamp", "location", "maxResults", "pageToken", "startIndex",
			"timeoutMs",
		},
		MethodGetJob: {"location", "projection"},
		MethodCancel: {"location", "projection"}, // Python's cancel_job always sends projection=full
		MethodListJobs: {"allUsers", "maxCreationTime", "maxResults", "minCreationTime", "pageToken", "parentJobId", "projection",
			"stateFilter"},
		MethodListTableData: {
			"formatOptions.timestampOutputFormat", "formatOptions.useInt64Timestamp", "maxResults", "pageToken", "selectedFields",
			"startIndex",
		},
		MethodListProjects: {"maxResults", "pageToken"},
		MethodListDatasets: {"all", "filter", "maxResults", "pageToken"},
		MethodGetDataset:   {"accessPolicyVersion", "datasetView"},
		MethodListTables:   {"maxResults", "pageToken"},
		MethodGetTable:     {"selectedFields", "view"},
		MethodDiscovery:    {"version"},
	}
	// Parameters that Google's front end understands for every method, and why they are refused.
	refusedParameters = map[string]string{
		"access_token":    "credentials go into the Authorization header",
		"oauth_token":     "credentials go into the Authorization header",
		"key":             "API keys are not served",
		"callback":        "JSONP is not served",
		"quotaUser":       "the quota is the gateway's own",
		"userIp":          "the quota is the gateway's own",
		"uploadType":      "uploads are not served",
		"upload_protocol": "uploads are not served",
	}
	// A page token is the gateway's own, sealed.
	pageToken = pattern{regexp.MustCompile(`^[A-Za-z0-9._~+/=:-]+$`), MaxPageToken}
)

// MaxPageToken bounds a page token that a client is given, in bytes.
const MaxPageToken = 8 << 10

// maxQuery bounds the query of a request; Google's own limit for a whole URL is 2 KiB without
// method override, and the gateway's page tokens are longer than Google's.
const maxQuery = 16 << 10

// decodeQuery reads the query parameters into the operation. Names are taken literally: an escaped
// one is an unknown one, here as in the proxy that removes parameters by name.
func decodeQuery(op *Operation, raw string) error {
	m := op.Method
	values, err := splitQuery(m, raw)
	if err != nil {
		return err
	}
	allowed := slices.Concat(commonParameters, methodParameters[m])
	for _, name := range sortedKeys(values) {
		if why, known := refusedParameters[name]; known {
			return refuse(m, "query parameter %q is not served: %s", name, why)
		}
		if strings.HasPrefix(name, "$") {
			return refuse(m, "query parameter %q is not served: system parameters change the answer's form", shorten(name))
		}
		if !slices.Contains(allowed, name) {
			slices.Sort(allowed)
			return malformed(m, "query parameter %q is not one of %s: %s", shorten(name), m, strings.Join(allowed, ", "))
		}
	}
	p := parameters{method: m, values: values}
	if alt := p.text("alt"); alt != "" && alt != "json" {
		p.err = refuse(m, "query parameter alt=%s is not served: only JSON can be masked", shorten(alt))
	}
	op.Pretty = true
	if b := p.boolean("prettyPrint"); b != nil {
		op.Pretty = *b
	}
	if fields, err := ParseFieldMask(p.text("fields")); err != nil {
		p.fail("query parameter fields: %s", err)
	} else {
		op.Fields = fields
	}
	if loc := p.text("location"); loc != "" && loc != "None" { // the Python client writes its None out
		if !location.MatchString(loc) {
			p.fail("query parameter location must be a location such as US or europe-west3")
		}
		loc = CanonicalLocation(loc)
		if named := op.Job.Location; named != "" && named != loc {
			p.fail("query parameter location is %s, and the job id in the path names %s", shorten(loc), named)
		}
		op.Job.Location = loc
	}
	switch m {
	case MethodGetQueryResults, MethodGetJob, MethodCancel, MethodListTableData:
		op.Read = decodeRead(&p)
	case MethodListJobs:
		op.List = decodeList(&p)
	case MethodListProjects, MethodListDatasets, MethodGetDataset, MethodListTables, MethodGetTable:
		op.Metadata = decodeMetadata(&p)
	case MethodDiscovery:
		p.word("version", "v2")
		op.Metadata = &MetadataRequest{}
	}
	return p.problem()
}

// decodeList reads jobs.list. Jobs of others are not listed, and there are no child jobs.
func decodeList(p *parameters) *JobsRequest {
	l := &JobsRequest{PageToken: p.token(), MaxResults: p.limit()}
	p.only("allUsers", "false", "only your own jobs are listed; leave it out")
	p.refused("parentJobId", "scripts are not served, so there are no child jobs; leave it out")
	p.word("projection", "full", "minimal")
	for _, state := range strings.FieldsFunc(p.text(repeated), func(r rune) bool { return r == ',' }) {
		if state != "done" && state != "pending" && state != "running" {
			p.fail("query parameter %s must be one of done, pending, running", repeated)
		}
		l.States = append(l.States, strings.ToUpper(state))
	}
	instant := func(name string) *int64 {
		n := p.number(name, math.MaxInt64)
		if n == nil {
			return nil
		}
		ms := int64(*n) //nolint:gosec // G115: at most math.MaxInt64, above
		return &ms
	}
	l.After, l.Before = instant("minCreationTime"), instant("maxCreationTime")
	return l
}

// decodeMetadata reads the parameters of methods that the gateway answers itself. Views of more
// than it shows are taken and make no difference.
func decodeMetadata(p *parameters) *MetadataRequest {
	r := &MetadataRequest{PageToken: p.token(), MaxResults: p.limit()}
	p.only("all", "false", "hidden datasets hold results of others; leave it out")
	p.refused("filter", "labels are not shown, so they cannot be filtered by; leave it out")
	p.refused("selectedFields", "the schema is shown whole; leave it out, or use fields")
	p.word("datasetView", "DATASET_VIEW_UNSPECIFIED", "METADATA", "ACL", "FULL")
	p.word("view", "TABLE_METADATA_VIEW_UNSPECIFIED", "BASIC", "STORAGE_STATS", "FULL")
	p.number("accessPolicyVersion", 3)
	return r
}

func decodeRead(p *parameters) *ReadRequest {
	r := &ReadRequest{PageToken: p.token(), Projection: p.word("projection", "full", "minimal"), MaxResults: p.limit()}
	p.refused("selectedFields", "the columns of a result are those of its query; leave it out")
	r.StartIndex = p.number("startIndex", math.MaxInt64)
	if n := p.number("timeoutMs", math.MaxUint32); n != nil {
		wait := int64(*n) //nolint:gosec // G115: at most math.MaxUint32, above
		r.TimeoutMs = &wait
	}
	if b := p.boolean("formatOptions.useInt64Timestamp"); b != nil {
		r.Format.UseInt64Timestamp = *b
	}
	f := p.text("formatOptions.timestampOutputFormat")
	switch {
	case strings.HasSuffix(f, "_UNSPECIFIED") && slices.Contains(timestampFormats, f), f == "":
	case slices.Contains(timestampFormats, f):
		r.Format.TimestampOutputFormat = f
	default:
		p.fail("query parameter formatOptions.timestampOutputFormat must be FLOAT64, INT64 or ISO8601_STRING")
	}
	return r
}

// repeated is the one parameter that discovery lets be sent more than once, as Java's client does.
const repeated = "stateFilter"

// splitQuery takes a query apart: each name once, values unescaped; those of a repeated one with
// commas between them.
func splitQuery(m Method, raw string) (map[string]string, error) {
	values := map[string]string{}
	if raw == "" {
		return values, nil
	}
	if len(raw) > maxQuery {
		return nil, malformed(m, "the query of the URL is longer than %d bytes", maxQuery)
	}
	if strings.ContainsAny(raw, ";#") {
		return nil, malformed(m, "the query of the URL holds ';' or '#': separate parameters with '&'")
	}
	for part := range strings.SplitSeq(raw, "&") {
		name, escaped, _ := strings.Cut(part, "=")
		if name == "" {
			return nil, malformed(m, "the query of the URL holds a parameter without a name")
		}
		if rest, system := strings.CutPrefix(name, "%24"); system { // libraries escape it; it is refused by its name
			name = "$" + rest
		}
		before, twice := values[name]
		if twice && name != repeated {
			return nil, malformed(m, "query parameter %q appears twice: send it once", shorten(name))
		}
		value, err := url.QueryUnescape(escaped)
		if err != nil || !utf8.ValidString(value) || strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			return nil, malformed(m, "query parameter %q is not properly escaped", shorten(name))
		}
		if twice {
			value = before + "," + value
		}
		values[name] = value
	}
	return values, nil
}

// parameters gives the values of a query, the first error sticking.
type parameters struct {
	method Method
	values map[string]string
	err    *RequestError
}

func (p *parameters) fail(format string, args ...any) {
	if p.err == nil {
		p.err = malformed(p.method, format, args...)
	}
}

func (p *parameters) problem() error {
	if p.err == nil {
		return nil
	}
	return p.err
}

func (p *parameters) text(name string) string { return p.values[name] }

// token is pageToken.
func (p *parameters) token() string {
	token := p.text("pageToken")
	if token != "" && !pageToken.MatchString(token) {
		p.fail("query parameter pageToken is not one that BigQuery gave")
	}
	return token
}

// limit is maxResults.
func (p *parameters) limit() *uint32 {
	n := p.number("maxResults", math.MaxUint32)
	if n == nil {
		return nil
	}
	limit := uint32(*n) //nolint:gosec // G115: at most math.MaxUint32, above
	return &limit
}

// word is a value out of a list; absent and empty are "".
func (p *parameters) word(name string, allowed ...string) string {
	value := p.text(name)
	if value != "" && !slices.Contains(allowed, value) {
		p.fail("query parameter %s must be one of %s", name, strings.Join(allowed, ", "))
		return ""
	}
	return value
}

// refused is a parameter that is understood and not served.
func (p *parameters) refused(name, why string) {
	if p.text(name) != "" && p.err == nil {
		p.err = refuse(p.method, "query parameter %s is not served: %s", name, why)
	}
}

// only takes a boolean that may have one value.
func (p *parameters) only(name, harmless, why string) {
	if b := p.boolean(name); b != nil && strconv.FormatBool(*b) != harmless && p.err == nil {
		p.err = refuse(p.method, "query parameter %s is not served: %s", name, why)
	}
}

func (p *parameters) boolean(name string) *bool {
	value, found := p.values[name]
	if !found {
		return nil
	}
	switch value {
	case "true", "True", "false", "False": // Python writes its own spelling
		b := value[0] == 't' || value[0] == 'T'
		return &b
	default:
		p.fail("query parameter %s must be true or false", name)
		return nil
	}
}

func (p *parameters) number(name string, high uint64) *uint64 {
	value, found := p.values[name]
	if !found {
		return nil
	}
	n, err := strconv.ParseUint(value, 10, 64)
	if err != nil || n > high || !wholeNumber.MatchString(value) {
		p.fail("query parameter %s must be a whole number between 0 and %d", name, high)
		return nil
	}
	return &n
}

// ForwardQuery is the whole query of the forwarded request: what the operation says, never
// `fields`, and always JSON in its compact form.
func ForwardQuery(op Operation) url.Values {
	q := url.Values{"alt": {"json"}, "prettyPrint": {"false"}}
	set := func(name, value string) {
		if value != "" {
			q.Set(name, value)
		}
	}
	if op.Read == nil {
		return q
	}
	r := op.Read
	if op.Method != MethodListTableData {
		set("location", op.Job.Location)
	}
	if op.Method != MethodGetQueryResults && op.Method != MethodListTableData {
		return q
	}
	set("pageToken", r.PageToken)
	if r.MaxResults != nil {
		set("maxResults", strconv.FormatUint(uint64(*r.MaxResults), 10))
	}
	if r.StartIndex != nil {
		set("startIndex", strconv.FormatUint(*r.StartIndex, 10))
	}
	if r.TimeoutMs != nil {
		set("timeoutMs", strconv.FormatInt(*r.TimeoutMs, 10))
	}
	if r.Format.UseInt64Timestamp {
		set("formatOptions.useInt64Timestamp", "true")
	}
	set("formatOptions.timestampOutputFormat", r.Format.TimestampOutputFormat)
	return q
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
