//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// browser is a real Chromium. Each person gets a profile of their own in it.
type browser struct {
	t     *testing.T
	ctx   context.Context
	pages [][]byte // the text of every page that was looked at
}

func startBrowser(t *testing.T) *browser {
	t.Helper()
	binary, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatalf("%v: `make test` installs it", err)
	}
	options := []chromedp.ExecAllocatorOption{chromedp.ExecPath(binary), chromedp.UserDataDir(t.TempDir()), chromedp.WindowSize(1280, 900)}
	for _, flag := range []string{
		"headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-background-networking",
		"disable-component-update", "disable-sync", "disable-dev-shm-usage",
	} {
		options = append(options, chromedp.Flag(flag, true))
	}
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(cancel)
	ctx, cancelFirst := chromedp.NewContext(ctx)
	t.Cleanup(cancelFirst)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("start chromium: %v", err)
	}
	return &browser{t: t, ctx: ctx}
}

// tab is one person at the console.
type tab struct {
	t       *testing.T
	browser *browser
	ctx     context.Context
	name    string

	mu       sync.Mutex
	problems []string // what the browser complained about: scripts that failed, content that the policy of the page forbids
}

func (b *browser) person(name string) *tab {
	b.t.Helper()
	p := &tab{t: b.t, browser: b, name: name}
	ctx, cancel := chromedp.NewContext(b.ctx, chromedp.WithNewBrowserContext(), chromedp.WithListener(p.hear))
	b.t.Cleanup(cancel)
	p.ctx = ctx
	if err := chromedp.Do(ctx); err != nil {
		b.t.Fatalf("open a tab for %s: %v", name, err)
	}
	p.do(command(log.Enable, cdp.Empty{}), command(runtime.Enable, cdp.Empty{}))
	b.t.Cleanup(func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, problem := range p.problems {
			b.t.Errorf("%s's browser: %s", name, problem)
		}
	})
	return p
}

// hear keeps what the browser complains about.
func (p *tab) hear(event any) {
	var problem string
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		problem = e.ExceptionDetails.Text
		if e.ExceptionDetails.Exception != nil {
			problem += " " + e.ExceptionDetails.Exception.Description
		}
	case *log.EventEntryAdded:
		if e.Entry.Source == "security" || strings.Contains(e.Entry.Text, "Content Security Policy") {
			problem = e.Entry.Text
		}
	}
	if problem != "" {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.problems = append(p.problems, problem)
	}
}

// step is an action of the browser that returns nothing.
type step = chromedp.Action[chromedp.Void]

func command[P, R any](c cdp.Command[P, R], params P) step {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, c, params)
		return err
	})
}

// do runs steps within thirty seconds.
func (p *tab) do(steps ...step) {
	p.t.Helper()
	result(p, chromedp.Steps(steps...))
}

func result[T any](p *tab, action chromedp.Action[T]) T {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, 30*time.Second)
	defer cancel()
	out, err := chromedp.Run(ctx, action)
	if err != nil {
		at, _ := chromedp.Run(p.ctx, chromedp.Location())
		text, _ := chromedp.Run(p.ctx, chromedp.Evaluate[string](`document.body ? document.body.innerText : ""`))
		p.t.Fatalf("%s: %v, at %s:\n%s", p.name, err, at, text)
	}
	return out
}

// login goes to a page of the console and logs in on the way. The issuer's page is the demo's.
func (p *tab) login(url string) {
	p.t.Helper()
	p.do(chromedp.Navigate(url), chromedp.Click(`button[value="`+p.name+`"]`), chromedp.WaitVisible("header .me, main h1"))
}

func (p *tab) open(url string) {
	p.t.Helper()
	p.do(chromedp.Navigate(url))
}

func (p *tab) click(selector string) {
	p.t.Helper()
	p.do(chromedp.Click(selector))
}

func (p *tab) write(selector, text string) {
	p.t.Helper()
	p.do(chromedp.SendKeys(selector, text))
}

// press types on the keyboard, wherever the focus is.
func (p *tab) press(keys string) {
	p.t.Helper()
	p.do(chromedp.KeyEvent(keys))
}

// tabTo presses the Tab key until an element has the focus, as who has no mouse does.
func (p *tab) tabTo(selector string) {
	p.t.Helper()
	for range 40 {
		if p.script(fmt.Sprintf(`String(document.activeElement.matches(%q))`, selector)) == "true" {
			return
		}
		p.press(kb.Tab)
	}
	p.t.Fatalf("%s cannot reach %s by keyboard, but %s", p.name, selector, p.script(`document.activeElement.outerHTML`))
}

// sees waits until an element shows a text.
func (p *tab) sees(selector, want string) {
	p.t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	text := ""
	for {
		text = p.script(fmt.Sprintf(`[...document.querySelectorAll(%q)].map(e => e.innerText).join("\n")`, selector))
		if strings.Contains(text, want) {
			return
		}
		if time.Now().After(deadline) {
			p.t.Fatalf("%s does not see %q in %s, but %q; the page is\n%s", p.name, want, selector, text,
				p.script(`document.body.innerText`))
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func (p *tab) count(selector string) string {
	p.t.Helper()
	return p.script(fmt.Sprintf(`String(document.querySelectorAll(%q).length)`, selector))
}

// script runs JavaScript, a promise too, and returns its string.
func (p *tab) script(source string) string {
	p.t.Helper()
	return result(p, chromedp.Evaluate[string](source, chromedp.EvalAwaitPromise))
}

// post sends a form as a script of the page that is open would, with the person's cookies, and
// returns the status.
func (p *tab) post(url, reason string) string {
	p.t.Helper()
	return p.script(fmt.Sprintf(
		`fetch(%q, {method: "POST", redirect: "manual", headers: {"content-type": "application/x-www-form-urlencoded"}, body: "reason=" + encodeURIComponent(%q)})
		.then(r => r.type === "opaqueredirect" ? "redirect" : String(r.status))`, url, reason))
}

// size sets the window as a phone or a desk has it.
func (p *tab) size(width, height int64) {
	p.t.Helper()
	if width < 600 {
		p.do(chromedp.EmulateViewport(width, height, chromedp.EmulateMobile, chromedp.EmulateTouch))
		return
	}
	p.do(chromedp.EmulateViewport(width, height))
}

func (p *tab) dark(on bool) {
	p.t.Helper()
	value := map[bool]string{true: "dark", false: "light"}[on]
	p.do(command(emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: value},
			{Name: "prefers-reduced-motion", Value: "reduce"}},
	}))
}

// look takes pictures of the page at 1280 and 390 pixels into build/console, and lets axe and the
// eye of a phone's owner judge it, the phone at night.
func (p *tab) look(name string) {
	p.t.Helper()
	dir := filepath.Join(repoRoot(p.t), "build", "console")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		p.t.Fatal(err)
	}
	p.browser.pages = append(p.browser.pages, []byte(p.script(`document.documentElement.outerHTML`)))
	for _, shot := range []struct {
		suffix        string
		width, height int64
		dark          bool
	}{{"1280", 1280, 900, false}, {"390", 390, 844, true}} {
		p.size(shot.width, shot.height)
		p.dark(shot.dark)
		png := result(p, chromedp.FullScreenshot(100))
		if err := os.WriteFile(filepath.Join(dir, name+"-"+shot.suffix+".png"), png, 0o644); err != nil {
			p.t.Fatal(err)
		}
		p.axe(name + " at " + shot.suffix)
		if wide := p.script(`String(document.documentElement.scrollWidth - document.documentElement.clientWidth)`); wide != "0" {
			p.t.Errorf("%s at %s: the page is %s pixels wider than the window", name, shot.suffix, wide)
		}
	}
	p.dark(false)
	p.size(1280, 900)
}

// axe wants no finding of axe-core, which `make test` puts into build/axe.
func (p *tab) axe(what string) {
	p.t.Helper()
	source, err := os.ReadFile(filepath.Join(repoRoot(p.t), "build", "axe", "axe.min.js"))
	if err != nil {
		p.t.Fatalf("%v: `make test` puts it there", err)
	}
	if p.script(`typeof axe`) == "undefined" {
		p.do(chromedp.Evaluate[chromedp.Void](string(source)))
	}
	found := p.script(`axe.run(document, {resultTypes: ["violations"]}).then(r => r.violations.map(v => v.id + ": " + v.help + "\n" +
		v.nodes.map(n => "    " + n.target + " " + n.failureSummary.replace(/\s+/g, " ")).join("\n")).join("\n"))`)
	if found != "" {
		p.t.Errorf("axe on %s:\n%s", what, found)
	}
}
