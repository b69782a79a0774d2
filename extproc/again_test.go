package extproc

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	procv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"

	"github.com/bqgate/bqgate/internal/audit"
	"github.com/bqgate/bqgate/internal/verdict"
)

var errEnded = errors.New("access under rule r has ended")

// reader is Envoy with a client that takes nothing from the message on of which stuck says so.
type reader struct {
	stream
	stuck func(context.Context, *procv3.ProcessingResponse) bool
}

func (r *reader) Send(m *procv3.ProcessingResponse) error {
	if r.stuck != nil && r.stuck(r.ctx, m) {
		<-r.ctx.Done()
		return r.ctx.Err()
	}
	return r.stream.Send(m)
}

// answering is an exchange in a bubble of its own time: its request and the headers of its response
// have come.
type answering struct {
	s     *Service
	st    *reader
	j     *journal
	began time.Time
	ended chan error
	asked []time.Duration // when it was decided again
}

// openAnswer begins an exchange. The service may be altered before it begins.
func openAnswer(
	t *testing.T,
	right func(since time.Duration) error,
	stuck func(context.Context, *procv3.ProcessingResponse) bool,
	alter ...func(*Service),
) *answering {
	t.Helper()
	a := &answering{j: &journal{}, began: time.Now(), ended: make(chan error, 1)}
	a.s = newService(t, a.j)
	a.s.IdleTimeout = time.Hour
	a.s.Again = func(_ context.Context, f *verdict.Forward) error {
		if f.Decision != "d-1" || f.Subject.Sub != "agent" {
			return errors.New("another answer is decided again")
		}
		a.asked = append(a.asked, time.Since(a.began))
		return right(time.Since(a.began))
	}
	for _, change := range alter {
		change(a.s)
	}
	ctx, cancel := context.WithCancel(t.Context())
	a.st = &reader{stream{ctx: ctx, in: make(chan *procv3.ProcessingRequest, 1000)}, stuck}
	a.st.in <- request(t, a.s, func(f *verdict.Forward) { f.Subject.Sub = "agent" })
	go func() {
		err := a.s.Process(a.st)
		cancel() // as gRPC does
		a.ended <- err
	}()
	t.Cleanup(cancel)
	return a
}

// begin sends the head of an answer, which may leave, and the first of many rows.
func (a *answering) begin() {
	a.st.in <- responseHeadersOf("via_upstream", "200")
	a.st.in <- responseBodyOf(strings.TrimSuffix(rowsBody, "]}"), false)
	synctest.Wait()
}

func (a *answering) row() { a.st.in <- responseBodyOf(`,{"f":[{"v":"`+secret+`"}]}`, false) }

// rows is how many rows the client has by now.
func (a *answering) rows() int {
	a.st.mu.Lock()
	defer a.st.mu.Unlock()
	n := 0
	for _, r := range a.st.sent {
		n += strings.Count(string(r.GetResponseBody().GetResponse().GetBodyMutation().GetStreamedResponse().GetBody()), "XXXXX6789")
	}
	return n
}

// brokenOff says whether the exchange has ended in an error, and the journal knows.
func (a *answering) brokenOff(t *testing.T) bool {
	t.Helper()
	synctest.Wait()
	select {
	case err := <-a.ended:
		if err == nil {
			t.Error("Process returned nil: Envoy goes on without it")
		}
	default:
		return false
	}
	records := a.j.Records()
	last, _ := records[len(records)-1].(audit.Outcome)
	if last.State != audit.StateBroken || !strings.Contains(last.Reason, "ended") {
		t.Errorf("the journal says %+v", last)
	}
	if leaked(a.st.sent) {
		t.Error("a raw value passed")
	}
	return true
}

// A51: one endless answer, a row a second, whose right ends after 25 s: it is decided again every
// 10 s, and broken off at 30.
func TestAnEndlessAnswerIsBrokenOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := openAnswer(t, func(since time.Duration) error {
			if since > 25*time.Second {
				return errEnded
			}
			return nil
		}, nil)
		a.begin()
		for second := 1; second <= 40; second++ {
			a.row()
			time.Sleep(time.Second)
			if over := a.brokenOff(t); over != (second >= 30) {
				t.Fatalf("after %d s: broken off %v", second, over)
			} else if over {
				break
			}
		}
		if n := a.rows(); n < 29 || n > 31 {
			t.Errorf("the client has %d rows", n)
		}
		if len(a.asked) != 3 || a.asked[0] != againEvery || a.asked[2] != 3*againEvery {
			t.Errorf("decided again at %v", a.asked)
		}
	})
}

// A revocation or another policy is not waited for; while the right lasts, it changes nothing.
func TestAnAnswerIsDecidedAgainAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		revoked := false
		a := openAnswer(t, func(time.Duration) error {
			if revoked {
				return errEnded
			}
			return nil
		}, nil)
		a.begin()
		for range 3 {
			time.Sleep(100 * time.Millisecond)
			a.s.DecideAgain()
			if a.row(); a.brokenOff(t) {
				t.Fatal("broken off although the right lasts")
			}
		}
		before := a.rows()
		revoked = true
		a.s.DecideAgain()
		if !a.brokenOff(t) {
			t.Fatal("the answer goes on after the revocation")
		}
		if a.row(); a.rows() != before || before != 4 || len(a.asked) != 4 {
			t.Errorf("%d rows before, %d after; decided again %d times", before, a.rows(), len(a.asked))
		}
	})
}

// A reader that takes nothing keeps no answer open beyond its right.
func TestASlowReaderOutlivesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := openAnswer(t, func(since time.Duration) error {
			if since > 15*time.Second {
				return errEnded
			}
			return nil
		}, func(_ context.Context, r *procv3.ProcessingResponse) bool { return r.GetResponseBody() != nil },
			func(s *Service) { s.Reading = Reading{1, time.Hour} })
		a.begin()
		time.Sleep(19 * time.Second)
		if a.brokenOff(t) {
			t.Fatal("broken off before it was decided again")
		}
		time.Sleep(2 * time.Second)
		if !a.brokenOff(t) || a.rows() != 0 {
			t.Errorf("the answer waits for its reader after its right has ended; it has %d rows", a.rows())
		}
	})
}

// Before BigQuery has answered there is nothing to send: the exchange ends. Between the headers and
// the first byte the client is told.
func TestTheRightEndsBeforeTheFirstByte(t *testing.T) {
	for name, headers := range map[string]bool{"BigQuery is silent": false, "the headers have come": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := openAnswer(t, func(time.Duration) error { return errEnded }, nil)
				if headers {
					a.st.in <- responseHeadersOf("via_upstream", "200")
				}
				time.Sleep(againEvery + time.Second)
				synctest.Wait()
				if headers {
					last := a.st.sent[len(a.st.sent)-1].GetImmediateResponse()
					if last.GetStatus().GetCode() != 403 || !strings.Contains(string(last.GetBody()), "the right to this answer ended") ||
						!strings.Contains(string(last.GetBody()), "d-1") {
						t.Errorf("the client is told %v", last)
					}
					if a.rows() != 0 || leaked(a.st.sent) {
						t.Error("rows have left")
					}
					close(a.st.in) // Envoy has what it needs, and hangs up
					<-a.ended
					return
				}
				if !a.brokenOff(t) || a.rows() != 0 {
					t.Errorf("the exchange goes on, and the client has %d rows", a.rows())
				}
			})
		})
	}
}

// Who cannot be asked again lets nothing go on.
func TestNobodyCanDecideAgain(t *testing.T) {
	for name, damage := range map[string]func(*Service){
		"no Again": func(s *Service) { s.Again = nil },
		"it hangs": func(s *Service) {
			s.Again = func(ctx context.Context, _ *verdict.Forward) error {
				<-ctx.Done()
				return errors.Join(errEnded, ctx.Err())
			}
		},
		"it says yes too late": func(s *Service) {
			s.Again = func(ctx context.Context, _ *verdict.Forward) error { <-ctx.Done(); return nil }
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := openAnswer(t, func(time.Duration) error { return nil }, nil, damage)
				a.begin()
				time.Sleep(againEvery + a.s.stepTimeout() + time.Second)
				synctest.Wait()
				select {
				case err := <-a.ended:
					if err == nil {
						t.Error("Process returned nil")
					}
				default:
					t.Error("the answer goes on")
				}
			})
		})
	}
}
