package extauthz

import (
	"testing"

	"github.com/bqgate/bqgate/internal/bigquery"
)

// A6: BigQuery answers a requestId that it knows with the job of then. It must be the same for the same
// request of the same subject, so that a client may try again, and for nothing else.
func TestRequestIDs(t *testing.T) {
	p := newParts(t)
	id := func(change func(*walk)) string {
		w := newWalk()
		w.subject.Owner, w.op.Job.ProjectID = "owner", "demo"
		w.op.Query = &bigquery.QueryRequest{SQL: "SELECT 1", RequestID: "theirs"}
		if change != nil {
			change(w)
		}
		return p.s.requestID(w)
	}
	same := id(nil)
	if same != id(nil) || same == "theirs" || len(same) > 36 {
		t.Errorf("%q and %q for one request, want one value that is not the client's, of at most 36 characters", same, id(nil))
	}
	for name, change := range map[string]func(*walk){
		"another subject":      func(w *walk) { w.subject.Owner = "other" },
		"another project":      func(w *walk) { w.op.Job.ProjectID = "other" },
		"another requestId":    func(w *walk) { w.op.Query.RequestID = "ours" },
		"other SQL":            func(w *walk) { w.op.Query.SQL = "SELECT 2" },
		"other parameters":     func(w *walk) { w.op.Query.Parameters = []byte(`[]`) },
		"no requestId":         func(w *walk) { w.op.Query.RequestID = "" },
		"parts shifted by one": func(w *walk) { w.subject.Owner, w.op.Job.ProjectID = "ownerd", "emo" },
	} {
		t.Run(name, func(t *testing.T) {
			if id(change) == same {
				t.Error("the same requestId leaves for BigQuery")
			}
		})
	}
}
