package console

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/a-h/templ"

	"github.com/bqgate/bqgate/internal/approvals"
)

const (
	maxStreams        = 512              // open streams of this process
	maxSessionStreams = 12               // open streams of one session: tabs
	heartbeat         = 15 * time.Second // a comment, so that proxies keep the stream, and a look whether the session still stands
	streamWrite       = 5 * time.Second  // who does not take an event within it is dropped; the browser comes back
	reloadAtMost      = 250 * time.Millisecond
	reloadAtLeast     = 3 * time.Second // requests expire without a word
	shownPending      = 500
	shownRecent       = 50
	stillShown        = 15 * time.Minute // a request that ended stays in the queue for so long
)

// hub reads the list of requests once for everybody who watches it.
type hub struct {
	store *approvals.Store
	log   *slog.Logger

	mu   sync.Mutex
	subs map[chan struct{}]struct{}
	last []approvals.Request
}

func newHub(store *approvals.Store, log *slog.Logger) *hub {
	return &hub{store: store, log: log, subs: map[chan struct{}]struct{}{}}
}

// run reloads after changes, and every few seconds while somebody watches, until ctx ends.
func (h *hub) run(ctx context.Context) {
	changes := h.store.Watch(ctx)
	tick := time.NewTicker(reloadAtLeast)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case _, open := <-changes:
			if !open {
				return
			}
		case <-tick.C:
		}
		if h.watched() {
			if _, err := h.fresh(ctx); err != nil && ctx.Err() == nil {
				h.log.Warn("requests could not be listed for the console's pages", "error", err)
			}
			h.tell()
			select { // what comes meanwhile is told together
			case <-ctx.Done():
				return
			case <-time.After(reloadAtMost):
			}
		}
	}
}

// fresh lists what waits, and what ended lately, newest first.
func (h *hub) fresh(ctx context.Context) ([]approvals.Request, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	pending, err := h.store.List(ctx, approvals.Filter{State: approvals.StatePending, Limit: shownPending})
	if err != nil {
		return nil, err
	}
	recent, err := h.store.List(ctx,
		approvals.Filter{Limit: shownRecent, Match: func(q approvals.Request) bool { return q.State != approvals.StatePending }})
	if err != nil {
		return nil, err
	}
	all := append(pending.Requests, recent.Requests...)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.last = all
	return all, nil
}

func (h *hub) list() []approvals.Request {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.last
}

func (h *hub) watched() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.subs) > 0
}

func (h *hub) tell() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for c := range h.subs {
		select {
		case c <- struct{}{}:
		default: // it has one to take already
		}
	}
}

func (h *hub) join() (<-chan struct{}, func()) {
	c := make(chan struct{}, 1)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.subs[c] = struct{}{}
	return c, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.subs, c)
	}
}

// streams counts what is open.
type streams struct {
	mu    sync.Mutex
	all   int
	count map[string]int
}

func (s *streams) open(session string) (leave func(), ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all >= maxStreams || s.count[session] >= maxSessionStreams {
		return nil, false
	}
	if s.count == nil {
		s.count = map[string]int{}
	}
	s.all++
	s.count[session]++
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.all--
		if s.count[session]--; s.count[session] == 0 {
			delete(s.count, session)
		}
	}, true
}

// fragment makes what a stream shows, as it is now. Nil shows nothing new.
type fragment func(ctx context.Context, v *visitor) (templ.Component, error)

// stream serves server-sent events: the fragment whenever it has changed, until the browser leaves,
// the session ends or the gateway stops.
func (u *ui) stream(prepare func(r *http.Request, v *visitor) (fragment, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		v, err := u.visitor(r)
		if err == nil && !u.hasRole(v) {
			err = errNoSession
		}
		var show fragment
		if err == nil {
			show, err = prepare(r, v)
		}
		switch {
		case errors.Is(err, errNoSession):
			// An answer of 401 would leave the page as it is, without a word: it is told as by a
			// stream that was open when the session ended.
			events(w, http.StatusOK).ended()
			return
		case errors.Is(err, approvals.ErrNotFound):
			fail(w, http.StatusNotFound, "notFound", "there is no such request among those you may see")
			return
		case err != nil:
			u.Log.Error("stream could not begin", "route", r.Pattern, "error", err)
			events(w, http.StatusServiceUnavailable).comment("try again in a moment")
			return
		}
		leave, ok := u.streams.open(v.session.ID)
		if !ok {
			w.Header().Set("Retry-After", "10")
			events(w, http.StatusTooManyRequests).comment("too many pages are open; close some, or reload this one now and then")
			return
		}
		defer leave()
		u.pump(w, r, v, show)
	}
}

// events begins a stream. Also what cannot be served is told as one: after an answer of another
// type the page would not come back.
func events(w http.ResponseWriter, status int) *eventWriter {
	w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
	w.Header().Set("X-Accel-Buffering", "no")
	w.WriteHeader(status)
	return &eventWriter{w: w, control: http.NewResponseController(w)}
}

func (u *ui) pump(w http.ResponseWriter, r *http.Request, v *visitor, show fragment) {
	changed, leave := u.hub.join()
	defer leave()
	// The server's own limits are for pages, which end.
	if err := http.NewResponseController(w).SetReadDeadline(time.Time{}); err != nil {
		u.Log.Error("stream could not begin", "error", err)
		return
	}
	out := events(w, http.StatusOK)
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	end := time.NewTimer(v.session.Expires.Sub(u.now()))
	defer end.Stop()
	out.comment("bqgate")
	for out.err == nil {
		if part, err := show(r.Context(), v); err == nil {
			out.fragment(r.Context(), part)
		} else if r.Context().Err() == nil {
			u.Log.Warn("stream could not look", "route", r.Pattern, "error", err)
		}
		select {
		case <-r.Context().Done():
			return
		case <-end.C:
			out.ended()
			return
		case <-changed:
		case <-beat.C:
			out.comment("still here")
		}
		// A session that was revoked, or a person who lost their groups, sees nothing more.
		s, err := u.sessions.store.Get(r.Context(), v.session.ID)
		if err == nil {
			v = u.visitorOf(s)
		}
		if errors.Is(err, errNoSession) || (err == nil && !u.hasRole(v)) {
			out.ended()
			return
		}
		if err != nil {
			return // the browser comes back when Redis does
		}
	}
}

// eventWriter writes server-sent events, each within streamWrite.
type eventWriter struct {
	w       http.ResponseWriter
	control *http.ResponseController
	last    string
	err     error
}

func (e *eventWriter) fragment(ctx context.Context, part templ.Component) {
	var text bytes.Buffer
	if e.err = part.Render(ctx, &text); e.err != nil || text.String() == e.last {
		return
	}
	e.last = text.String()
	var event strings.Builder
	for line := range strings.Lines(strings.ReplaceAll(e.last, "\r", "&#13;")) {
		event.WriteString("data: " + strings.TrimSuffix(line, "\n") + "\n")
	}
	e.send(event.String() + "\n")
}

func (e *eventWriter) comment(text string) { e.send(": " + text + "\n\n") }

// ended tells the page that it will hear nothing more.
func (e *eventWriter) ended() { e.send("event: ended\ndata: session\n\n") }

func (e *eventWriter) send(text string) {
	if e.err != nil {
		return
	}
	if e.err = e.control.SetWriteDeadline(time.Now().Add(streamWrite)); e.err != nil {
		return
	}
	if _, e.err = fmt.Fprint(e.w, text); e.err == nil {
		e.err = e.control.Flush()
	}
}

func (u *ui) queueEvents(_ *http.Request, _ *visitor) (fragment, error) {
	first := true
	return func(ctx context.Context, v *visitor) (templ.Component, error) {
		list := u.hub.list()
		if first { // nobody may have watched for an hour
			var err error
			if list, err = u.hub.fresh(ctx); err != nil {
				return nil, err
			}
			first = false
		}
		return queueList(u.queueOf(list, v)), nil
	}, nil
}

func (u *ui) requestEvents(r *http.Request, v *visitor) (fragment, error) {
	id := r.PathValue("id")
	look := func(ctx context.Context, v *visitor) (approvals.Request, error) {
		q, err := u.Approvals.Get(ctx, id)
		if err == nil && !q.VisibleTo(v.decider) {
			err = approvals.ErrNotFound
		}
		return q, err
	}
	if _, err := look(r.Context(), v); err != nil {
		return nil, err
	}
	return func(ctx context.Context, v *visitor) (templ.Component, error) {
		q, err := look(ctx, v)
		if err != nil {
			return nil, err
		}
		return decisionPart(u.requestOf(q, v, answered{})), nil
	}, nil
}
