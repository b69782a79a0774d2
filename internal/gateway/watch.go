package gateway

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/bqgate/bqgate/internal/cause"
	"github.com/bqgate/bqgate/internal/config"
	"github.com/bqgate/bqgate/internal/console"
	"github.com/bqgate/bqgate/internal/health"
	"github.com/bqgate/bqgate/internal/identity"
	"github.com/bqgate/bqgate/internal/jobs"
)

const (
	watchEvery = time.Second
	askWithin  = time.Second // Redis, or the console
	// tries is how many looks in a row must find Redis, the SQL workers or the console gone: one
	// may fall into a pause that ends by itself.
	tries = 3
)

// kinds are the kinds of parts that there are: labels of metrics.
var kinds = []string{
	"journal", "journal-folder", "disk", "redis", "approvals", "keys", "sockets", "sql", "budgets", "issuer", "console", "kept",
	"key-files", "signer",
}

// watched are the parts that are looked at, because they cannot say themselves that they are gone.
type watched struct {
	g       *gateway
	missing func() string
	records *jobs.Store

	sockets, redis, sql, keys *health.Part
	console                   *health.Part
	issuers                   map[string]*health.Part
	failed                    map[*health.Part]int
	misspelt                  map[string]bool // issuers of which that was logged
}

// watch looks at them until ctx ends.
func (g *gateway) watch(ctx context.Context, missing func() string) error {
	w := &watched{
		g: g, missing: missing, records: jobs.NewStore(g.redis, g.keys), issuers: map[string]*health.Part{}, failed: map[*health.Part]int{},
		misspelt: map[string]bool{},
		sockets:  g.parts.Part("sockets", health.Everybody), redis: g.parts.Part("redis", health.Everybody),
		sql: g.parts.Part("sql", health.Everybody), keys: g.parts.Part("keys", health.Everybody),
		console: g.parts.Part("console", health.Some),
	}
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		w.look(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (w *watched) look(ctx context.Context) {
	w.lookAtRedis(ctx)
	if staff := w.g.pool.Staff(); staff.Alive == 0 {
		w.patiently(w.sql, "no SQL worker lives, and none starts; no statement is understood", fmt.Errorf("none"))
	} else {
		w.patiently(w.sql, "", nil)
	}
	if name := w.missing(); name != "" {
		w.sockets.Fault("the socket " + name + " was removed or replaced; Envoy cannot connect: restart bqgate serve")
	} else if ctx.Err() == nil {
		w.sockets.Well()
	}
	w.lookAtIssuers(w.g.who.verifier.Issuers())
	w.lookAtSigners(w.g.broker.Signers())
	if w.g.config.Console.Process == config.ProcessSeparate {
		w.patiently(w.console, "does not answer at its address; nobody can approve. Queries go on", w.askConsole(ctx))
	}
}

// lookAtSigners: queries under an account whose sealed key nobody holds are refused; without the
// inspection account's, or the gateway's own identity, those of everybody.
func (w *watched) lookAtSigners(all map[string]error) {
	for name, err := range all {
		whom := health.Some
		if name == "source" || name == w.g.config.Credentials.Inspection {
			whom = health.Everybody
		}
		p := w.g.parts.Part("signer/"+name, whom)
		if err == nil {
			p.Well()
			continue
		}
		p.Fault("nobody signs for it, so that queries which need it are refused: " + err.Error())
	}
}

// patiently is a fault once it was found so often in a row.
func (w *watched) patiently(p *health.Part, reason string, err error) {
	if err == nil {
		w.failed[p] = 0
		p.Well()
		return
	}
	if w.failed[p]++; w.failed[p] >= tries {
		p.Fault(reason)
	}
}

// lookAtRedis asks Redis to write: a server that is read-only or full answers, and takes nothing.
func (w *watched) lookAtRedis(ctx context.Context) {
	look, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	err := w.records.Takes(look)
	w.patiently(w.redis, "takes no records, so that no query is sent: "+redisCause(err), err)
}

// lookAtIssuers: one issuer whose keys cannot be fetched concerns those who have its tokens; all
// issuers without any key that may be used concern everybody.
func (w *watched) lookAtIssuers(all []identity.IssuerState) {
	usable := len(all) == 0
	for _, i := range all {
		p := w.issuers[i.Name]
		if p == nil {
			p = w.g.parts.Part("issuer/"+i.Name, health.Some)
			w.issuers[i.Name] = p
		}
		switch {
		case i.Failed == nil:
			p.Well()
		case i.Usable:
			p.Fault("its keys cannot be fetched; those that are known serve for a day: " + cause.Words(i.Failed))
		default:
			p.Fault("its keys cannot be fetched, and none is known: its tokens are refused: " + cause.Words(i.Failed))
		}
		if i.Misspelt != "" && !w.misspelt[i.Name] {
			w.misspelt[i.Name] = true
			w.g.log.Warn("a token came whose issuer is nearly a configured one, and was refused; if it is the issuer's own, write its "+
				"url so",
				"issuer", i.Name, "iss", i.Misspelt, "url", i.URL)
		}
		usable = usable || i.Usable || i.Failed == nil // not asked yet is not failed
	}
	if usable {
		w.keys.Well()
	} else {
		w.keys.Fault("of no issuer a key is known, and none can be fetched: no token can be verified")
	}
}

var consoleClient = &http.Client{
	Timeout:       askWithin,
	Transport:     &http.Transport{DisableKeepAlives: true},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// askConsole asks the console whether it lives, at the address where it listens.
func (w *watched) askConsole(ctx context.Context) error {
	host, port, err := net.SplitHostPort(w.g.config.Console.Address)
	if err != nil {
		return err
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort(host, port)+console.HealthPath, nil)
	if err != nil {
		return err
	}
	answer, err := consoleClient.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("the console answered %d", answer.StatusCode)
	}
	return nil
}
