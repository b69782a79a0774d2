package fakegoogle

import (
	"regexp"
	"slices"
	"time"

	"github.com/bqgate/bqgate/internal/bigquery"
)

// resource is the Job resource, with all that BigQuery tells: SQL, plan with literals, who ran it, where the rows are.
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
		{"principal_subject", "serviceAccount:" + j.account}, {"jobCreationReason", object{{"code", "REQUESTED"}}},
	}
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

// withDestination puts destinationTable into configuration.query, as BigQuery does once it is known.
func withDestination(config object, t bigquery.TableID) object {
	for i, m := range config {
		q, ok := m.value.(object)
		if m.key != "query" || !ok {
			continue
		}
		if q.get("destinationTable") == nil {
			q = append(slices.Clone(q), member{"destinationTable", tableReference(t)})
		}
		config[i].value = q
	}
	if config.get("jobType") == nil {
		config = append(config, member{"jobType", "QUERY"})
	}
	return config
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
