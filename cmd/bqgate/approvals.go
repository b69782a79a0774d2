package main

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/bqgate/bqgate/internal/approvals"
	"github.com/bqgate/bqgate/internal/console/client"
	"github.com/bqgate/bqgate/policies"
)

func approvalsCommand() *cobra.Command {
	c := &cobra.Command{Use: "approvals", Short: "See and decide on queries that wait for a person, through the approval HTTP endpoint",
		RunE: group}
	c.AddCommand(approvalsListCommand(), approvalsShowCommand(), approvalsWatchCommand(),
		approvalsDecideCommand(approvals.Approve, "Let a query run, once or as often as --uses says"),
		approvalsDecideCommand(approvals.Deny, "Refuse a query, with a reason that its author reads"),
		grantsCommand(), revokeCommand())
	return c
}

// reviewer is what every command of the group takes.
type reviewer struct {
	console, tokenFile string
	asJSON             bool
}

func (r *reviewer) flags(c *cobra.Command) {
	c.Flags().StringVar(&r.console, "console", "", "URL of the console")
	c.Flags().StringVar(&r.tokenFile, "token-file", "", "file with your OIDC token for the console's audience")
	c.Flags().BoolVar(&r.asJSON, "json", false, "print JSON, also on a terminal")
}

func (r *reviewer) client(c *cobra.Command) (*client.Client, error) {
	for flag, value := range map[string]string{"--console": r.console, "--token-file": r.tokenFile} {
		if value == "" {
			return nil, usage(c, errMissing(flag))
		}
	}
	asker, err := client.New(r.console, r.tokenFile)
	if err != nil {
		return nil, usage(c, err)
	}
	return asker, nil
}

func (r *reviewer) json(c *cobra.Command) bool { return r.asJSON || !terminal(c.OutOrStdout()) }

func approvalsListCommand() *cobra.Command {
	var r reviewer
	state := string(approvals.StatePending)
	c := &cobra.Command{
		Use: "list --console URL --token-file FILE", Short: "List requests, newest first; those that wait, unless --state says otherwise",
		Args: exactly(0),
		RunE: func(c *cobra.Command, _ []string) error {
			asker, err := r.client(c)
			if err != nil {
				return err
			}
			if state == "all" {
				state = ""
			}
			list, more, err := asker.List(c.Context(), state)
			if err != nil {
				return err
			}
			if r.json(c) {
				return writeJSON(c.OutOrStdout(), struct {
					Requests []approvals.Request `json:"requests"`
					More     bool                `json:"more,omitempty"`
				}{orEmpty(list), more})
			}
			return requestTable(c.OutOrStdout(), list, more)
		},
	}
	r.flags(c)
	c.Flags().StringVar(&state, "state", state, "pending, approved, denied, expired, cancelled, used or all")
	return c
}

func requestTable(out io.Writer, list []approvals.Request, more bool) error {
	if len(list) == 0 {
		_, err := fmt.Fprintln(out, "nothing waits")
		return err
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "REQUEST\tSTATE\tWHO\tREADS\tCOST\tLEFT")
	for _, r := range list {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", r.ID, r.State, harmless(who(r)), harmless(strings.Join(r.Tables, ", ")), cost(r),
			left(r))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if more {
		fmt.Fprintln(out, "there are older ones")
	}
	return nil
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
		RunE: func(c *cobra.Command, args []string) error {
			asker, err := r.client(c)
			if err != nil {
				return err
			}
			request, err := asker.Get(c.Context(), args[0])
			if err != nil {
				return err
			}
			if r.json(c) {
				return writeJSON(c.OutOrStdout(), request)
			}
			_, err = io.WriteString(c.OutOrStdout(), requestText(request))
			return err
		},
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
	for _, d := range r.Decisions {
		line(string(d.Verdict), fmt.Sprintf("by %s at %s: %q", d.By, d.At.Local().Format(time.DateTime), d.Reason))
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

func approvalsDecideCommand(verdict approvals.Verdict, short string) *cobra.Command {
	var r reviewer
	var reason string
	var terms approvals.Terms
	c := &cobra.Command{
		Use: string(verdict) + " --console URL --token-file FILE REQUEST [--reason TEXT]", Short: short, Args: exactly(1),
		RunE: func(c *cobra.Command, args []string) error {
			asker, err := r.client(c)
			if err != nil {
				return err
			}
			request, err := asker.Decide(c.Context(), args[0], verdict, reason, terms)
			if err != nil {
				return err
			}
			if r.json(c) {
				return writeJSON(c.OutOrStdout(), request)
			}
			text := fmt.Sprintf("request %s is %s", request.ID, request.State)
			if request.State == approvals.StatePending {
				text += fmt.Sprintf(": %d of %d approvals", len(request.Decisions), request.Quorum)
			}
			_, err = fmt.Fprintln(c.OutOrStdout(), text)
			return err
		},
	}
	r.flags(c)
	c.Flags().StringVar(&reason, "reason", "", "why; the query's author reads it, and it is kept")
	if verdict == approvals.Approve {
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

// showChanges prints the requests that are not as they were seen, oldest first. What was decided
// before the watch began is not news.
func showChanges(out io.Writer, list []approvals.Request, seen map[string]string, first, asJSON bool) error {
	for i := len(list) - 1; i >= 0; i-- {
		r := list[i]
		now := fmt.Sprint(r.State, len(r.Decisions))
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
	if len(r.Decisions) == 0 {
		return ""
	}
	d := r.Decisions[len(r.Decisions)-1]
	return harmless(fmt.Sprintf(" (%s by %s: %q)", d.Verdict, d.By, d.Reason))
}
