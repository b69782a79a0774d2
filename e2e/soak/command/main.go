// Command soak runs package soak. `make soak` calls it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/bqgate/bqgate/e2e/soak"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	o := soak.Options{Root: ".", Out: os.Stdout}
	flags := flag.NewFlagSet("soak", flag.ContinueOnError)
	flags.DurationVar(&o.Length, "length", 30*time.Minute, "how long the load lasts")
	flags.DurationVar(&o.Every, "every", 20*time.Second, "from one fault to the next")
	flags.Uint64Var(&o.Seed, "seed", uint64(time.Now().Unix()), "of the faults and of what each caller does")
	flags.IntVar(&o.Callers, "callers", 200, "agents, each of them a subject of its own")
	flags.DurationVar(&o.Pause, "pause", 5*time.Second, "from one request of an agent to its next")
	flags.StringVar(&o.Dir, "keep", "", "folder for everything that the run writes, kept; default a temporary one")
	only := flags.String("only", "", "faults, with commas: "+strings.Join(soak.FaultNames(), ", "))
	if err := flags.Parse(args); err != nil {
		return err
	}
	if o.Callers < 1 || o.Every <= 0 || o.Pause <= 0 {
		return errors.New("-callers, -every and -pause must be above 0")
	}
	o.Only = strings.FieldsFunc(*only, func(r rune) bool { return r == ',' })
	fmt.Printf("soak: seed %d\n", o.Seed)
	r, err := soak.Run(ctx, o)
	if r != nil {
		if err := r.Write(os.Stdout); err != nil {
			return err
		}
	}
	if err == nil && len(r.Findings) > 0 {
		err = fmt.Errorf("%d findings", len(r.Findings))
	}
	return err
}
