package main

import (
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"

	"github.com/spf13/cobra"

	"github.com/bqgate/bqgate/internal/gateway"
	"github.com/bqgate/bqgate/internal/identity"
)

// sessionID is what ids of sessions look like, and how much of one must be given at least.
var sessionID = regexp.MustCompile(`^[0-9a-f]{8,64}$`)

func sessionsRevokeCommand() *cobra.Command {
	var path, subject, issuer, reason string
	var asJSON bool
	c := &cobra.Command{
		Use:   "revoke --config FILE {SUBJECT | --subject SUB | SESSION…} [--issuer ISSUER]",
		Short: "End at once everything of a subject, or sessions", Args: between(0, 1000),
		Long: `SUBJECT is the sub of its tokens. Ended are: every token of it that was issued up to now, raw or exchanged,
at all replicas, until the last of them could have expired (identity.max_token_age); its sessions, of clients and of the
console; its queries that wait for approval, and its approvals; its jobs that run, which are cancelled at BigQuery; and
the answers that are on their way to it. A token that its issuer gives it from the next second on is good again: to
keep a subject out, take its rules out of the policy or its account out of the issuer.

Where several issuers have a subject of this name, all of them are meant, unless --issuer (a name or URL of the
configuration) says which.

SESSION is the id that ` + "`bqgate sessions list`" + ` shows, or at least eight characters of it. That session is ended, and
the OIDC token that opened it. A subject whose name looks like the id of a session is given by --subject.`,
		RunE: func(c *cobra.Command, args []string) error {
			ids := args
			if len(args) == 1 && !sessionID.MatchString(args[0]) && subject == "" {
				subject, ids = args[0], nil
			}
			switch {
			case path == "":
				return usage(c, errMissing("--config"))
			case len(ids) == 0 && subject == "":
				return usage(c, errors.New("say whom or which sessions: SUBJECT, --subject, or ids"))
			case len(ids) > 0 && subject != "":
				return usage(c, errors.New("say either ids or one subject"))
			case issuer != "" && subject == "":
				return usage(c, errors.New("--issuer narrows a subject, which is missing"))
			}
			for _, id := range ids {
				if !sessionID.MatchString(id) {
					return usage(c, fmt.Errorf("session %q: give at least %d characters of its id, or one subject", id, shortest))
				}
			}
			sessions, err := openSessions(c, path)
			if err != nil {
				return err
			}
			defer sessions.Close()
			by := gateway.Revocation{By: operator(), Reason: reason}
			if subject != "" {
				return revokeSubject(c, sessions, subject, issuer, by, asJSON)
			}
			return revokeSessions(c, sessions, ids, by, asJSON)
		},
	}
	f := c.Flags()
	f.StringVar(&path, "config", "", "the configuration file of `bqgate serve`")
	f.StringVar(&subject, "subject", "", "the subject (the tokens' sub)")
	f.StringVar(&issuer, "issuer", "", "only that of this issuer: its name in the configuration, or its URL")
	f.StringVar(&reason, "reason", "", "why, for the audit journal and the subject's reviewers")
	f.BoolVar(&asJSON, "json", false, "print JSON, also on a terminal")
	return c
}

func revokeSessions(c *cobra.Command, sessions *gateway.Sessions, ids []string, by gateway.Revocation, asJSON bool) error {
	all, err := sessions.List(c.Context())
	if err != nil {
		return err
	}
	chosen, err := choose(all, ids)
	if err != nil {
		return exit{exitFindings, err}
	}
	n, err := sessions.Revoke(c.Context(), chosen, by)
	if asJSON || !terminal(c.OutOrStdout()) {
		return errors.Join(writeJSON(c.OutOrStdout(), map[string]any{"revoked": chosen[:n], "subjects": []any{}}), err)
	}
	printSessions(c.OutOrStdout(), chosen[:n])
	return err
}

func printSessions(out io.Writer, list []identity.Session) {
	for _, s := range list {
		fmt.Fprintf(out, "revoked session %s of %s (%s)\n", abbreviate(s.ID), harmless(s.Subject), keptFor(s))
	}
}

func revokeSubject(c *cobra.Command, sessions *gateway.Sessions, subject, issuer string, by gateway.Revocation, asJSON bool) error {
	urls, err := sessions.Issuers(issuer)
	if err != nil {
		return exit{exitFindings, err}
	}
	var (
		all    = []gateway.Ended{}
		gone   = []identity.Session{}
		failed error
	)
	for _, url := range urls {
		ended, err := sessions.RevokeSubject(c.Context(), url, subject, by)
		all, gone, failed = append(all, ended), append(gone, ended.Sessions...), errors.Join(failed, err)
		for _, why := range ended.Failed {
			failed = errors.Join(failed, fmt.Errorf("a gateway could not end everything: %s", why))
		}
		if ended.Gateways == 0 {
			fmt.Fprintln(c.ErrOrStderr(), "warning: no gateway has told yet what it ended: what waits for approval and jobs that run are "+
				"ended when one learns of it, at its start at the latest")
		}
	}
	if asJSON || !terminal(c.OutOrStdout()) {
		return errors.Join(writeJSON(c.OutOrStdout(), map[string]any{"revoked": gone, "subjects": all}), failed)
	}
	out := c.OutOrStdout()
	for _, e := range all {
		fmt.Fprintf(out, "revoked %s of %s: every token issued up to %s, remembered until %s\n", harmless(e.Subject), harmless(e.Issuer),
			e.At.Local().Format("15:04:05"), e.Until.Local().Format("15:04:05"))
		printSessions(out, e.Sessions)
		if len(e.Requests) > 0 {
			fmt.Fprintf(out, "ended requests for approval: %s\n", strings.Join(e.Requests, ", "))
		}
		for _, j := range e.Jobs {
			fmt.Fprintf(out, "job %s:%s: %s\n", harmless(j.ProjectID), harmless(j.JobID), j.State)
		}
	}
	return failed
}
