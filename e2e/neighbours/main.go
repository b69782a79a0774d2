package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/bqgate/bqgate/e2e/system"
)

// options are the flags.
type options struct {
	only    string
	flood   time.Duration
	quiet   time.Duration
	callers int
	folder  string
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if len(os.Args) == 3 && os.Args[1] == "attack" {
		attack(ctx, os.Args[2])
		return
	}
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "neighbours:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	var o options
	flags := flag.NewFlagSet("neighbours", flag.ContinueOnError)
	flags.StringVar(&o.only, "only", "", "floods to run, with commas: "+strings.Join(names(), ", "))
	flags.DurationVar(&o.flood, "flood", time.Minute, "how long each flood lasts")
	flags.DurationVar(&o.quiet, "quiet", 20*time.Second, "how long honest callers are measured alone before each flood")
	flags.IntVar(&o.callers, "callers", 200, "honest callers; each asks every five seconds")
	flags.StringVar(&o.folder, "keep", "", "folder for everything that the run writes, kept; default a temporary one")
	if err := flags.Parse(args); err != nil {
		return err
	}
	wanted := strings.FieldsFunc(o.only, func(r rune) bool { return r == ',' || r == ' ' })
	for _, w := range wanted {
		if !slices.Contains(names(), w) {
			return fmt.Errorf("-only %q: want some of %s", w, strings.Join(names(), ", "))
		}
	}
	s, err := system.Start(ctx, o.folder)
	if err != nil {
		return err
	}
	defer s.Stop()
	n := &neighbourhood{System: s, options: o, out: out}
	if err := n.prepare(ctx); err != nil {
		return err
	}
	var rows []result
	for _, f := range floods {
		if len(wanted) > 0 && !slices.Contains(wanted, f.name) {
			continue
		}
		r, err := n.measure(ctx, f)
		if err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
		rows = append(rows, r)
		fmt.Fprintln(out, r.line())
	}
	fmt.Fprintf(
		out,
		"\n%s, %d cores, %s/%s, %s; %d honest callers, %.0f queries a second, floods of %s\n\n",
		time.Now().Format("2006-01-02"),
		runtime.NumCPU(),
		runtime.GOOS,
		runtime.GOARCH,
		runtime.Version(),
		o.callers,
		float64(o.callers)/pause.Seconds(),
		o.flood,
	)
	return write(out, rows)
}

func names() []string {
	var out []string
	for _, f := range floods {
		out = append(out, f.name)
	}
	return out
}
