package extproc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	procv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/bqgate/bqgate/internal/audit"
	"github.com/bqgate/bqgate/internal/durable"
	"github.com/bqgate/bqgate/internal/jobs"
	"github.com/bqgate/bqgate/internal/limits"
	"github.com/bqgate/bqgate/internal/needed"
	"github.com/bqgate/bqgate/internal/sealed"
	"github.com/bqgate/bqgate/internal/verdict"
)

// Journal is the part of the audit journal that ext_proc needs: both return when the records are
// durable.
type Journal interface {
	Append(ctx context.Context, r audit.Record) (audit.Position, error)
	AppendAll(ctx context.Context, records ...audit.Record) (audit.Position, error)
}

// Parts are what a Service is made of. All are needed, but where a default is named.
type Parts struct {
	Keys     *sealed.Keyring
	Journal  Journal
	Jobs     *jobs.Store
	Upstream jobs.Upstream
	Log      *slog.Logger
	// Cancel stops a job under the account that runs it. It is asked where an answer about the job
	// cannot be recorded any more: what nobody may read needs not run.
	Cancel func(ctx context.Context, w durable.Stop, record jobs.Record) error
	// Changed reads again what a record's digests stand for, past every cache, and names what is
	// not as it was.
	Changed func(ctx context.Context, w durable.Facts, digests map[string]string) ([]string, error)

	// Again says whether whoever asked may still have the answer that is on its way. An error ends
	// it.
	Again func(ctx context.Context, f *verdict.Forward) error

	// Budgets count what is spent. Without them no row leaves that has a budget.
	Budgets Budgets
	// Limits count what is on its way; ext_authz has lent it.
	Limits *limits.Owners

	// StepTimeout bounds one step: recording a chunk, checking a job. Default 18 s: Envoy waits for
	// 20 s.
	StepTimeout time.Duration
	// IdleTimeout bounds the wait for Envoy's next message. Default 5 min.
	IdleTimeout time.Duration
	// MaxRequest is the largest body that Envoy takes, in bytes, for the refusal of larger ones.
	// Default Envoy's own default here.
	MaxRequest uint32
	// Reading is how fast an answer must be read, or it is broken off. DefaultReading if zero.
	Reading Reading
}

// Service implements envoy.service.ext_proc.v3.ExternalProcessor. It is made by New.
type Service struct {
	procv3.UnimplementedExternalProcessorServer
	Parts

	changed  bell
	pages    audit.Pages    // that were let out
	stopping sync.WaitGroup // of jobs that are being cancelled
}

// New makes a Service, unless a part is missing.
func New(p Parts) (*Service, error) {
	if p.Budgets == nil {
		p.Budgets = uncounted{}
	}
	if p.MaxRequest == 0 {
		p.MaxRequest = MaxRequest
	}
	if err := needed.Parts("ext_proc service", p); err != nil {
		return nil, err
	}
	return &Service{Parts: p}, nil
}

// Process serves one exchange. It returns an error on every path but one: when Envoy itself has
// closed the stream.
func (s *Service) Process(stream procv3.ExternalProcessor_ProcessServer) (err error) {
	x := &exchange{service: s, pace: newPace(s.Reading)}
	defer func() {
		if p := recover(); p != nil {
			s.Log.Error("ext_proc panicked; the exchange is broken off", "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			err = status.Error(codes.Internal, "internal error")
		}
		x.close(err)
	}()
	messages := receive(stream)
	watch := s.watch()
	defer watch.tick.Stop()
	idle := time.NewTimer(s.idleTimeout())
	defer idle.Stop()
	for {
		if watch.due() {
			if err := s.again(stream, x); err != nil {
				return err
			}
		}
		var m received
		select {
		case m = <-messages:
		default:
			// Nothing more has come: what is masked by now becomes durable and goes out.
			if err := s.step(stream, x, watch, x.flush); err != nil {
				return err
			}
			idle.Reset(s.idleTimeout())
			var err error
			if m, err = s.await(stream, x, watch, messages, idle); err != nil {
				return err
			}
		}
		if errors.Is(m.err, io.EOF) {
			return nil // Envoy hung up: the exchange is over, there is nobody left to fail open
		}
		if m.err != nil {
			return m.err
		}
		err := s.step(stream, x, watch, func(ctx context.Context) ([]*procv3.ProcessingResponse, error) { return x.handle(ctx, m.request) })
		if err != nil {
			return err
		}
		idle.Reset(s.idleTimeout())
	}
}

// await waits for Envoy's next message.
func (s *Service) await(stream procv3.ExternalProcessor_ProcessServer, x *exchange, w *watch, messages <-chan received,
	idle *time.Timer) (received, error) {
	since := time.Now()
	var patience <-chan time.Time // for the next piece of a body that has begun
	if x.begun && !x.finished {
		timer := time.NewTimer(x.pace.left)
		defer timer.Stop()
		patience = timer.C
	}
	for {
		select {
		case m := <-messages:
			if patience != nil {
				x.pace.waited(time.Since(since))
			}
			return m, nil
		case <-patience:
			x.released = true
			x.refuse(&slowReader{x.pace.least})
			return received{}, status.Error(codes.Aborted, "the response waits for its reader")
		case <-idle.C:
			return received{}, status.Error(codes.DeadlineExceeded, "no message from Envoy in time")
		case <-stream.Context().Done():
			return received{}, status.FromContextError(stream.Context().Err()).Err()
		case <-w.tick.C:
		case <-w.rung:
			w.heard()
		}
		if err := s.again(stream, x); err != nil {
			return received{}, err
		}
	}
}

// step does one thing of the exchange within its deadline and sends what comes of it: the replies,
// or a refusal. Its error ends the stream.
func (s *Service) step(stream procv3.ExternalProcessor_ProcessServer, x *exchange, w *watch,
	do func(context.Context) ([]*procv3.ProcessingResponse, error)) error {
	ctx, cancel := context.WithTimeoutCause(stream.Context(), s.stepTimeout(), errStepTimeout)
	defer cancel()
	x.clock.Begin()
	over := x.finished
	replies, err := do(ctx)
	if err == nil && ctx.Err() != nil && !over { // what is over stays so: Envoy hangs up once it has the last piece
		err = context.Cause(ctx) // what was decided after the deadline is not trusted
	}
	if err != nil {
		reply := x.refuse(err)
		if reply == nil {
			return status.Error(codes.Aborted, "response broken off")
		}
		replies = []*procv3.ProcessingResponse{reply}
	}
	x.clock.Begin()
	if len(replies) == 0 {
		return nil
	}
	err = s.deliver(stream, x, w, replies)
	x.clock.Done("send")
	return err
}

// readAhead is how many messages may wait while a record becomes durable. They are then masked
// together and share the next wait for the disk.
const readAhead = 8

var errStepTimeout = errors.New("a step of the response took too long")

type received struct {
	request *procv3.ProcessingRequest
	err     error
}

// receive moves Recv into a goroutine so that the watchdog can end a stream on which Envoy is
// silent. The goroutine ends with the stream's context, which gRPC cancels when Process returns. It
// reads a few messages ahead at most, which keeps Envoy's flow control in force.
func receive(stream procv3.ExternalProcessor_ProcessServer) <-chan received {
	out := make(chan received, readAhead)
	go func() {
		for {
			r, err := stream.Recv()
			select {
			case out <- received{r, err}:
			case <-stream.Context().Done():
				return
			}
			if err != nil {
				return
			}
		}
	}()
	return out
}

func (s *Service) stepTimeout() time.Duration {
	if s.StepTimeout > 0 {
		return s.StepTimeout
	}
	return 18 * time.Second
}

func (s *Service) idleTimeout() time.Duration {
	if s.IdleTimeout > 0 {
		return s.IdleTimeout
	}
	return 5 * time.Minute
}
