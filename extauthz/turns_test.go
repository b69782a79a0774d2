package extauthz

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/identity"
	"github.com/bqgate/bqgate/internal/limits"
)

// A38: reading a body costs more than sending it, so it is read for those who have shown who they
// are, within the limits of requests. The method is known in any case, for the record.
func TestWhoseBodyIsRead(t *testing.T) {
	for name, c := range map[string]struct {
		before func(w *boundWorld, owner string)
		err    error
		read   bool
	}{
		"a known subject's": {read: true},
		"a stranger's":      {err: &identity.Error{Status: http.StatusUnauthorized, Reason: "authError", Message: "no token"}},
		"beyond requests at once": {before: func(w *boundWorld, owner string) {
			w.s.Limits = limits.New(few(limits.Requests))
			if _, err := w.s.Limits.Begin(owner, limits.Requests); err != nil {
				t.Fatal(err)
			}
		}},
		"beyond requests a second": {before: func(w *boundWorld, owner string) {
			w.s.Limits = limits.New(few(limits.RequestRate))
			w.s.Limits.Charge(owner, limits.RequestRate, 1)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newBoundWorld(t)
			if c.err != nil {
				w.s.Identity = &door{err: c.err}
			}
			if c.before != nil {
				known, err := w.s.identify(t.Context(), w.s.arrived(request{}))
				if err != nil {
					t.Fatal(err)
				}
				c.before(w, known.subject.Budget)
			}
			a, o := w.s.decide(
				t.Context(),
				w.s.arrived(request{http: bigquery.Request{Verb: "POST", Path: queriesPath, Body: []byte(plainQuery),
					Header: map[string][]string{"content-type": {"application/json"}}}}),
			)
			if a.op.Method != bigquery.MethodQuery || (a.op.Query != nil) != c.read {
				t.Errorf("read as %s, query %v: %d %s", a.op.Method, a.op.Query, o.status, o.body)
			}
		})
	}
}

// Large bodies of one owner are read one after the other, and those of others beside them. Whose
// time is over waits no longer, and leaves nothing.
func TestTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var all turns
		done, err := all.turn(t.Context(), "a")
		if err != nil {
			t.Fatal(err)
		}
		next := make(chan func())
		go func() {
			done, err := all.turn(t.Context(), "a")
			if err != nil {
				t.Error(err)
			}
			next <- done
		}()
		synctest.Wait()
		select {
		case <-next:
			t.Error("two of one owner at once")
		default:
		}
		other, err := all.turn(t.Context(), "b")
		if err != nil {
			t.Errorf("another owner: %v", err)
		}
		other()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := all.turn(ctx, "a"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a third, whose time is over: %v", err)
		}
		done()
		(<-next)()
		if len(all.owners) > 0 {
			t.Errorf("%d owners are kept", len(all.owners))
		}
	})
}

// Which bodies wait for a turn: long ones, and whatever may be long once it is unpacked.
func TestLargeBodies(t *testing.T) {
	gzip := map[string][]string{"content-encoding": {"gzip"}}
	for name, c := range map[string]struct {
		r    bigquery.Request
		want bool
	}{
		"none":           {bigquery.Request{}, false},
		"none, as gzip":  {bigquery.Request{Header: gzip}, false},
		"small":          {bigquery.Request{Body: []byte(plainQuery)}, false},
		"small, as gzip": {bigquery.Request{Body: []byte("x"), Header: gzip}, true},
		"large":          {bigquery.Request{Body: []byte(strings.Repeat("x", 64<<10+1))}, true},
	} {
		t.Run(name, func(t *testing.T) {
			if got := c.r.Large(); got != c.want {
				t.Errorf("large: %v", got)
			}
		})
	}
}
