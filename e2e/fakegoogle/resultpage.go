package fakegoogle

// resultPage is what jobs.query and jobs.getQueryResults both tell of a finished job: one page of
// its rows.
func (s *Server) resultPage(j *job, res *result, hit bool, start int64, maxResults *uint32, format timestampFormat) object {
	out := object{{"schema", schemaJSON(res.Schema)}, {"jobReference", j.reference()}}
	end := object{{"totalBytesProcessed", int64Text(res.processed(hit))}, {"jobComplete", true}, {"cacheHit", hit}}
	if res.StatementType != "SELECT" && res.StatementType != "SCRIPT" {
		if res.Affected > 0 {
			out = append(out, member{"numDmlAffectedRows", int64Text(res.Affected)})
		}
		return append(out, end...)
	}
	p := res.window(start, maxResults, format)
	out = append(out, member{"totalRows", int64Text(res.total())})
	if p.end < res.total() {
		out = append(out, member{"pageToken", s.pageToken(jobKey(j.project, j.id), p.end)})
	}
	if p.end > p.start {
		out = append(out, member{"rows", p})
	}
	return append(out, end...)
}

// times are when a job was made, began and ended, as far as it has.
func (j *job) times() object {
	state := j.state()
	j.mu.Lock()
	defer j.mu.Unlock()
	out := object{{"creationTime", millis(j.created)}}
	if state != "PENDING" {
		out = append(out, member{"startTime", millis(j.started)})
	}
	if state == "DONE" {
		out = append(out, member{"endTime", millis(j.ended)})
	}
	return out
}
