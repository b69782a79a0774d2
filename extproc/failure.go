package extproc

import (
	"context"

	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/verdict"
)

// failureLimit bounds how much of an upstream error is read. No error of BigQuery's comes near it.
const failureLimit = 256 << 10

// failure rebuilds an upstream error. Its status stays what it was, whatever its body is: what is
// permanent must not look transient to a client, which would try again for minutes, nor the other
// way round.
type failure struct {
	service  *Service
	forward  *verdict.Forward
	code     int
	readable bool // JSON; the rest is not looked at
	body     []byte
}

func (f *failure) rows() uint64               { return 0 }
func (f *failure) job() bigquery.JobReference { return bigquery.JobReference{} }

func (f *failure) write(_ context.Context, p []byte) ([]byte, error) {
	if f.readable && len(f.body)+len(p) <= failureLimit {
		f.body = append(f.body, p...)
	} else {
		f.readable, f.body = false, nil
	}
	return nil, nil
}

func (f *failure) close(context.Context) ([]byte, error) {
	if madeNone(f.code) {
		f.service.neverRan(f.forward)
	}
	_, out := bigquery.FilterError(f.code, f.body, bigquery.ErrorView{Sensitive: f.forward.Plan.Sensitive, Cap: f.forward.Record.Cap})
	return out, nil
}
