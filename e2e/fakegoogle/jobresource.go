package fakegoogle

import (
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/bqgate/bqgate/internal/bigquery"
)

// resource is the Job resource, with all that BigQuery tells: SQL, plan with literals, who ran it,
// where the rows are.
func (j *job) resource() object {
	state := j.state()
	res, hit, fail := j.outcome()
	stats := j.times()
	query := object{}
	if j.body.statementType != "" {
		query = append(query, member{"statementType", j.body.statementType})
	}
	config := slices.Clone(j.config)
	if state == "DONE" {
		j.mu.Lock()
		took := j.ended.Sub(j.started)
		j.mu.Unlock()
		stats = append(stats, member{"finalExecutionDurationMs", int64Text(took.Milliseconds())})
		if res != nil {
			stats = append(stats, member{"totalBytesProcessed", int64Text(res.processed(hit))}, member{"totalSlotMs", "42"})
			query = j.directives.tell(queryStatistics(res, hit, j.sql))
			config = withDestination(config, res.destination)
		}
	}
	config = asTold(config)
	stats = append(stats, member{"query", query})
	status := object{{"state", state}}
	if fail != nil && state == "DONE" {
		status = object{{"errorResult", fail.proto()}, {"errors", []any{fail.proto()}}, {"state", state}}
	}
	id := j.project + ":" + j.location + "." + j.id
	return object{
		{"kind", "bigquery#job"}, {"etag", etag(id + state)}, {"id", id},
		{"selfLink", "https://bigquery.googleapis.com/bigquery/v2/projects/" + j.project + "/jobs/" + j.id + "?location=" + j.location},
		{"user_email", j.account}, {"configuration", config}, {"jobReference", j.reference()}, {"statistics", stats}, {"status", status},
		{"principal_subject", principalSubject(j.account)}, {"jobCreationReason", object{{"code", "REQUESTED"}}},
	}
}

// principalSubject is a Job's principal_subject, "populated for both first- and third-party
// identities".
func principalSubject(account string) string {
	if strings.HasPrefix(account, principalPrefix) {
		return account
	}
	return "serviceAccount:" + account
}

func (r *result) processed(hit bool) int64 {
	if hit {
		return 0
	}
	return r.bytes
}

// cost is what is billed.
func (r *result) cost(hit bool) int64 {
	if hit {
		return 0
	}
	return r.billed
}

// withDestination puts destinationTable into configuration.query, as BigQuery does once it is
// known.
func withDestination(config object, t bigquery.TableID) object {
	q, ok := config.get("query").(object)
	if !ok {
		return config
	}
	return config.with("query", q.orWith("destinationTable", tableReference(t)))
}

// asTold is a job's configuration as BigQuery tells it: with members that the client left out
// ("priority": "INTERACTIVE", "writeDisposition": "WRITE_TRUNCATE" stand in all recordings, older
// ones have createDisposition too), and without empty arrays, so that of a parameter which is one
// nothing but its name and type is left.
func asTold(config object) object {
	q, ok := config.get("query").(object)
	if !ok {
		return config
	}
	q = q.orWith("writeDisposition", "WRITE_TRUNCATE").orWith("priority", "INTERACTIVE").orWith("createDisposition", "CREATE_IF_NEEDED")
	if parameters, ok := q.get("queryParameters").([]any); ok {
		all := make([]any, len(parameters))
		for i, p := range parameters {
			all[i] = p
			if parameter, ok := withoutEmptyArrays(p).(object); ok {
				if value, ok := parameter.get("parameterValue").(object); ok && len(value) == 0 {
					parameter = slices.DeleteFunc(parameter, func(m member) bool { return m.key == "parameterValue" })
				}
				all[i] = parameter
			}
		}
		q = q.with("queryParameters", all)
	}
	return config.with("query", q).orWith("jobType", "QUERY")
}

// withoutEmptyArrays leaves out the members that are empty arrays, deep down.
func withoutEmptyArrays(v any) any {
	switch x := v.(type) {
	case object:
		var out object
		for _, m := range x {
			if list, ok := m.value.([]any); !ok || len(list) > 0 {
				out = append(out, member{m.key, withoutEmptyArrays(m.value)})
			}
		}
		return out
	case []any:
		out := make([]any, len(x))
		for i, e := range x {
			out[i] = withoutEmptyArrays(e)
		}
		return out
	}
	return v
}

// with sets a member, in its place or at the end, in a copy.
func (o object) with(key string, value any) object {
	out := slices.Clone(o)
	for i, m := range out {
		if m.key == key {
			out[i].value = value
			return out
		}
	}
	return append(out, member{key, value})
}

// orWith sets a member that is not there, in a copy.
func (o object) orWith(key string, value any) object {
	if o.get(key) != nil {
		return o
	}
	return o.with(key, value)
}

var stringLiteral = regexp.MustCompile(`'[^'\n]*'|"[^"\n]*"`)

func literals(sql string) []string { return stringLiteral.FindAllString(sql, 20) }

func references(ids []bigquery.TableID) []any {
	out := make([]any, len(ids))
	for i, t := range ids {
		out[i] = tableReference(t)
	}
	return out
}

func tableReference(t bigquery.TableID) object {
	return object{{"projectId", t.Project}, {"datasetId", t.Dataset}, {"tableId", t.Table}}
}

func tableText(t bigquery.TableID) string { return t.Project + ":" + t.Dataset + "." + t.Table }

func millis(t time.Time) string { return int64Text(t.UnixMilli()) }
