package extproc

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	procv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"

	"github.com/bqgate/bqgate/internal/audit"
)

// A37: who reads too little of what waits is broken off, and the record says why. Who reads slowly,
// or waits for a job that has no rows yet, is not.
func TestReaders(t *testing.T) {
	const row = `,{"f":[{"v":"` + secret + `"}]}`
	many := strings.Repeat(row, 64<<10/len(row))
	for _, tt := range []struct {
		name    string
		piece   string        // of the answer, each as soon as the last one was taken
		pieces  int           // how many
		takes   time.Duration // of the reader, for each message of the body
		silence time.Duration // of BigQuery, before each piece
		ends    time.Duration // when it is broken off, at the latest; 0: never
	}{
		{name: "takes nothing", piece: row, pieces: 1, takes: time.Hour, ends: 40 * time.Second},
		{name: "takes a row every 15 s", piece: row, pieces: 100, takes: 15 * time.Second, ends: 60 * time.Second},
		{name: "takes a row every 2 s", piece: row, pieces: 100, takes: 2 * time.Second, ends: 60 * time.Second},
		{name: "takes 64 KiB in 12 s", piece: many, pieces: 40, takes: 12 * time.Second, ends: 400 * time.Second},
		{name: "takes 64 KiB in 9 s", piece: many, pieces: 100, takes: 9 * time.Second},
		// Envoy takes nothing more from BigQuery for a client that does not read.
		{name: "Envoy brings nothing more", piece: row, pieces: 20, silence: 3 * time.Minute, ends: 40 * time.Second},
		{name: "Envoy brings a trickle", piece: row, pieces: 100, silence: 5 * time.Second, ends: 60 * time.Second},
		{name: "Envoy brings 64 KiB in 9 s", piece: many, pieces: 100, silence: 9 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				taken := make(chan struct{}, 1)
				a := openAnswer(t, func(time.Duration) error { return nil }, func(ctx context.Context, r *procv3.ProcessingResponse) bool {
					if r.GetResponseBody() == nil {
						return false
					}
					select {
					case <-time.After(tt.takes):
					case <-ctx.Done():
						return true
					}
					select {
					case taken <- struct{}{}:
					default:
					}
					return false
				})
				a.st.in <- responseHeadersOf("via_upstream", "200")
				a.st.in <- responseBodyOf(strings.TrimSuffix(rowsBody, "]}"), false)
				began := time.Now()
				for range tt.pieces {
					select {
					case <-time.After(tt.silence):
					case err := <-a.ended:
						a.ended <- err
					}
					a.st.in <- responseBodyOf(tt.piece, false)
					select {
					case <-taken:
						continue
					case err := <-a.ended:
						if err == nil {
							t.Error("Process returned nil: Envoy goes on without it")
						}
					}
					records := a.j.Records()
					last, _ := records[len(records)-1].(audit.Outcome)
					if last.State != audit.StateBroken || !strings.Contains(last.Reason, "its reader takes less than 65536 bytes in 10s") {
						t.Errorf("the journal says %+v", last)
					}
					if took := time.Since(began); tt.ends == 0 || took > tt.ends {
						t.Errorf("broken off after %s, want %s (0: never)", took, tt.ends)
					}
					return
				}
				if tt.ends != 0 {
					t.Errorf("not broken off after %s", time.Since(began))
				}
			})
		})
	}
}
