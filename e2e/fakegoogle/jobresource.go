package fakegoogle

import (
	"encoding/json"
	"regexp"
	"slices"
	"time"

	"github.com/bqgate/bqgate/internal/bigquery"
)

// resource is the Job resource, with all that BigQuery tells: SQL, plan with literals, who ran it, where the rows are.
func (j *job) resource() object {
	state := j.state()
	res, hit, fail := j.outcome()
	j.mu.Lock()
	started, ended := j.started, j.ended
	j.mu.Unlock()
	stats := object{{"creationTime", millis(j.created)}}
	if state != "PENDING" {
		stats = append(stats, member{"startTime", millis(started)})
	}
	query := object{}
	config := slices.Clone(j.config)
	if state == "DONE" {
		stats = append(stats, member{"endTime", millis(ended)})
		if res != nil {
			stats = append(stats, member{"totalBytesProcessed", int64Text(res.processed(hit))}, member{"totalSlotMs", "42"})
			query = queryStatistics(res, hit, j.sql)
			config = withDestination(config, res.destination)
		}
	}
	stats = append(stats, member{"query", query})
	status := object{{"state", state}}
	if fail != nil && state == "DONE" {
		status = object{{"errorResult", fail.proto()}, {"errors", []any{fail.proto()}}, {"state", state}}
	}
	id := j.project + ":" + location + "." + j.id
	return object{
		{"kind", "bigquery#job"}, {"etag", quote(hexDigest(id + state)[:16])}, {"id", id},
		{"selfLink", "https://bigquery.googleapis.com/bigquery/v2/projects/" + j.project + "/jobs/" + j.id + "?location=" + location},
		{"user_email", j.account}, {"configuration", config}, {"jobReference", j.reference()}, {"statistics", stats}, {"status", status},
		{"principal_subject", "serviceAccount:" + j.account},
	}
}

func (r *result) processed(hit bool) int64 {
	if hit {
		return 0
	}
	return r.bytes
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

// queryStatistics are statistics.query. The plan quotes literals and tables, as Google's does.
func queryStatistics(res *result, hit bool, sql string) object {
	billed := res.billed
	if hit {
		billed = 0
	}
	substeps := []any{"$1:col"}
	for _, t := range res.Tables {
		substeps = append(substeps, "FROM "+t.Dataset+"."+t.Table)
	}
	for _, l := range literals(sql) {
		substeps = append(substeps, "WHERE equal($1, "+l+")")
	}
	out := object{
		{"totalBytesProcessed", int64Text(res.processed(hit))}, {"totalBytesBilled", int64Text(billed)}, {"cacheHit", hit},
		{"statementType", res.StatementType}, {"billingTier", json.Number("1")},
	}
	if len(res.Tables) > 0 {
		out = append(out, member{"referencedTables", references(res.Tables)})
	}
	if len(res.Views) > 0 {
		out = append(out, member{"referencedLogicalViews", references(res.Views)})
	}
	if len(res.Routines) > 0 {
		out = append(out, member{"referencedRoutines", routineReferences(res.Routines)})
	}
	if len(res.Targets) == 1 && res.StatementType != "SELECT" {
		out = append(out, member{"ddlTargetTable", tableReference(res.Targets[0])})
	}
	if res.Affected > 0 {
		out = append(out, member{"numDmlAffectedRows", int64Text(res.Affected)})
	}
	return append(out,
		member{"queryPlan", []any{object{
			{"name", "S00: Output"}, {"id", "0"}, {"recordsRead", int64Text(res.total())}, {"recordsWritten", int64Text(res.total())}, {"status", "COMPLETE"},
			{"steps", []any{object{{"kind", "READ"}, {"substeps", substeps}}}},
		}}},
		member{"timeline", []any{object{{"elapsedMs", "12"}, {"totalSlotMs", "42"}, {"pendingUnits", "0"}, {"completedUnits", "1"}}}},
	)
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
