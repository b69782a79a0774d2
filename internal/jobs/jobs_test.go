package jobs_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/durable/durabletest"
	"github.com/bqgate/bqgate/internal/jobs"
	"github.com/bqgate/bqgate/internal/masking"
	"github.com/bqgate/bqgate/internal/redistest"
	"github.com/bqgate/bqgate/internal/sealedtest"
)

// world is a store on a real Redis, and the Redis itself for those who attack it.
type world struct {
	*jobs.Store
	redis *redis.Client
}

func newWorld(t *testing.T) world {
	t.Helper()
	keys := sealedtest.Keyring(t, 7)
	client := redis.NewClient(&redis.Options{Addr: redistest.Start(t)})
	t.Cleanup(func() { client.Close() })
	return world{jobs.NewStore(client, keys), client}
}

const sql = "SELECT ssn FROM crm.customers"

const account = "run@demo.iam.gserviceaccount.com"

// label is what the job of record carries.
const label = "d-01abc-0123456789abcdef0123456789abcdef"

// record is what is known of a query that one owner was let run; changes alter it.
func record(changes ...func(*jobs.Record)) jobs.Record {
	r := jobs.Record{
		Job: bigquery.JobReference{ProjectID: "demo", JobID: "job-one-of-alice", Location: "US"}, Owner: "alice", Decision: "d-01ABC",
		Query: bigquery.QueryRequest{SQL: sql}, SQLDigest: jobs.Digest(sql), Tables: []string{"demo.crm.customers"},
		RowAccess: map[string]bigquery.RowAccess{"demo.crm.customers": bigquery.RowAccessNone},
		Mutation:  bigquery.Mutation{Decision: label}, Credential: "run", Principal: account,
		Plan:    masking.Plan{Sensitive: true, Columns: []masking.Column{{Name: "ssn", Type: "STRING", Mask: masking.LastFourCharacters}}},
		Created: time.Now().UTC(),
	}
	for _, change := range changes {
		change(&r)
	}
	return r
}

// job is the job that BigQuery shows for record: done, and having read its table.
func job(changes ...func(*bigquery.Job)) bigquery.Job {
	j := bigquery.Job{
		Reference: bigquery.JobReference{ProjectID: "demo", JobID: "job-one-of-alice", Location: "US"},
		Labels:    map[string]string{jobs.Label: label}, SQL: sql, State: "DONE", StatementType: "SELECT", UserEmail: account,
		Configuration: []byte(`{"jobType":"QUERY","labels":{"bqgate_decision":"` + label + `"},"query":{"query":"` + sql +
			`","useLegacySql":false}}`),
		ReferencedTables: []bigquery.TableID{{Project: "demo", Dataset: "crm", Table: "customers"}},
	}
	for _, change := range changes {
		change(&j)
	}
	return j
}

func TestARecordIsWrittenOnceAndReadByItsOwnerAlone(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	r := record()
	if err := w.Create(ctx, r); err != nil {
		t.Fatal(err)
	}
	got, v, err := w.Get(ctx, "alice", "demo", "job-one-of-alice")
	if err != nil || v != nil || got.SQLDigest != r.SQLDigest || len(got.Plan.Columns) != 1 {
		t.Fatalf("got %+v, verification %v, %v", got, v, err)
	}
	second := record(func(r *jobs.Record) { r.Plan = masking.Plan{}; r.Decision = "d-02" })
	if err := w.Create(ctx, second); !errors.Is(err, jobs.ErrExists) {
		t.Errorf("a second record under the same id: %v, want ErrExists", err)
	}
	if got, _, _ := w.Get(ctx, "alice", "demo", "job-one-of-alice"); !got.Plan.Sensitive {
		t.Error("the second record's plan replaced the first one's")
	}
	for _, who := range [][3]string{{"bob", "demo", "job-one-of-alice"}, {"alice", "other", "job-one-of-alice"}, {"alice", "demo", "job2"},
		{"", "demo", "job-one-of-alice"}} {
		if _, _, err := w.Get(ctx, who[0], who[1], who[2]); !errors.Is(err, jobs.ErrNotFound) {
			t.Errorf("record of %q: %v, want ErrNotFound", who, err)
		}
	}
}

func TestARecordNeedsItsNames(t *testing.T) {
	w := newWorld(t)
	for name, change := range map[string]func(*jobs.Record){
		"owner":    func(r *jobs.Record) { r.Owner = "" },
		"project":  func(r *jobs.Record) { r.Job.ProjectID = "" },
		"job id":   func(r *jobs.Record) { r.Job.JobID = "" },
		"decision": func(r *jobs.Record) { r.Decision = "" },
	} {
		t.Run(name, func(t *testing.T) {
			if err := w.Create(t.Context(), record(change)); err == nil {
				t.Errorf("a record without %s was written", name)
			}
		})
	}
}

// Two subjects run the same SQL under job ids that look alike; each reads by the plan of their own
// record (A5).
func TestTwoOwnersOfOneJobIDKeepTheirPlans(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	second := record(func(r *jobs.Record) { r.Owner = "bob"; r.Plan = masking.Plan{} })
	for _, r := range []jobs.Record{record(), second} {
		if err := w.Create(ctx, r); err != nil {
			t.Fatal(err)
		}
	}
	if r, _, err := w.Get(ctx, "alice", "demo", "job-one-of-alice"); err != nil || !r.Plan.Sensitive {
		t.Errorf("alice's plan is %+v, %v: want the masking one", r.Plan, err)
	}
}

// The attacker writes Redis: plants, copies and alters records and verifications (A11).
func TestWhatTheGatewayDidNotSealOpensNothing(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	mine := record(func(r *jobs.Record) { r.Owner = "mallory"; r.Plan = masking.Plan{} })
	for _, r := range []jobs.Record{record(), mine} {
		if err := w.Create(ctx, r); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Verify(ctx, mine, jobs.Verification{At: time.Now()}); err != nil {
		t.Fatal(err)
	}
	keys, err := w.redis.Keys(ctx, "bqgate:job:*").Result()
	if err != nil || len(keys) != 3 {
		t.Fatalf("keys %q, %v", keys, err)
	}
	values := map[string]string{}
	for _, k := range keys {
		values[k] = w.redis.Get(ctx, k).Val()
		for _, secret := range []string{"alice", "mallory", "customers", "sensitive", "job-one-of-alice"} {
			t.Run(secret, func(t *testing.T) {
				if strings.Contains(k+values[k], secret) {
					t.Errorf("Redis shows %q in %s", secret, k)
				}
			})
		}
	}
	for _, k := range keys {
		for _, planted := range append([]string{"", "{}", `{"owner":"alice"}`}, values[keys[0]], values[keys[1]], values[keys[2]],
			values[k][:len(values[k])-2]+"AA") {
			if planted == values[k] {
				continue
			}
			w.redis.Set(ctx, k, planted, 0)
			for _, owner := range []string{"alice", "mallory"} {
				r, v, err := w.Get(ctx, owner, "demo", "job-one-of-alice")
				if err == nil && (r.Owner != owner || owner == "alice" && !r.Plan.Sensitive || owner == "alice" && v != nil) {
					t.Errorf("%s holds %.20q: %s gets %+v %v", k, planted, owner, r, v)
				}
			}
			w.redis.Set(ctx, k, values[k], 0)
		}
	}
}

func TestTheCreationAnswerMustShowTheDecidedJob(t *testing.T) {
	if err := jobs.CheckCreated(record(), job()); err != nil {
		t.Errorf("the job itself: %v", err)
	}
	for name, change := range map[string]func(*bigquery.Job){
		"no label": func(j *bigquery.Job) { j.Labels = nil },
		"another decision": func(j *bigquery.Job) {
			j.Labels = map[string]string{jobs.Label: "d-01abc-1123456789abcdef0123456789abcdef"}
		},
		"the id alone":      func(j *bigquery.Job) { j.Labels = map[string]string{jobs.Label: "d-01abc"} },
		"another statement": func(j *bigquery.Job) { j.SQL = "SELECT 1" },
		"a space more":      func(j *bigquery.Job) { j.SQL += " " },
		"another id":        func(j *bigquery.Job) { j.Reference.JobID = "job2" },
		"another project":   func(j *bigquery.Job) { j.Reference.ProjectID = "other" },
		"no SQL":            func(j *bigquery.Job) { j.SQL = "" },
	} {
		t.Run(name, func(t *testing.T) {
			if err := jobs.CheckCreated(record(), job(change)); !errors.Is(err, jobs.ErrMismatch) {
				t.Errorf("%s: %v, want ErrMismatch", name, err)
			}
		})
	}
}

func TestTheFinishedJobMustHaveReadWhatTheAnalysisNamed(t *testing.T) {
	table := func(name string) bigquery.TableID {
		return bigquery.TableID{Project: "demo", Dataset: "crm", Table: name}
	}
	if err := jobs.CheckFinished(record(), job()); err != nil {
		t.Errorf("the job itself: %v", err)
	}
	twice := job(func(j *bigquery.Job) { j.ReferencedTables = append(j.ReferencedTables, j.ReferencedTables...) })
	if err := jobs.CheckFinished(record(), twice); err != nil {
		t.Errorf("a table named twice: %v", err)
	}
	for name, change := range map[string]func(*bigquery.Job){
		"a table more":    func(j *bigquery.Job) { j.ReferencedTables = append(j.ReferencedTables, table("secrets")) },
		"another table":   func(j *bigquery.Job) { j.ReferencedTables = []bigquery.TableID{table("Customers")} },
		"still running":   func(j *bigquery.Job) { j.State = "RUNNING" },
		"a script":        func(j *bigquery.Job) { j.StatementType = "SCRIPT" },
		"no type":         func(j *bigquery.Job) { j.StatementType = "" },
		"another life":    func(j *bigquery.Job) { j.Labels = map[string]string{"team": "x"} },
		"other statement": func(j *bigquery.Job) { j.SQL = "SELECT name FROM crm.customers" },
	} {
		t.Run(name, func(t *testing.T) {
			err := jobs.CheckFinished(record(), job(change))
			if !errors.Is(err, jobs.ErrMismatch) {
				t.Errorf("%s: %v, want ErrMismatch", name, err)
			}
			if name == "a table more" &&
				(!strings.Contains(err.Error(), "demo.crm.secrets") || !strings.Contains(err.Error(), "[demo.crm.customers]")) {
				t.Errorf("%v does not name both sides", err)
			}
		})
	}
}

func TestAdopt(t *testing.T) {
	ctx := context.Background()
	t.Run("writes the record of a job that this decision made", func(t *testing.T) {
		w := newWorld(t)
		if _, err := w.Adopt(ctx, record(), job()); err != nil {
			t.Fatal(err)
		}
		if _, _, err := w.Get(ctx, "alice", "demo", "job-one-of-alice"); err != nil {
			t.Error(err)
		}
	})
	t.Run("refuses a job of another life and leaves no record (A6)", func(t *testing.T) {
		w := newWorld(t)
		old := job(func(j *bigquery.Job) { j.Labels = nil; j.SQL = "SELECT salary FROM finance.payroll" })
		if _, err := w.Adopt(ctx, record(), old); !errors.Is(err, jobs.ErrMismatch) {
			t.Fatalf("%v, want ErrMismatch", err)
		}
		if _, _, err := w.Get(ctx, "alice", "demo", "job-one-of-alice"); !errors.Is(err, jobs.ErrNotFound) {
			t.Errorf("a record was left behind: %v", err)
		}
	})
	t.Run("the answer that comes again takes the record that stands", func(t *testing.T) {
		w := newWorld(t)
		if _, err := w.Adopt(ctx, record(), job()); err != nil {
			t.Fatal(err)
		}
		again := record(func(r *jobs.Record) { r.Created = r.Created.Add(time.Minute) })
		got, err := w.Adopt(ctx, again, job())
		if err != nil || !got.Created.Before(again.Created) {
			t.Errorf("got the record of %s, %v: want the one that stands", got.Created, err)
		}
	})
	t.Run("but not under another decision", func(t *testing.T) {
		w := newWorld(t)
		if err := w.Create(ctx, record(func(r *jobs.Record) { r.Decision, r.Plan = "d-02", masking.Plan{} })); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Adopt(ctx, record(), job()); !errors.Is(err, jobs.ErrMismatch) {
			t.Errorf("the record of another decision was taken: %v", err)
		}
	})
	for name, change := range map[string]func(*jobs.Record, *bigquery.Job){
		"of another account":              func(_ *jobs.Record, j *bigquery.Job) { j.UserEmail = "mallory@demo.iam.gserviceaccount.com" },
		"of nobody":                       func(_ *jobs.Record, j *bigquery.Job) { j.UserEmail = "" },
		"of an account that is not known": func(r *jobs.Record, j *bigquery.Job) { r.Principal, j.UserEmail = "", "" },
		"of another federated identity": func(r *jobs.Record, j *bigquery.Job) {
			r.Principal, j.Principal = "principal://a",
				"principal://b"
		},
		"of a federated identity in other letters": func(r *jobs.Record, j *bigquery.Job) {
			r.Principal, j.Principal, j.UserEmail = "principal://iam.googleapis.com/p/subject/i:Alice",
				"principal://iam.googleapis.com/p/subject/i:alice", ""
		},
		"of an account behind a federated identity": func(r *jobs.Record, j *bigquery.Job) {
			r.Principal, j.Principal = "principal://a", "principal://a" // and the address of an account
		},
		"of a federated identity for an account's": func(r *jobs.Record, j *bigquery.Job) { j.Principal = "principal://a" },
		"of an account in other letters":           func(_ *jobs.Record, j *bigquery.Job) { j.UserEmail = strings.ToUpper(j.UserEmail) },
		"that names the address of another": func(r *jobs.Record, j *bigquery.Job) {
			r.Principal, j.UserEmail = "principal://a",
				"principal://a"
		},
		"with another configuration": func(_ *jobs.Record, j *bigquery.Job) {
			j.Configuration = []byte(strings.Replace(string(j.Configuration), `false`, `false,"createSession":true`, 1))
		},
		"without a configuration": func(_ *jobs.Record, j *bigquery.Job) { j.Configuration = nil },
		"answered from the cache": func(_ *jobs.Record, j *bigquery.Job) { j.CacheHit = true },
		"of a record that says not its body": func(r *jobs.Record, j *bigquery.Job) {
			r.Mutation, j.Labels = bigquery.Mutation{}, map[string]string{jobs.Label: "d-01abc"}
		},
	} {
		t.Run("refuses a job "+name+" (A48)", func(t *testing.T) {
			w, r, j := newWorld(t), record(), job()
			change(&r, &j)
			if _, err := w.Adopt(ctx, r, j); !errors.Is(err, jobs.ErrMismatch) {
				t.Errorf("%v, want ErrMismatch", err)
			}
			if _, _, err := w.Get(ctx, "alice", "demo", "job-one-of-alice"); !errors.Is(err, jobs.ErrNotFound) {
				t.Errorf("a record was left behind: %v", err)
			}
		})
	}
	t.Run("takes a federated identity by its principal", func(t *testing.T) {
		w := newWorld(t)
		r := record(func(r *jobs.Record) { r.Principal = "principal://iam.googleapis.com/a" })
		if _, err := w.Adopt(ctx, r,
			job(func(j *bigquery.Job) { j.UserEmail, j.Principal = "", "principal://iam.googleapis.com/a" })); err != nil {
			t.Error(err)
		}
	})
}

func TestFinishIsWrittenOnce(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	if err := w.Create(ctx, record()); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Finish(ctx, durabletest.Decided(t, "d-1"), record(), job(func(j *bigquery.Job) { j.State = "RUNNING" }),
		nil); err == nil {
		t.Error("a running job was verified")
	}
	bad := job(func(j *bigquery.Job) { j.ReferencedTables[0].Table = "secrets" })
	v, err := w.Finish(ctx, durabletest.Decided(t, "d-1"), record(), bad, nil)
	if err != nil || v.Broken == "" {
		t.Fatalf("a job that read something else: %+v, %v", v, err)
	}
	if v, err = w.Finish(ctx, durabletest.Decided(t, "d-1"), record(), job(), nil); err != nil || v.Broken == "" {
		t.Errorf("a broken job became readable: %+v, %v", v, err)
	}
	if _, standing, err := w.Get(ctx, "alice", "demo", "job-one-of-alice"); err != nil || standing == nil || standing.Broken == "" {
		t.Errorf("stored verification %+v, %v: want the broken one", standing, err)
	}
}

func TestALabelValueIsOneBigQueryTakes(t *testing.T) {
	got := jobs.LabelValue("d-01J9ZK4T7QABCDEFGHJKMNPQRS")
	if got != "d-01j9zk4t7qabcdefghjkmnpqrs" || len(got) > 63 {
		t.Errorf("label value %q", got)
	}
}
