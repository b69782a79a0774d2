package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/bqgate/bqgate/internal/approvals"
	"github.com/bqgate/bqgate/internal/console/client"
	"github.com/bqgate/bqgate/policies"
)

func approvalsCommand() *cobra.Command {
	c := &cobra.Command{Use: "approvals", Short: "See and decide on queries that wait for a person, through the approval HTTP endpoint",
		RunE: group}
	c.AddCommand(listRequests.command(), approvalsShowCommand(), approvalsWatchCommand(),
		approvalsDecideCommand(approvals.Approve, "Let a query run, once or as often as --uses says"),
		approvalsDecideCommand(approvals.Deny, "Refuse a query, with a reason that its author reads"),
		listGrants.command(), revokeCommand(), reopenCommand())
	return c
}

var listRequests = listing[approvals.Request]{
	use: "list", short: "List requests, newest first; those that wait, unless --state says otherwise",
	state: string(approvals.StatePending), states: "pending, approved, denied, expired, cancelled, used or all",
	name: "requests", ask: (*client.Client).List,
	none: "nothing waits", header: "REQUEST\tSTATE\tWHO\tREADS\tCOST\tLEFT",
	row: func(r approvals.Request) []string {
		return []string{r.ID, string(r.State), harmless(who(r)), harmless(strings.Join(r.Tables, ", ")), cost(r), left(r)}
	},
}

// who names the people behind a request first: they are what a reviewer knows.
func who(r approvals.Request) string {
	if len(r.People) > 0 && r.Workload {
		return strings.Join(r.People, ", ") + " by " + r.Subject
	}
	return r.Subject
}

func cost(r approvals.Request) string {
	if r.EstimatedBytes == nil {
		return "not known"
	}
	text := policies.FormatSize(*r.EstimatedBytes)
	if r.EstimatedCost != nil {
		price := strconv.FormatFloat(*r.EstimatedCost, 'f', 2, 64)
		if price == "0.00" {
			price = "under 0.01"
		}
		text += ", " + price + " " + r.Currency
	}
	return text
}

func left(r approvals.Request) string {
	d := time.Until(r.Expires).Round(time.Second)
	if r.State != approvals.StatePending && r.State != approvals.StateApproved || d < 0 {
		return "-"
	}
	return d.String()
}

func approvalsShowCommand() *cobra.Command {
	var r reviewer
	c := &cobra.Command{
		Use:   "show --console URL --token-file FILE REQUEST",
		Short: "Show one request: who asks for what, why it was held, what it costs, and the SQL", Args: exactly(1),
		RunE: asking(&r, func(ctx context.Context, asker *client.Client, args []string) (approvals.Request, error) {
			return asker.Get(ctx, args[0])
		}, requestText),
	}
	r.flags(c)
	return c
}

// requestText is a request as a reviewer reads it: first what must be decided, then the evidence.
func requestText(r approvals.Request) string {
	var b strings.Builder
	line := func(label, text string) {
		if text != "" {
			fmt.Fprintf(&b, "%-10s%s\n", label, harmless(text))
		}
	}
	line("request", r.ID+", "+string(r.State))
	line("who", who(r))
	if !r.PeopleKnown {
		line("", "it is not known who this is, and others may be behind it: it needs two approvals")
	}
	for _, claim := range []string{"repository", "ref", "workflow", "environment", "sha", "run_id"} {
		line("  "+claim, r.Claims[claim])
	}
	line("why", r.Why)
	line("rule", r.Rule+" ("+r.RuleAt+")")
	line("reads", strings.Join(r.Tables, ", "))
	line("sensitive", strings.Join(r.SensitiveColumns, ", "))
	line("cost", cost(r))
	line("needs", fmt.Sprintf("%d of %s", r.Quorum, strings.Join(r.Reviewers, ", ")))
	line("made", r.Created.Local().Format(time.DateTime))
	if text := left(r); text != "-" {
		line("left", text)
	}
	for _, d := range r.Votes {
		line(string(d.Choice), fmt.Sprintf("by %s at %s: %q", d.By, d.At.Local().Format(time.DateTime), d.Reason))
	}
	line("ended", r.Ended)
	line("failed", r.Failure)
	line("page", r.URL)
	b.WriteString("\n" + indent(harmlessLines(r.SQL)) + "\n")
	if len(r.Parameters) > 0 {
		line("parameters", string(r.Parameters))
	}
	return b.String()
}

func indent(text string) string {
	return "    " + strings.ReplaceAll(strings.ReplaceAll(text, "\n", "\n    "), "\n    \n", "\n\n")
}

func approvalsDecideCommand(choice approvals.Choice, short string) *cobra.Command {
	var r reviewer
	var reason string
	var terms approvals.Terms
	c := &cobra.Command{
		Use: string(choice) + " --console URL --token-file FILE REQUEST [--reason TEXT]", Short: short, Args: exactly(1),
		RunE: asking(&r, func(ctx context.Context, asker *client.Client, args []string) (approvals.Request, error) {
			return asker.Vote(ctx, args[0], choice, reason, terms)
		}, func(request approvals.Request) string {
			text := fmt.Sprintf("request %s is %s", request.ID, request.State)
			if request.State == approvals.StatePending {
				text += fmt.Sprintf(": %d of %d approvals", len(request.Votes), request.Quorum)
			}
			return text + "\n"
		}),
	}
	r.flags(c)
	c.Flags().StringVar(&reason, "reason", "", "why; the query's author reads it, and it is kept")
	if choice == approvals.Approve {
		c.Flags().IntVar(&terms.Uses, "uses", 0,
			"runs of exactly this statement, together with --hours, where the policy lets an approval stand; default one run")
		c.Flags().IntVar(&terms.Hours, "hours", 0, "for how long the approval stands")
	}
	return c
}

func approvalsWatchCommand() *cobra.Command {
	var r reviewer
	var every time.Duration
	c := &cobra.Command{
		Use:   "watch --console URL --token-file FILE",
		Short: "Show what waits, and from then on every request that comes or changes, until interrupted", Args: exactly(0),
		Long: "Into a pipe: one line of JSON a request, each time it comes or changes.",
		RunE: func(c *cobra.Command, _ []string) error {
			if every < 200*time.Millisecond {
				return usage(c, errors.New("--every must be at least 200ms"))
			}
			asker, err := r.client(c)
			if err != nil {
				return err
			}
			return watchRequests(c, asker, every, r.json(c))
		},
	}
	r.flags(c)
	c.Flags().DurationVar(&every, "every", 2*time.Second, "how often to ask")
	return c
}

// watchRequests asks again and again. A console that is down for a moment is said so once and asked
// again; a refusal ends the watch.
func watchRequests(c *cobra.Command, asker *client.Client, every time.Duration, asJSON bool) error {
	seen := map[string]string{}
	first, down := true, false
	for {
		list, _, err := asker.List(c.Context(), "")
		var refused *client.Error
		switch {
		case c.Context().Err() != nil:
			return nil // interrupted: that is how a watch ends
		case errors.As(err, &refused) && refused.Status < 500:
			return err
		case err != nil:
			if first {
				return err
			}
			if !down {
				fmt.Fprintln(c.ErrOrStderr(), "bqgate:", err)
			}
			down = true
		default:
			down = false
			if err := showChanges(c.OutOrStdout(), list, seen, first, asJSON); err != nil {
				return err
			}
			first = false
		}
		select {
		case <-c.Context().Done():
			return nil
		case <-time.After(every):
		}
	}
}

// showChanges prints the requests that have changed since they were seen, oldest first. What was
// decided before the watch began is not news.
func showChanges(out io.Writer, list []approvals.Request, seen map[string]string, first, asJSON bool) error {
	for i := len(list) - 1; i >= 0; i-- {
		r := list[i]
		now := fmt.Sprint(r.State, len(r.Votes))
		before, known := seen[r.ID]
		seen[r.ID] = now
		if before == now || first && r.State != approvals.StatePending {
			continue
		}
		var err error
		switch {
		case asJSON:
			err = writeLine(out, r)
		case known:
			_, err = fmt.Fprintf(out, "%s  %s is %s%s\n", time.Now().Format(time.TimeOnly), r.ID, r.State, lastWord(r))
		default:
			_, err = fmt.Fprintf(out, "%s  %s\n%s\n", time.Now().Format(time.TimeOnly), "a query waits",
				indent(strings.TrimRight(requestText(r), "\n")))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func lastWord(r approvals.Request) string {
	if len(r.Votes) == 0 {
		return ""
	}
	d := r.Votes[len(r.Votes)-1]
	return harmless(fmt.Sprintf(" (%s by %s: %q)", d.Choice, d.By, d.Reason))
}
