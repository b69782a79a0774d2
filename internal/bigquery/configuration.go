package bigquery

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Configured compares a job's whole configuration with that of a query as it was forwarded. Beside
// what was forwarded it may hold what BigQuery adds by itself; anything else, and every member that
// is not known, is an error, which names members and no values. A job that somebody made directly
// at BigQuery, with the gateway's label, job id and SQL, differs in one of them or is the same
// query. https://cloud.google.com/bigquery/docs/reference/rest/v2/Job#JobConfiguration
func (j Job) Configured(q QueryRequest, m Mutation) error {
	f := forwarded{job: j, body: configuredQuery(q, m), labels: maps.Clone(q.Labels)}
	if f.labels == nil {
		f.labels = map[string]string{}
	}
	f.labels[DecisionLabel] = strings.ToLower(m.Decision)
	maps.Copy(f.labels, m.Labels)
	if err := f.compare("configuration", j.Configuration, configurationMembers); err != nil {
		return err
	}
	var c struct {
		Query jsontext.Value `json:"query"`
	}
	if err := json.Unmarshal(j.Configuration, &c); err != nil {
		return errors.New("configuration cannot be read")
	}
	return f.compare("configuration.query", c.Query, queryMembers)
}

// forwarded is what a job's configuration is compared with.
type forwarded struct {
	job    Job
	body   jobQuery
	labels map[string]string
}

// memberRule says whether a member may have a value, which is nil where the member is absent.
type memberRule func(f forwarded, v jsontext.Value) bool

func (f forwarded) compare(path string, text jsontext.Value, rules map[string]memberRule) error {
	var members map[string]jsontext.Value
	if err := json.Unmarshal(text, &members); err != nil || members == nil {
		return fmt.Errorf("%s cannot be read", path)
	}
	for _, name := range slices.Sorted(maps.Keys(members)) {
		if rules[name] == nil {
			return fmt.Errorf("%s.%s is not known", path, shorten(name))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(rules)) {
		if !rules[name](f, members[name]) {
			return fmt.Errorf("%s.%s is not what was forwarded", path, name)
		}
	}
	return nil
}

// configurationMembers are the members of JobConfiguration.
var configurationMembers = map[string]memberRule{
	"jobType":      word("", "QUERY"),
	"query":        func(_ forwarded, v jsontext.Value) bool { return v != nil },
	"labels":       sameLabels,
	"dryRun":       nothing,
	"jobTimeoutMs": anything, // a project may set one for its jobs; it stops a job, and changes no row
	"copy":         nothing,
	"extract":      nothing,
	"load":         nothing,
	"maxSlots":     nothing,
	"reservation":  nothing,
}

// queryMembers are the members of JobConfigurationQuery.
var queryMembers = map[string]memberRule{
	"query":        func(f forwarded, v jsontext.Value) bool { return isText(v, f.body.Query) },
	"useLegacySql": func(_ forwarded, v jsontext.Value) bool { return string(v) == "false" }, // absent means true
	// False is forwarded. Where BigQuery does not repeat it, that no cache was used is read in the
	// statistics; where it does, a cached result all the same is BigQuery's own doing, and whether
	// it may be read is asked when the job is done (jobs.CachedResult).
	"useQueryCache": func(f forwarded, v jsontext.Value) bool {
		return compact(v) == "false" || nothing(f, v) && !f.job.CacheHit
	},
	"defaultDataset":     sameDataset,
	"parameterMode":      sameMode,
	"queryParameters":    sameParameters,
	"maximumBytesBilled": sameLimit,
	"priority":           samePriority,
	"destinationTable":   anonymousDestination,
	"createDisposition":  word("", "CREATE_IF_NEEDED"),
	"writeDisposition":   word("", "WRITE_EMPTY", "WRITE_TRUNCATE"), // BigQuery writes the second for an anonymous table
	// Where the rows are encrypted, and with which key, is set for a project, and changes none of
	// them.
	"destinationEncryptionConfiguration": anything,
	"flattenResults":                     anything, // of legacy SQL only, as the next two
	"preserveNulls":                      anything,
	"maximumBillingTier":                 anything,
	"systemVariables":                    sameVariables,
	"allowLargeResults":                  nothing,
	"clustering":                         nothing,
	"connectionProperties":               nothing,
	"continuous":                         nothing,
	"createSession":                      nothing,
	"rangePartitioning":                  nothing,
	"schemaUpdateOptions":                nothing,
	"scriptOptions":                      nothing,
	"secureContext":                      nothing,
	"tableDefinitions":                   nothing,
	"timePartitioning":                   nothing,
	"userDefinedFunctionResources":       nothing,
	"writeIncrementalResults":            nothing,
}

func anything(forwarded, jsontext.Value) bool { return true }

// nothing is an absent member, or a value that says as much.
func nothing(_ forwarded, v jsontext.Value) bool {
	return slices.Contains([]string{"", "null", "false", `""`, "0", `"0"`, "[]", "{}"}, compact(v))
}

func compact(v jsontext.Value) string {
	c := v.Clone()
	if len(c) == 0 || c.Compact() != nil {
		return string(v)
	}
	return string(c)
}

// word is a text out of a list, where "" is an absent one.
func word(allowed ...string) memberRule {
	return func(_ forwarded, v jsontext.Value) bool {
		return slices.ContainsFunc(allowed, func(w string) bool { return isText(v, w) })
	}
}

func isText(v jsontext.Value, want string) bool {
	if len(v) == 0 {
		return want == ""
	}
	return v.Kind() == '"' && unquote(v) == want
}

// isNumber takes an int64 as Google writes them: a string, or a number.
func isNumber(v jsontext.Value, want int64) bool {
	if len(v) == 0 {
		return want == 0
	}
	return strings.Trim(string(v), `"`) == strconv.FormatInt(want, 10)
}

// sameLimit takes any limit where none was forwarded: "If unspecified, this will be set to your
// project default." It stops a job, and changes no row.
// https://cloud.google.com/bigquery/docs/reference/rest/v2/Job#JobConfigurationQuery
func sameLimit(f forwarded, v jsontext.Value) bool {
	return f.body.MaximumBytesBilled == 0 || isNumber(v, f.body.MaximumBytesBilled)
}

// sameLabels takes the labels that were forwarded, and those that products of Google set, whose
// keys begin with "goog-". https://cloud.google.com/resource-manager/docs/labels-overview
func sameLabels(f forwarded, v jsontext.Value) bool {
	var got map[string]string
	if json.Unmarshal(v, &got) != nil {
		return false
	}
	maps.DeleteFunc(got, func(key, _ string) bool {
		_, ours := f.labels[key]
		return !ours && strings.HasPrefix(key, "goog-")
	})
	return maps.Equal(got, f.labels)
}

func sameDataset(f forwarded, v jsontext.Value) bool {
	want := f.body.DefaultDataset
	if want == nil {
		return nothing(f, v)
	}
	var got DatasetReference
	return json.Unmarshal(v, &got, json.RejectUnknownMembers(true)) == nil && got == *want
}

// sameMode takes an absent mode too: the parameters themselves say which it is.
func sameMode(f forwarded, v jsontext.Value) bool {
	if want := f.body.ParameterMode; want != "" {
		return len(v) == 0 || isText(v, want)
	}
	return word("", "NAMED", "POSITIONAL")(f, v)
}

func samePriority(f forwarded, v jsontext.Value) bool {
	if f.body.Priority == "BATCH" {
		return isText(v, "BATCH")
	}
	return word("", "INTERACTIVE")(f, v)
}

// sameParameters compares parameters by name, type and value, in their order. Of a type's two names
// BigQuery may give the other one.
func sameParameters(f forwarded, v jsontext.Value) bool {
	if nothing(f, jsontext.Value(f.body.QueryParameters)) { // null, where the query was kept as JSON
		return nothing(f, v)
	}
	want, err := canonicalParameters(jsontext.Value(f.body.QueryParameters))
	if err != nil {
		return false
	}
	got, err := canonicalParameters(v)
	return err == nil && bytes.Equal(got, want)
}

func canonicalParameters(v jsontext.Value) ([]byte, error) {
	text, err := oneValue(v)
	if err != nil {
		return nil, err
	}
	var problem error
	var q QueryRequest
	decodeParameters(&object{members: map[string]jsontext.Value{"queryParameters": text}, names: []string{"queryParameters"},
		err: &problem}, &q)
	if problem != nil {
		return nil, problem
	}
	var all []queryParameter
	if err := json.Unmarshal(q.Parameters, &all); err != nil {
		return nil, err
	}
	for i := range all {
		all[i].Type.canonical()
		all[i].Value.canonical()
		if v := all[i].Value; v != nil && reflect.ValueOf(*v).IsZero() { // a SQL NULL, written or left out
			all[i].Value = nil
		}
	}
	return compactJSON(all)
}

// canonical leaves out empty arrays, as BigQuery does: of a parameter that is an empty array it
// tells the name and the type.
func (v *parameterValue) canonical() {
	if v == nil {
		return
	}
	if v.ArrayValues != nil {
		for _, element := range *v.ArrayValues {
			element.canonical()
		}
		if len(*v.ArrayValues) == 0 {
			v.ArrayValues = nil
		}
	}
	for _, field := range v.StructValues {
		field.canonical()
	}
}

// typeNames gives a type the name that GoogleSQL has for it.
// https://cloud.google.com/bigquery/docs/reference/standard-sql/data-types
var typeNames = map[string]string{
	"INTEGER": "INT64", "INT": "INT64", "SMALLINT": "INT64", "BIGINT": "INT64", "TINYINT": "INT64", "BYTEINT": "INT64",
	"FLOAT": "FLOAT64", "BOOLEAN": "BOOL", "DECIMAL": "NUMERIC", "BIGDECIMAL": "BIGNUMERIC", "RECORD": "STRUCT",
}

func (t *parameterType) canonical() {
	if t == nil {
		return
	}
	t.Type = strings.ToUpper(t.Type)
	t.Type = first(typeNames[t.Type], t.Type)
	t.ArrayType.canonical()
	t.RangeElementType.canonical()
	for _, field := range t.StructTypes {
		field.Type.canonical()
	}
}

// BigQuery writes results to a table of the account's hidden dataset, and calls it "anon" and 40
// hexadecimal digits, "anon" and a UUID, or "anonev_" and a digest in base64url.
// https://cloud.google.com/bigquery/docs/cached-results#how_cached_results_are_stored
var (
	anonymousDataset = regexp.MustCompile(`^_[0-9a-f]{20,64}$`)
	anonymousTable   = regexp.MustCompile(`^anon(?:[0-9A-Fa-f_-]{8,}|ev_[0-9A-Za-z_-]{20,64})$`)
)

// anonymousDestination takes no other table: whoever names one may write to it as well.
func anonymousDestination(f forwarded, v jsontext.Value) bool {
	if nothing(f, v) {
		return true
	}
	var t TableID
	return json.Unmarshal(v, &t, json.RejectUnknownMembers(true)) == nil && t == f.job.DestinationTable &&
		t.Project == f.job.Reference.ProjectID && anonymousDataset.MatchString(t.Dataset) && anonymousTable.MatchString(t.Table)
}

// sameVariables takes the time zone that a project may set for its jobs, and what was forwarded as
// the default dataset: "A system variable is output if the variable is settable and its value
// differs from the system default." Others could lead names elsewhere.
// https://cloud.google.com/bigquery/docs/default-configuration
// https://cloud.google.com/bigquery/docs/reference/rest/v2/Job#SystemVariables
func sameVariables(f forwarded, v jsontext.Value) bool {
	if nothing(f, v) {
		return true
	}
	var s struct {
		Types  map[string]jsontext.Value `json:"types"`
		Values map[string]jsontext.Value `json:"values"`
	}
	if json.Unmarshal(v, &s, json.RejectUnknownMembers(true)) != nil {
		return false
	}
	rules := map[string]memberRule{"time_zone": anything}
	if d := f.body.DefaultDataset; d != nil {
		rules["dataset_id"], rules["dataset_project_id"] = word(d.DatasetID), word(d.ProjectID)
	}
	for name := range s.Types {
		if rules[name] == nil {
			return false
		}
	}
	for name, value := range s.Values {
		if rules[name] == nil || !rules[name](f, value) {
			return false
		}
	}
	return true
}
