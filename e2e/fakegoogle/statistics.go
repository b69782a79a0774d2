package fakegoogle

import "encoding/json"

// queryStatistics are statistics.query of a finished job. The plan quotes literals and tables, as
// Google's does. A job that got its rows from the cache tells neither what was read nor how: so do
// recordings of such jobs.
func queryStatistics(res *result, hit bool, sql string) object {
	out := object{
		{"totalBytesProcessed", int64Text(res.processed(hit))}, {"totalBytesBilled", int64Text(res.cost(hit))}, {"cacheHit", hit},
		{"statementType", res.StatementType},
	}
	if hit {
		return out
	}
	out = append(out, member{"billingTier", json.Number("1")}, member{"totalSlotMs", "42"}, member{"transferredBytes", "0"})
	if len(res.Tables) > 0 {
		var usage []any
		for _, t := range res.Tables {
			usage = append(usage, object{
				{"tableReference", tableReference(t)}, {"tableType", "NATIVE"}, {"unusedReason", "OTHER_REASON"},
				{"explanation", "Table does not have CMETA."},
			})
		}
		out = append(out, member{"referencedTables", references(res.Tables)},
			member{"metadataCacheStatistics", object{{"tableMetadataCacheUsage", usage}}})
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
	substeps := []any{"$1:col"}
	for _, t := range res.Tables {
		substeps = append(substeps, "FROM "+t.Dataset+"."+t.Table)
	}
	for _, l := range literals(sql) {
		substeps = append(substeps, "WHERE equal($1, "+l+")")
	}
	return append(out,
		member{"queryPlan", []any{object{
			{"name", "S00: Output"}, {"id", "0"}, {"recordsRead", int64Text(res.total())}, {"recordsWritten", int64Text(res.total())},
			{"status", "COMPLETE"},
			{"steps", []any{object{{"kind", "READ"}, {"substeps", substeps}}}},
		}}},
		member{"timeline", []any{object{{"elapsedMs", "12"}, {"totalSlotMs", "42"}, {"pendingUnits", "0"}, {"completedUnits", "1"}}}},
	)
}
