package main

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/bqgate/bqgate/internal/credentials"
	"github.com/bqgate/bqgate/internal/sealedkey"
)

// sealedReport is what `credentials check` prints.
type sealedReport struct {
	sealedkey.Header
	AgeDays  int      `json:"age_days"`
	Opens    string   `json:"opens"`  // yes, no, or not asked
	Google   string   `json:"google"` // the same
	Findings []string `json:"findings"`
}

const (
	yes      = "yes"
	no       = "no"
	notAsked = "not asked"
)

func credentialsCheckCommand() *cobra.Command {
	var key credentials.Key
	var endpoint credentials.Endpoint
	var maxAge time.Duration
	var offline, asJSON bool
	c := &cobra.Command{
		Use: "check SEALED --wrap URI [--key-id ID]", Args: exactly(1),
		Short: "Say whether a sealed key opens and is still good, how old it is, and where it lies in plain text",
		Long: "The key is opened in a process of its own, as `bqgate serve` does it, which asks Google for a token and throws it away.\n" +
			"Plain text is looked for where Application Default Credentials, gcloud and Terraform look, for the user who runs this:\n" +
			"run it as the gateway's. Exit code 1: there are findings.",
		RunE: func(c *cobra.Command, args []string) error {
			f, err := readSealed(args[0])
			if err != nil {
				return exit{exitFindings, err}
			}
			slog.SetDefault(slog.New(slog.DiscardHandler)) // what the signer says is in the findings
			dir, err := os.Getwd()
			if err != nil {
				return err
			}
			key.File, key.Wrap = args[0], key.Wrap.In(dir) // the process that opens it is elsewhere
			report := sealedReport{Header: f.Header, AgeDays: int(time.Since(f.SealedAt).Hours() / 24), Opens: notAsked, Google: notAsked}
			if key.KeyID == "" {
				key.KeyID = f.KeyID
			} else if key.KeyID != f.KeyID {
				report.find("it is key %s, not %s", f.KeyID, key.KeyID)
			}
			if age := time.Since(f.SealedAt); age > maxAge {
				report.find("it was sealed %d days ago, more than %d: rotate it", report.AgeDays, int(maxAge.Hours()/24))
			}
			if key.Wrap.URI != "" && key.KeyID == f.KeyID {
				report.ask(c, key, endpoint, offline)
			}
			home, _ := os.UserHomeDir() // none: nothing lies there
			for _, found := range sealedkey.InPlainText(f.KeyID, filepath.Dir(args[0]), home, os.Getenv) {
				if found.Same {
					report.find("%s: %s in plain text: THIS KEY", found.Place, found.What)
				} else {
					report.find("%s: %s in plain text", found.Place, found.What)
				}
			}
			if asJSON || !terminal(c.OutOrStdout()) {
				report.Findings = orEmpty(report.Findings)
				err = writeJSON(c.OutOrStdout(), report)
			} else {
				report.print(c.OutOrStdout())
			}
			if err == nil && len(report.Findings) > 0 {
				return exit{code: exitFindings}
			}
			return err
		},
	}
	wrapFlags(c, &key.Wrap)
	f := c.Flags()
	f.StringVar(&key.KeyID, "key-id", "", "the id that the configuration names")
	f.DurationVar(&maxAge, "max-age", 90*24*time.Hour, "how old it may be")
	f.BoolVar(&offline, "offline", false, "ask nobody: neither Google nor a KMS")
	f.StringVar(&endpoint.Address, "endpoint", "", "host:port where oauth2.googleapis.com is reached")
	f.StringVar(&endpoint.CAFile, "ca-file", "", "PEM certificates to trust for it")
	f.StringVar(&endpoint.ServerName, "server-name", "", "the name in its certificate")
	f.BoolVar(&asJSON, "json", false, "print JSON, also on a terminal")
	return c
}

func (r *sealedReport) find(format string, args ...any) {
	r.Findings = append(r.Findings, fmt.Sprintf(format, args...))
}

// ask opens the key and asks Google, as far as anybody may be asked.
func (r *sealedReport) ask(c *cobra.Command, key credentials.Key, endpoint credentials.Endpoint, offline bool) {
	if offline && key.Wrap.Remote() {
		return
	}
	if err := credentials.CheckKey(c.Context(), key, nil, false); err != nil {
		r.Opens = no
		r.find("it does not open: %v", err)
		return
	}
	r.Opens = yes
	if offline {
		return
	}
	at := &endpoint
	if endpoint.Address == "" {
		at = nil
	}
	r.Google = yes
	if err := credentials.CheckKey(c.Context(), key, at, true); err != nil {
		r.Google = no
		r.find("Google gives no token for it: %v", err)
	}
}

func (r *sealedReport) print(out io.Writer) {
	fmt.Fprintf(out, "key %s of %s\nsealed %s by %s (%d days ago), opened by %s\nopens: %s; Google takes it: %s\n", r.KeyID, r.Account,
		r.SealedAt.Format(time.RFC3339), harmless(r.SealedBy), r.AgeDays, harmless(r.Wrapper), r.Opens, r.Google)
	for _, finding := range r.Findings {
		fmt.Fprintln(out, "finding:", harmless(finding))
	}
}
