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

// options are the flags. The defaults keep a run at about ten minutes on two cores.
type options struct {
	only     string
	requests int
	download int64
	stream   int64
	rounds   int
	holds    int
	folder   string
}

// section is a group of rows of the table.
type section struct {
	name string
	run  func(context.Context, *bench) error
}

var sections = []section{
	{"query", latencies},
	{"refusals", refusals},
	{"check", newSQL},
	{"sql", sqlWorkers},
	{"audit", durable},
	{"identity", verifications},
	{"masker", masker},
	{"download", downloads},
	{"memory", memory},
	{"holds", holds},
}

// bench is one run.
type bench struct {
	options
	*system.System // nil until a section asks for it by up
	table          table
	out            io.Writer
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	b := &bench{out: out}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	var names []string
	for _, s := range sections {
		names = append(names, s.name)
	}
	flags.StringVar(&b.only, "only", "", "sections to run, with commas: "+strings.Join(names, ", "))
	flags.IntVar(&b.requests, "requests", 1000, "queries of each latency figure")
	flags.Int64Var(&b.download, "download", 100<<20, "bytes of the measured download")
	flags.IntVar(&b.rounds, "rounds", 5, "downloads each way; the median counts")
	flags.Int64Var(&b.stream, "stream", 1<<30, "bytes that stream through while memory is watched")
	flags.IntVar(&b.holds, "holds", 1000, "queries that wait for approval while others run")
	flags.StringVar(&b.folder, "keep", "", "folder for everything that the run writes, kept; default a temporary one")
	if err := flags.Parse(args); err != nil {
		return err
	}
	wanted := strings.FieldsFunc(b.only, func(r rune) bool { return r == ',' || r == ' ' })
	for _, w := range wanted {
		if !slices.Contains(names, w) {
			return fmt.Errorf("-only %q: want some of %s", w, strings.Join(names, ", "))
		}
	}
	defer func() {
		if b.System != nil {
			b.System.Stop()
		}
	}()
	begin := time.Now()
	for _, s := range sections {
		if len(wanted) > 0 && !slices.Contains(wanted, s.name) {
			continue
		}
		started := time.Now()
		if err := s.run(ctx, b); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		fmt.Fprintf(out, "bench: %s done in %s\n", s.name, time.Since(started).Round(time.Second))
	}
	fmt.Fprintf(out, "\n%s, %d cores, %s/%s, %s; the run took %s\n\n", time.Now().Format("2006-01-02"), runtime.NumCPU(), runtime.GOOS,
		runtime.GOARCH, runtime.Version(),
		time.Since(begin).Round(time.Second))
	return b.table.write(out)
}

// up starts the system under measurement, once.
func (b *bench) up(ctx context.Context) error {
	if b.System != nil {
		return nil
	}
	var err error
	b.System, err = system.Start(ctx, b.folder)
	return err
}
