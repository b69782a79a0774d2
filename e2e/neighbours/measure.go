package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/bqgate/bqgate/e2e/system"
)

// neighbourhood is one run.
type neighbourhood struct {
	*system.System
	options
	out           io.Writer
	gateway, echo door
}

// prepare makes the honest callers, and lets the gateway see what they ask.
func (n *neighbourhood) prepare(ctx context.Context) error {
	n.gateway = door{name: "bqgate", rest: n.Info.REST, restTLS: n.Info.RESTTLS, token: n.Info.TokenURL, console: n.Info.Console}
	n.echo = door{name: "echo", rest: n.Echo.URL, restTLS: n.Echo.TLS, token: n.Echo.Token}
	for i := range n.callers {
		token, err := n.Mint(ctx, fmt.Sprintf("honest-%d@agents.example", i))
		if err != nil {
			return err
		}
		n.gateway.jwts = append(n.gateway.jwts, token)
		n.gateway.bearers = append(n.gateway.bearers, token)
		n.echo.bearers = append(n.echo.bearers, "nobody")
	}
	for _, d := range []door{n.gateway, n.echo} {
		warm := n.steady(ctx, d, 2*pause)
		if k := warm.failed(); k > 0 {
			return fmt.Errorf("%s: %d of %d honest queries failed before any flood: %s", d.name, k, warm.asked, warm.worst())
		}
	}
	return nil
}

// result is a line of the table.
type result struct {
	flood     flood
	did       string // of the attacker at the gateway
	quiet     *experience
	beside    *experience
	echoQuiet *experience
	echo      *experience
}

// measure runs one flood at both doors.
func (n *neighbourhood) measure(ctx context.Context, f flood) (r result, err error) {
	r.flood = f
	if r.quiet, r.beside, r.did, err = n.at(ctx, n.gateway, f); err != nil {
		return r, err
	}
	r.echoQuiet, r.echo, _, err = n.at(ctx, n.echo, f)
	return r, err
}

// rampUp is how long a flood has run when honest callers are measured beside it.
const rampUp = 3 * time.Second

// at measures honest callers at one door, alone and beside a flood.
func (n *neighbourhood) at(ctx context.Context, d door, f flood) (quiet, beside *experience, did string, err error) {
	a, err := n.attacker(ctx, d, f)
	if err != nil {
		return nil, nil, "", err
	}
	quiet = n.steady(ctx, d, n.quiet)
	child, err := n.spawnAttack(ctx, a)
	if err != nil {
		return nil, nil, "", err
	}
	wait(ctx, rampUp)
	beside = n.steady(ctx, d, n.flood)
	did = child.stop()
	wait(ctx, 2*time.Second) // what the flood left behind ends
	if err := n.Forget(ctx); err != nil {
		return nil, nil, "", err
	}
	return quiet, beside, did, ctx.Err()
}

// attacker is who floods: what a flood gets to know.
type attacker struct {
	Flood   string `json:"flood"`
	REST    string `json:"rest"`    // host:port
	RESTTLS string `json:"resttls"` // host:port
	Token   string `json:"token"`   // host:port
	Console string `json:"console"` // host:port; of the echo its REST listener
	Project string `json:"project"`
	Bearer  string `json:"bearer"` // of an agent, for the data path
	JWT     string `json:"jwt"`    // its OIDC token
	Person  string `json:"person"` // a token for the console, of somebody who may see nothing there
	Echo    bool   `json:"echo"`
}

func (n *neighbourhood) attacker(ctx context.Context, d door, f flood) (attacker, error) {
	rest, err := url.Parse(d.rest)
	if err != nil {
		return attacker{}, err
	}
	token, err := url.Parse(d.token)
	if err != nil {
		return attacker{}, err
	}
	restTLS, err := url.Parse(d.restTLS)
	if err != nil {
		return attacker{}, err
	}
	a := attacker{
		Flood:   f.name,
		REST:    rest.Host,
		RESTTLS: restTLS.Host,
		Token:   token.Host,
		Console: rest.Host,
		Project: n.Info.Project,
		Echo:    d.console == "",
		Bearer:  "nobody",
	}
	if a.Echo {
		return a, nil
	}
	console, err := url.Parse(d.console)
	if err != nil {
		return a, err
	}
	a.Console = console.Host
	if a.Bearer, err = n.Mint(ctx, "attacker-"+f.name+"@agents.example"); err != nil {
		return a, err
	}
	a.JWT = a.Bearer
	person, err := os.ReadFile(n.Info.Personas["analyst"].ConsoleTokenFile)
	a.Person = strings.TrimSpace(string(person))
	return a, err
}

// attackProcess is a flood in a process of its own, so that it does not slow what is measured more
// than any other program would.
type attackProcess struct {
	cmd  *exec.Cmd
	said *bufio.Scanner
}

func (n *neighbourhood) spawnAttack(ctx context.Context, a attacker) (*attackProcess, error) {
	text, err := json.Marshal(a)
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self, "attack", string(text))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &attackProcess{cmd: cmd, said: bufio.NewScanner(out)}
	if !p.said.Scan() { // "ready"
		return nil, errors.Join(fmt.Errorf("the flood %s ended before it began", a.Flood), cmd.Wait())
	}
	return p, nil
}

// stop ends the flood, and returns what it says that it did.
func (p *attackProcess) stop() string {
	p.cmd.Process.Signal(os.Interrupt)
	kill := time.AfterFunc(10*time.Second, func() { p.cmd.Process.Kill() })
	defer kill.Stop()
	var last string
	for p.said.Scan() {
		last = p.said.Text()
	}
	p.cmd.Wait()
	return last
}

// attack is the child: it floods until it is interrupted. Go lets a process of its own open as many
// files as it may.
func attack(ctx context.Context, text string) {
	var a attacker
	if err := json.Unmarshal([]byte(text), &a); err != nil {
		fmt.Fprintln(os.Stderr, "neighbours: attack:", err)
		os.Exit(1)
	}
	for _, f := range floods {
		if f.name == a.Flood {
			t := &tally{}
			if err := f.run(ctx, a, t, func() { fmt.Println("ready") }); err != nil && ctx.Err() == nil {
				fmt.Fprintln(os.Stderr, "neighbours: attack:", err)
				os.Exit(1)
			}
			fmt.Println(t)
			return
		}
	}
	fmt.Fprintf(os.Stderr, "neighbours: no flood %q\n", a.Flood)
	os.Exit(1)
}

// line is the result while the run goes on.
func (r result) line() string {
	return fmt.Sprintf("%-16s bqgate %s → %s; echo %s → %s; p99 beside it %s of the echo's; the flood: %s", r.flood.name, short(r.quiet),
		short(r.beside), short(r.echoQuiet), short(r.echo), r.ratio(), r.did)
}

func short(e *experience) string {
	s := fmt.Sprintf("%.1f/%.1f ms", milliseconds(e.percentile(50)), milliseconds(e.percentile(99)))
	if k := e.failed(); k > 0 {
		s += fmt.Sprintf(" (%d of %d failed: %s)", k, e.asked, e.worst())
	}
	return s
}

func (r result) ratio() string {
	base := r.echo.percentile(99)
	if base == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f×", float64(r.beside.percentile(99))/float64(base))
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// write prints the table as Markdown, for docs/performance.md.
func write(out io.Writer, rows []result) error {
	w := tabwriter.NewWriter(out, 0, 0, 1, ' ', 0)
	fmt.Fprintln(w, "| flood\t| failed\t| p50 / p99 before\t| p50 / p99 beside it\t| the echo's before\t| beside it\t| p99 to p99\t|")
	fmt.Fprintln(w, "|---\t|---\t|---\t|---\t|---\t|---\t|---\t|")
	figures := func(e *experience) string {
		return fmt.Sprintf("%.1f / %.1f ms", milliseconds(e.percentile(50)), milliseconds(e.percentile(99)))
	}
	for _, r := range rows {
		fmt.Fprintf(w, "| %s\t| %d of %d\t| %s\t| %s\t| %s\t| %s\t| %s\t|\n", r.flood.about, r.beside.failed(), r.beside.asked,
			figures(r.quiet), figures(r.beside), figures(r.echoQuiet), figures(r.echo), r.ratio())
	}
	return w.Flush()
}
