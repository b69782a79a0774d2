package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os/user"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/bqgate/bqgate/internal/gateway"
	"github.com/bqgate/bqgate/internal/identity"
)

// shortID is how much of a session's id people see; shortest, how much of it they must give.
const (
	shortID  = 12
	shortest = 8
)

func sessionsCommand() *cobra.Command {
	c := &cobra.Command{Use: "sessions",
		Short: "The gateway's own sessions: what POST /v1/token has issued, and who is logged in to the console", RunE: group}
	c.AddCommand(sessionsListCommand(), sessionsRevokeCommand())
	return c
}

// openSessions reads --config and connects.
func openSessions(c *cobra.Command, path string) (*gateway.Sessions, error) {
	cfg, err := configured(c, path)
	if err != nil {
		return nil, err
	}
	sessions, err := gateway.OpenSessions(c.Context(), cfg, slog.New(slog.DiscardHandler)) // entries of strangers are shown in the list
	if err != nil {
		return nil, exit{exitFindings, err}
	}
	return sessions, nil
}

func sessionsListCommand() *cobra.Command {
	var path, subject string
	var asJSON bool
	c := &cobra.Command{
		Use: "list --config FILE", Short: "List live sessions, oldest first", Args: exactly(0),
		Long: "Exit code 1: Redis holds an entry that this gateway did not write. It opens nothing, but somebody else writes there.",
		RunE: func(c *cobra.Command, _ []string) error {
			sessions, err := openSessions(c, path)
			if err != nil {
				return err
			}
			defer sessions.Close()
			all, err := sessions.List(c.Context())
			if err != nil {
				return err
			}
			if sessions.Unlimited != nil {
				fmt.Fprintf(c.ErrOrStderr(),
					"warning: what `for` of the policy ends earlier is not shown, since the policy does not load: %v\n", sessions.Unlimited)
			}
			forged := 0
			var list []identity.Session
			for _, s := range all {
				if s.Forged {
					forged++
				} else if subject != "" && s.Subject != subject {
					continue
				}
				list = append(list, s)
			}
			revoked, err := sessions.ListRevoked(c.Context())
			if err != nil {
				return err
			}
			if subject != "" {
				revoked = slices.DeleteFunc(revoked, func(r identity.Revocation) bool { return r.Subject != subject })
			}
			if asJSON || !terminal(c.OutOrStdout()) {
				err = writeJSON(c.OutOrStdout(), map[string]any{"sessions": orEmpty(list), "revoked": orEmpty(revoked)})
			} else {
				err = errors.Join(sessionTable(c.OutOrStdout(), list), revokedTable(c.OutOrStdout(), revoked))
			}
			if err == nil && forged > 0 {
				return exit{exitFindings, fmt.Errorf("%d of the entries in Redis were not written by this gateway: they open nothing, "+
					"but somebody else writes there", forged)}
			}
			return err
		},
	}
	c.Flags().StringVar(&path, "config", "", "the configuration file of `bqgate serve`")
	c.Flags().StringVar(&subject, "subject", "", "only sessions of this subject (the token's sub)")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON, also on a terminal")
	return c
}

func sessionTable(out io.Writer, list []identity.Session) error {
	if len(list) == 0 {
		_, err := fmt.Fprintln(out, "no sessions")
		return err
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "SESSION\tSUBJECT\tISSUER\tCREATED\tEXPIRES\tOF")
	for _, s := range list {
		if s.Forged {
			fmt.Fprintf(w, "%s\tnot written by this gateway\t\t\t\t%s\n", harmless(abbreviate(s.ID)), keptFor(s))
			continue
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", abbreviate(s.ID), harmless(s.Subject), harmless(s.Issuer),
			s.Created.Local().Format(time.DateTime), s.Expiry.Local().Format(time.DateTime), keptFor(s))
	}
	return w.Flush()
}

func revokedTable(out io.Writer, list []identity.Revocation) error {
	if len(list) == 0 {
		return nil
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "\nREVOKED SUBJECT\tISSUER\tTOKENS UP TO\tREMEMBERED UNTIL\tBY\tREASON")
	for _, r := range list {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", harmless(r.Subject), harmless(r.Issuer), r.At.Local().Format(time.DateTime),
			r.Until.Local().Format(time.DateTime), harmless(r.By), harmless(r.Reason))
	}
	return w.Flush()
}

func keptFor(s identity.Session) string {
	if s.Console {
		return "the console"
	}
	return "a client"
}

func abbreviate(id string) string { return id[:min(len(id), shortID)] }

// choose finds the sessions that are meant, and nothing by guess: an id that fits two sessions ends
// none.
func choose(all []identity.Session, ids []string) ([]identity.Session, error) {
	var chosen []identity.Session
	for _, id := range ids {
		var found []identity.Session
		for _, s := range all {
			if strings.HasPrefix(s.ID, id) {
				found = append(found, s)
			}
		}
		switch len(found) {
		case 0:
			return nil, fmt.Errorf("there is no session %s; nothing was revoked", id)
		case 1:
			chosen = append(chosen, found[0])
		default:
			return nil, fmt.Errorf("%d sessions begin with %s: give more of the id; nothing was revoked", len(found), id)
		}
	}
	return chosen, nil
}

// operator is who runs the command, for the audit journal.
func operator() string {
	u, err := user.Current()
	if err != nil {
		return "operator"
	}
	return "operator " + u.Username
}
