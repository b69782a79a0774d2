//go:build demo

// Package demo runs the whole of bqgate on loopback: the product as `bqgate serve`, a real Envoy,
// and strict stand-ins for what only Google and an identity provider have. It is linked into
// binaries with the build tag demo alone.
//
// One supervisor holds the OIDC issuer, the Redis protocol and the stand-ins for Google, and runs
// `bqgate serve`, `bqgate console`, Envoy and the SQL engine as children. A child that dies is
// started again after a second. When the supervisor dies, all end.
package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	"github.com/bqgate/bqgate/e2e/fakegoogle"
	"github.com/bqgate/bqgate/e2e/fakegoogle/oidcissuer"
	"github.com/bqgate/bqgate/envoy"
	"github.com/bqgate/bqgate/internal/audit"
	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/config"
	"github.com/bqgate/bqgate/internal/sealed"
	"github.com/bqgate/bqgate/policies"
)

// Options are the flags of `bqgate demo`.
type Options struct {
	Dir                   string   // where everything is kept; default build/demo
	Policies              []string // policy files in place of the default one
	Seeds                 []string // SQL files in place of the default data
	Project               string   // default "demo"
	Redis                 string   // URL of a real Redis in place of the embedded one
	Engine                string   // "sqlengine" (default), "remembering" (for measurements) or "emulator"
	Gateway               string   // file with sections of the gateway's configuration: notifications, approvals
	Address               string   // host to listen on; default 127.0.0.1
	RESTPort, ConsolePort int      // 0 for free ones
	Stdout                io.Writer
	Started               time.Time // when the command began, for the ready line
}

// demo is the running whole.
type demo struct {
	Options
	log    *slog.Logger
	ca     *authority
	issuer *oidcissuer.Issuer
	engine fakegoogle.Engine
	google *fakegoogle.Server
	redis  string
	config config.Config
	ports  ports
	// credentials are the names that the given policies run with; all of them are the demo's one
	// reader.
	credentials []string
	info        info
	gateway     *child
	console     *child
	envoy       *child
	mu          sync.Mutex // guards demo.json
}

// Run runs until ctx ends. It returns nil after an orderly stop.
func Run(ctx context.Context, o Options) (err error) {
	if o.Dir, err = filepath.Abs(o.Dir); err != nil {
		return fmt.Errorf("demo folder: %w", err)
	}
	// Before anything is built up: a child that dies of a mistake in a policy would only be started
	// again and again.
	var named []string
	if len(o.Policies) > 0 {
		set, err := policies.Load(o.Policies, policies.Options{Issuers: []string{issuerName}})
		if err != nil {
			return fmt.Errorf("the policy cannot be used (the demo's issuer is called %s):\n%w", issuerName, err)
		}
		named = set.Credentials()
	}
	if err := fresh(o.Dir); err != nil {
		return err
	}
	logs, err := logFile(filepath.Join(o.Dir, "demo.log"))
	if err != nil {
		return err
	}
	defer logs.Close()
	d := &demo{Options: o, credentials: named, log: slog.New(slog.NewTextHandler(logs, nil))}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var children sync.WaitGroup
	defer children.Wait()
	defer cancel()

	if err := d.startGoogle(ctx); err != nil {
		return err
	}
	defer d.google.Close()
	defer d.issuer.Close()
	closeRedis, err := d.startRedis()
	if err != nil {
		return err
	}
	defer closeRedis()
	if err := d.configure(); err != nil {
		return err
	}
	if err := d.personas(ctx, &children); err != nil {
		return err
	}
	if err := d.startChildren(ctx, &children); err != nil {
		return err
	}
	if err := d.ready(ctx); err != nil {
		return err
	}
	if err := d.publish(ctx); err != nil {
		return err
	}
	d.greet()
	d.watchPIDs(ctx)
	<-ctx.Done()
	fmt.Fprintln(d.Stdout, "\nbqgate demo: stopping")
	return os.Remove(filepath.Join(d.Dir, "demo.json"))
}

// fresh makes an empty folder of the demo's own. It only ever empties a folder that an earlier demo
// made.
func fresh(dir string) error {
	marker := filepath.Join(dir, ".bqgate-demo")
	entries, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, os.ErrNotExist) || err == nil && len(entries) == 0:
	case err == nil && onlyAudit(dir, entries): // an empty folder for the journal, which may be a disk of its own
	case err != nil:
		return fmt.Errorf("demo folder: %w", err)
	default:
		if _, err := os.Stat(marker); err != nil {
			return fmt.Errorf("demo folder %s holds something else; name an empty one with --dir", dir)
		}
		for _, e := range entries {
			if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
				return fmt.Errorf("empty demo folder: %w", err)
			}
		}
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make demo folder: %w", err)
	}
	return os.WriteFile(marker, nil, 0o600)
}

func onlyAudit(dir string, entries []os.DirEntry) bool {
	if len(entries) != 1 || entries[0].Name() != "audit" {
		return false
	}
	in, err := os.ReadDir(filepath.Join(dir, "audit"))
	return err == nil && len(in) == 0
}

// The service accounts of the demo's Google project.

// startChildren runs `bqgate serve`, `bqgate console` and Envoy.
func (d *demo) startChildren(ctx context.Context, group *sync.WaitGroup) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find own binary: %w", err)
	}
	binary, err := envoy.Find(ctx, filepath.Dir(self))
	if err != nil {
		return err
	}
	gatewayLog, err := logFile(filepath.Join(d.Dir, "bqgate.log"))
	if err != nil {
		return err
	}
	consoleLog, err := logFile(filepath.Join(d.Dir, "console.log"))
	if err != nil {
		return err
	}
	envoyLog, err := logFile(filepath.Join(d.Dir, "envoy.log"))
	if err != nil {
		return err
	}
	d.gateway = &child{name: "bqgate", log: gatewayLog, slog: d.log, command: func() *exec.Cmd {
		return exec.Command(self, "serve", "--config", d.path("bqgate.yaml"))
	}}
	d.console = &child{name: "console", log: consoleLog, slog: d.log, command: func() *exec.Cmd {
		return exec.Command(self, "console", "--config", d.path("bqgate.yaml"))
	}}
	d.envoy = &child{name: "envoy", log: envoyLog, slog: d.log, command: func() *exec.Cmd {
		return envoy.Command(context.Background(), envoy.Process{Binary: binary, Bootstrap: d.path("envoy.yaml")})
	}}
	for _, c := range []*child{d.gateway, d.console, d.envoy} {
		group.Go(func() { c.run(ctx, d.rewrite) })
	}
	return nil
}

func (d *demo) path(name string) string { return filepath.Join(d.Dir, name) }

// ready waits until a request went all the way: through Envoy and both services to BigQuery and
// back.
func (d *demo) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 60*time.Second)
	defer cancel()
	token, err := d.issuer.Token(d.mint(persona{subject: "readiness"}, "bqgate"))
	if err != nil {
		return fmt.Errorf("mint a token for the readiness probe: %w", err)
	}
	for {
		if d.probe(ctx, token) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the demo did not come up within 60 s; see %s", d.path("*.log"))
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// probe says whether the data path decides: a subject in no policy must get bqgate's own 403.
func (d *demo) probe(ctx context.Context, token string) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, d.info.REST+"/bigquery/v2/projects/"+d.Project+"/jobs/readiness", nil)
	if err != nil {
		return false
	}
	req.Header.Set("authorization", "Bearer "+token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	io.Copy(io.Discard, resp.Body)
	if resp.StatusCode != http.StatusForbidden {
		return false
	}
	console, err := http.Get(d.info.Console + "/healthz")
	if err != nil {
		return false
	}
	console.Body.Close()
	return console.StatusCode == http.StatusOK
}

// keys writes the secrets of this demo.
func (d *demo) keys() error {
	secret, err := sealed.Generate()
	if err != nil {
		return err
	}
	if err := os.WriteFile(d.path("sealing.key"), []byte(secret), 0o600); err != nil {
		return fmt.Errorf("write sealing key: %w", err)
	}
	if _, err := audit.GenerateKey(d.path("audit.key")); err != nil {
		return fmt.Errorf("make audit key: %w", err)
	}
	return nil
}

// canaries are the values of all columns that a loaded policy marks sensitive.
func (d *demo) canaries(ctx context.Context) ([]canary, error) {
	set, err := policies.Load(d.config.Policies, policies.Options{Issuers: []string{issuerName}, Credentials: d.config.Credentials.Runs(),
		Projects: d.config.Credentials.Projects()})
	if err != nil {
		return nil, err
	}
	catalog, err := d.engine.Catalog(ctx)
	if err != nil {
		return nil, fmt.Errorf("list tables: %w", err)
	}
	out := []canary{{Value: fakegoogle.InternalsCanary, Column: "what errors tell of Google's machines"}}
	for _, found := range catalog.Tables {
		if found.View {
			continue
		}
		t := bigquery.Table{TableReference: found.ID, Schema: bigquery.Schema{Fields: found.Schema}}
		for _, c := range set.SensitiveColumns(&t) {
			column := c.Path[len(t.TableReference.String())+1:]
			values, err := d.google.Values(ctx, t.TableReference.String(), column)
			if err != nil {
				return nil, fmt.Errorf("read the values of %s: %w", c.Path, err)
			}
			for _, v := range values {
				out = append(out, canary{Value: v, Column: t.TableReference.Dataset + "." + t.TableReference.Table + "." + column})
			}
		}
	}
	return out, nil
}

// rewrite puts the children's current process ids into demo.json.
func (d *demo) rewrite() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.info.Project == "" {
		return // not published yet
	}
	d.info.PIDs = map[string]int{
		"demo": os.Getpid(), "bqgate": d.gateway.PID(), "console": d.console.PID(), "envoy": d.envoy.PID(), "engine": d.google.EnginePID(),
	}
	text, err := json.MarshalIndent(d.info, "", "  ")
	if err == nil {
		err = writeAtomic(d.path("demo.json"), append(text, '\n'), 0o600)
	}
	if err != nil {
		d.log.Error("demo.json not written", "error", err)
	}
}
