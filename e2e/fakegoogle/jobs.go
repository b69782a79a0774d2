package fakegoogle

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/bqgate/bqgate/internal/bigquery"
)

// job is one query job. Its life is PENDING, RUNNING, DONE.
type job struct {
	project, id string
	location    string // where it runs
	account     string
	body        queryBody
	sql         string // with parameters bound and the directive comments in it
	config      object // configuration as the client sent it
	directives  directives
	delay       time.Duration
	created     time.Time
	cancelled   chan struct{}
	stop        sync.Once
	done        chan struct{}
	cancel      context.CancelFunc

	mu             sync.Mutex
	started, ended time.Time
	res            *result
	fail           *apiError
	cacheHit       bool
}

func jobKey(project, id string) string { return project + "\x00" + id }

var idPattern = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

// validID tells whether a text can be a job id or a dataset id.
func validID(id string) bool { return len(id) <= 1024 && idPattern.MatchString(id) }

func newJobID() string { return "job_" + rand.Text() }

// newJob registers a job and starts it. A job id is good once, whoever used it.
func (s *Server) newJob(account, project, id string, body queryBody, sql string, config object, d directives) (*job, *apiError) {
	if !validID(id) {
		return nil, errInvalid(fmt.Sprintf("Invalid job ID %q: Job IDs must be alphanumeric (plus underscores and dashes) and must be at "+
			"most 1024 characters long.", id))
	}
	delay := d.delay
	if delay < 0 {
		delay = time.Duration(s.delay.Load())
	}
	ctx, cancel := context.WithCancel(context.Background())
	j := &job{
		project: project, id: id, location: s.Location(), account: account, body: body, sql: sql, config: config, directives: d,
		delay: delay, created: time.Now(),
		cancelled: make(chan struct{}), done: make(chan struct{}), cancel: cancel,
	}
	s.mu.Lock()
	if _, taken := s.jobs[jobKey(project, id)]; taken {
		s.mu.Unlock()
		cancel()
		return nil, &apiError{Code: 409, Reason: "duplicate",
			Message: fmt.Sprintf("Already Exists: Job %s:%s.%s", project, s.Location(), id)}
	}
	s.jobs[jobKey(project, id)] = j
	s.started = append(s.started, j)
	s.mu.Unlock()
	go s.work(ctx, j)
	return j, nil
}

// work takes a job through its life.
func (s *Server) work(ctx context.Context, j *job) {
	defer j.cancel()
	defer close(j.done)
	finish := func(res *result, hit bool, err error) {
		j.mu.Lock()
		defer j.mu.Unlock()
		j.ended = time.Now()
		if j.started.IsZero() {
			j.started = j.ended
		}
		select {
		case <-j.cancelled:
			j.fail = &apiError{Code: 400, Reason: "stopped", Message: "Job execution was cancelled: User requested cancellation"}
			return
		default:
		}
		if err != nil {
			j.fail = queryFailure(err)
			return
		}
		j.res, j.cacheHit = res, hit
	}
	if !j.sleep(j.delay / 2) {
		finish(nil, false, nil)
		return
	}
	j.mu.Lock()
	j.started = time.Now()
	j.mu.Unlock()
	if !j.sleep(j.delay - j.delay/2) {
		finish(nil, false, nil)
		return
	}
	finish(s.execute(ctx, j))
}

// sleep waits, unless the job is cancelled meanwhile.
func (j *job) sleep(d time.Duration) bool {
	if d <= 0 {
		select {
		case <-j.cancelled:
			return false
		default:
			return true
		}
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-j.cancelled:
		return false
	}
}

func (j *job) stopNow() {
	j.stop.Do(func() {
		close(j.cancelled)
		j.cancel()
	})
}

// wait waits until the job is done, the time is over, or the client has gone.
func (j *job) wait(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-j.done:
		return true
	case <-t.C:
	case <-ctx.Done():
	}
	select {
	case <-j.done:
		return true
	default:
		return false
	}
}

func (j *job) state() string {
	select {
	case <-j.done:
		return "DONE"
	default:
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.started.IsZero() {
		return "PENDING"
	}
	return "RUNNING"
}

func (j *job) reference() object {
	return object{{"projectId", j.project}, {"jobId", j.id}, {"location", j.location}}
}

// outcome is the result or the failure of a job that is done.
func (j *job) outcome() (*result, bool, *apiError) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.res, j.cacheHit, j.fail
}

// execute is the run itself: permission, cost, cache, engine.
func (s *Server) execute(ctx context.Context, j *job) (*result, bool, error) {
	may := s.account(j.account)
	st := j.body.statement(j.project, j.sql)
	st.User, st.Filters = j.account, s.rowFilters(j.account)
	cost, dryErr := s.estimate(ctx, st)
	if dryErr != nil {
		// INFORMATION_SCHEMA is beyond the analysis but not beyond the engine.
		if f := queryFailure(dryErr); f.Reason != "invalidQuery" {
			return nil, false, f
		}
		cost = estimate{Result: &Result{}}
	}
	if !may.ReadRows && (dryErr != nil || len(cost.Tables) > 0 || cost.StatementType != "SELECT") {
		name := "the tables of the query"
		if len(cost.Tables) > 0 {
			name = tableText(cost.Tables[0])
		}
		return nil, false, errDenied(fmt.Sprintf("Access Denied: Table %s: User does not have permission to query table %s, or perhaps "+
			"it does not exist.", name, name))
	}
	if limit := int64(j.body.MaximumBytesBilled); limit > 0 && cost.billed > limit {
		return nil, false, &apiError{Code: 400, Reason: "bytesBilledLimitExceeded",
			Message: fmt.Sprintf("Query exceeded limit for bytes billed: %d. %d or higher required.", limit, cost.billed)}
	}
	version := s.version.Load()
	key := strings.Join([]string{j.account, st.Project, st.Dataset, st.SQL, int64Text(version)}, "\x00")
	useCache := (j.body.UseQueryCache == nil || *j.body.UseQueryCache || s.cacheAlways.Load()) && j.body.DestinationTable == nil &&
		cost.StatementType == "SELECT" &&
		!cost.Metadata // "INFORMATION_SCHEMA queries are not cached" (information-schema-intro)
	if useCache {
		s.mu.Lock()
		hit := s.cache[key]
		s.mu.Unlock()
		if hit != nil {
			return hit, true, nil
		}
	}
	ran, err := s.engine.Run(ctx, st)
	if err != nil {
		return nil, false, err
	}
	if ran.StatementType != "SELECT" {
		s.version.Add(1)
	}
	j.directives.reshape(ran)
	if reason := j.directives.fail; reason != "" {
		return nil, false, &apiError{Code: reasonCodes[reason], Reason: reason, Message: "The job failed at " + textsOf(ran.Rows)}
	}
	if len(cost.Tables) > 0 {
		ran.Tables, ran.Views = cost.Tables, cost.Views
	}
	res := &result{Result: ran, rows: ran.Rows, account: j.account, directives: j.directives, created: time.Now(), bytes: cost.processed,
		billed: cost.billed}
	if d := j.body.DestinationTable; d != nil {
		if err := s.writeDestination(ctx, st, j.body); err != nil {
			return nil, false, err
		}
		res.destination = bigquery.TableID{Project: d.project(j.project), Dataset: d.DatasetID, Table: d.TableID}
		return res, false, nil
	}
	res.destination = anonymousTable(j.project, j.account)
	s.mu.Lock()
	s.anon[res.destination.String()] = res
	if useCache {
		s.cache[key] = res
	}
	s.mu.Unlock()
	return res, false, nil
}

// anonymousTable is where BigQuery puts a result: a hidden dataset of the account, a table of its
// own. Its name is "anon" and 40 hexadecimal digits, "anon" and a UUID with underscores, or
// "anonev_" and a digest of letters, digits and _, of which all have been seen
// (https://google.github.io/adk-docs/tools/google-cloud/bigquery/; a recorded job of
// kestra-io/kestra has the third).
func anonymousTable(project, account string) bigquery.TableID {
	name := hexDigest(rand.Text())
	form := name[:40]
	switch name[40] % 3 {
	case 0:
		form = strings.Join([]string{name[:8], name[8:12], name[12:16], name[16:20], name[20:32]}, "_")
	case 1:
		sum := sha256.Sum256([]byte(name))
		form = "ev_" + strings.ReplaceAll(base64.RawURLEncoding.EncodeToString(sum[:]), "-", "_")
	}
	return bigquery.TableID{Project: project, Dataset: "_" + hexDigest(account)[:40], Table: "anon" + form}
}

// writeDestination copies a query's rows into the table that the job names, as BigQuery does.
func (s *Server) writeDestination(ctx context.Context, st Statement, b queryBody) error {
	d := b.DestinationTable
	target := fmt.Sprintf("`%s`.`%s`.`%s`", d.project(st.Project), d.DatasetID, d.TableID)
	switch b.WriteDisposition {
	case "WRITE_TRUNCATE":
		st.SQL = "CREATE OR REPLACE TABLE " + target + " AS " + st.SQL
	case "WRITE_APPEND":
		st.SQL = "INSERT INTO " + target + " " + st.SQL
	default:
		st.SQL = "CREATE TABLE " + target + " AS " + st.SQL
	}
	_, err := s.engine.Run(ctx, st)
	s.version.Add(1)
	return err
}

// PlantedJob is a job that exists although nobody inserted it through this process: one "from
// another life" of the gateway, or another tool's. Only Account, JobID and SQL are needed.
type PlantedJob struct {
	Account   string            `json:"account"`
	Project   string            `json:"project"` // default Options.Project
	JobID     string            `json:"job_id"`
	SQL       string            `json:"sql"`
	RequestID string            `json:"request_id"` // jobs.query with this requestId gets this job
	Labels    map[string]string `json:"labels"`
}

// PlantJob runs a query under a job id of the caller's choice and waits until it is done.
func (s *Server) PlantJob(ctx context.Context, p PlantedJob) error {
	project := p.Project
	if project == "" {
		project = s.opts.Project
	}
	d, err := parseDirectives(p.SQL)
	if err != nil {
		return err
	}
	no := false
	labels := map[string]any{}
	for k, v := range p.Labels {
		labels[k] = v
	}
	config := object{{"labels", fromJSON(labels)}, {"query", object{{"query", p.SQL}, {"useLegacySql", false}}}}
	j, apiErr := s.newJob(p.Account, project, p.JobID, queryBody{Query: p.SQL, UseLegacySQL: &no, Labels: p.Labels}, p.SQL, config, d)
	if apiErr != nil {
		return apiErr
	}
	if p.RequestID != "" {
		s.mu.Lock()
		s.requests[plantedKey(p.Account, p.RequestID)] = requested{job: j, at: time.Now()}
		s.mu.Unlock()
	}
	select {
	case <-j.done:
	case <-ctx.Done():
		return ctx.Err()
	}
	if _, _, fail := j.outcome(); fail != nil {
		return fail
	}
	return nil
}

// findJob looks a job up for a caller who may know of it.
func (s *Server) findJob(c *call, project, id string) (*job, *apiError) {
	s.mu.Lock()
	j := s.jobs[jobKey(project, id)]
	s.mu.Unlock()
	if j == nil || !j.isIn(c.query.Get("location")) {
		return nil, errNotFound(fmt.Sprintf("Not found: Job %s:%s", project, id))
	}
	if j.account != c.account && !c.may.Metadata {
		return nil, errDenied(fmt.Sprintf("Access Denied: Job %s:%s.%s: Permission bigquery.jobs.get denied on job %s:%s.%s (or it may "+
			"not exist).", project, j.location, id, project, j.location, id))
	}
	return j, nil
}
