package limits

import "time"

// Kind is what is counted of an owner.
type Kind uint8

// The kinds. What each is, and why its default is what it is, says the table (Kinds).
const (
	Requests Kind = iota
	RequestRate
	Bodies
	Queries
	Downloads
	Waits
	Polls
	Lookups
	GoogleCalls
	TokenExchanges
	RefusedStatements
	RefusedTokens
	RecordedBytes
	Analysis
	Withheld
	kinds int = iota
)

// Form is how a kind is counted, and so which keys its limit has in the configuration.
type Form uint8

// The forms.
const (
	AtOnce  Form = iota // so many at the same time: `at_once`
	Rate                // so many after a rest, and so many more each second: `burst` and `per_second`
	PerHour             // so many bytes after a rest, and as many again in each hour: `per_hour`
)

// Spec is a kind's line in the table.
type Spec struct {
	Key     string // in the configuration, and in metrics
	Form    Form
	Default Limit
	What    string // in a refusal: "too many requests at once"
	Counts  string // for operators: what is counted
	Why     string // for operators: why the default fits 200 agents
	Beyond  string // for operators: what happens beyond it
	// Reason is BigQuery's word for a refusal.
	Reason string
}

// BigQuery's words for what is beyond a limit: one that is free again soon, and a used budget.
// https://cloud.google.com/bigquery/docs/error-messages
const (
	rateLimitExceeded = "rateLimitExceeded"
	quotaExceeded     = "quotaExceeded"
)

const refused = "refused"

// Kinds are all kinds, by their number.
var Kinds = [kinds]Spec{
	Requests: {
		Key: "requests", Form: AtOnce, Default: Limit{AtOnce: 400}, Reason: rateLimitExceeded, Beyond: refused,
		What:   "requests at once",
		Counts: "requests that are being decided about, polls that wait among them",
		Why:    "200 agents of one repository, each with a poll that waits and one more request; a decision takes milliseconds",
	},
	RequestRate: {
		Key: "request_rate", Form: Rate, Default: Limit{Burst: 10_000, PerSecond: 200}, Reason: rateLimitExceeded, Beyond: refused,
		What:   "requests",
		Counts: "requests with a valid token, whatever becomes of them",
		Why:    "200 agents of one repository, each with a request a second and fifty more when it begins",
	},
	Bodies: {
		Key: "bodies", Form: AtOnce, Default: Limit{AtOnce: 64}, Reason: rateLimitExceeded, Beyond: refused,
		What:   "large requests on their way at once",
		Counts: "requests with a body of 16,000 bytes and more, or of unknown length, that have begun to arrive, for 30 s at most",
		Why:    "a body of a megabyte arrives in a second, and few queries are as long; 64 are 75 MB in Envoy",
	},
	Queries: {
		Key: "queries", Form: AtOnce, Default: Limit{AtOnce: 200}, Reason: rateLimitExceeded, Beyond: refused,
		What: "queries at once",
		Counts: "jobs.query and jobs.insert, from their arrival until their answer has gone out; not how long a job runs at BigQuery " +
			"after jobs.insert",
		Why: "200 agents of one repository, each with a query",
	},
	Downloads: {
		Key: "downloads", Form: AtOnce, Default: Limit{AtOnce: 64}, Reason: rateLimitExceeded, Beyond: refused,
		What:   "downloads of results at once",
		Counts: "pages of results (jobs.getQueryResults, tabledata.list) that are on their way",
		Why:    "a page of 10 MB takes a second, so 200 agents have 64 at once only if each does nothing else",
	},
	Waits: {
		Key: "waits", Form: AtOnce, Default: Limit{AtOnce: 200}, Reason: rateLimitExceeded,
		Beyond: "answered at once that the job still waits, and counted as polls",
		What:   "polls that wait at once",
		Counts: "polls of held queries that wait for a person",
		Why:    "200 agents of one repository, each with a held query",
	},
	Polls: {
		Key: "polls", Form: Rate, Default: Limit{Burst: 400, PerSecond: 20}, Reason: rateLimitExceeded, Beyond: refused,
		What:   "polls of held queries",
		Counts: "polls of held queries beyond waits, which are answered at once",
		Why:    "stock clients poll a job that waits once in 1 to 10 seconds",
	},
	Lookups: {
		Key: "lookups", Form: Rate, Default: Limit{Burst: 600, PerSecond: 10}, Reason: rateLimitExceeded, Beyond: refused,
		What:   "dry runs and reads of metadata",
		Counts: "dry runs, lists of jobs, and reads of metadata that the gateway does not have in memory",
		Why:    "a client looks at some hundred tables when it connects, and makes a dry run before each query",
	},
	GoogleCalls: {
		Key: "google_calls", Form: Rate, Default: Limit{Burst: 1000, PerSecond: 20}, Reason: rateLimitExceeded, Beyond: refused,
		What:   "looks at tables, routines, datasets and jobs at Google",
		Counts: "calls of Google under the inspection account before a decision: schemas, routines, lists, row access policies, dry runs",
		Why: "200 agents that read the same 500 tables cost one call a table and minute; Google lets one account make 100 calls of a " +
			"method a second, for all owners together",
	},
	TokenExchanges: {
		Key: "token_exchanges", Form: Rate, Default: Limit{Burst: 600, PerSecond: 10}, Reason: rateLimitExceeded, Beyond: refused,
		What:   "token exchanges",
		Counts: "exchanges at the token endpoint with a valid token",
		Why:    "200 agents of one repository that start together, each with three clients; a session lasts an hour",
	},
	RefusedStatements: {
		Key: "refused_statements", Form: Rate, Default: Limit{Burst: 5000, PerSecond: 20}, Reason: rateLimitExceeded,
		Beyond: "queries are refused before they are analysed",
		What:   "refused statements",
		Counts: "queries and dry runs that the analysis or the policy refused; one that took the analysis all of its time " +
			"(`sql.deadline`) " +
			"counts as 500",
		Why: "an agent that learns the schema is refused some times; 200 that are refused at once, 25 times each",
	},
	RefusedTokens: {
		Key: "refused_tokens", Form: Rate, Default: Limit{Burst: 20, PerSecond: 1}, Reason: rateLimitExceeded,
		Beyond: "refused as before, and counted with those that have no valid token, without a record each",
		What:   "tokens that are not good any more",
		Counts: "requests with a token that its issuer has signed and that is refused: expired, say, or revoked",
		Why:    "a job that goes on with a token that is over asks once or twice a second; all owners together have ten records a second",
	},
	RecordedBytes: {
		Key: "recorded_bytes", Form: PerHour, Default: Limit{PerHour: 64 << 30}, Reason: quotaExceeded, Beyond: refused,
		What:   "bytes in the audit journal",
		Counts: "bytes that the audit journal keeps of requests and answers, compressed",
		Why:    "200 agents of one repository, each with 300 MB of results an hour",
	},
	Analysis: {
		Key: "analysis", Form: Rate, Default: Limit{Burst: 1000, PerSecond: 50}, Reason: rateLimitExceeded,
		Beyond: "analysed by the slow workers, which get what the machine has left",
		What:   "milliseconds of long analysis",
		Counts: "milliseconds of a processor for statements that took the analysis 50 or more (`sql.first_deadline` at the most)",
		Why:    "most statements take the analysis 1 to 20 ms and are not counted; 50 ms a second are a twentieth of a core",
	},
	Withheld: {
		Key: "withheld_mib", Form: AtOnce, Default: Limit{AtOnce: 768}, Reason: rateLimitExceeded, Beyond: refused,
		What: "MiB of answers at once that are kept until they are whole",
		Counts: "MiB of answers beyond the first of each, where none of an answer may leave before all of it is there: the rule caps its " +
			"bytes, or it has a budget of rows",
		Why: "64 downloads at once of 10 MB, BigQuery's own page, are 640",
	},
}

// Of is what the answer to one of BigQuery's methods is counted as while it is on its way, if it
// is.
func Of(method string) (k Kind, counted bool) {
	switch method {
	case "jobs.query", "jobs.insert":
		return Queries, true
	case "jobs.getQueryResults", "tabledata.list":
		return Downloads, true
	default:
		return 0, false
	}
}

// String is the kind's key.
func (k Kind) String() string { return Kinds[k].Key }

// refills is how much comes back in a second.
func (f Form) refills(l Limit) float64 {
	if f == PerHour {
		return float64(l.PerHour) / time.Hour.Seconds()
	}
	return l.PerSecond
}

// room is how much there is after a rest.
func (f Form) room(l Limit) float64 {
	switch f {
	case AtOnce:
		return float64(l.AtOnce)
	case PerHour:
		return float64(l.PerHour)
	default:
		return float64(l.Burst)
	}
}
