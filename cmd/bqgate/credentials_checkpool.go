package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"github.com/bqgate/bqgate/internal/config"
	"github.com/bqgate/bqgate/internal/poolcheck"
)

func credentialsCheckPoolCommand() *cobra.Command {
	var path, jwks, audience string
	var asJSON bool
	c := &cobra.Command{
		Use:   "check-pool --config FILE [--jwks FILE] PROVIDERS",
		Short: "Prove that a workload identity pool takes the gateway's word alone", Args: exactly(1),
		Long: "PROVIDERS (- for standard input) is what `gcloud iam workload-identity-pools providers list --show-deleted\n" +
			"--workload-identity-pool=POOL --location=global --format=json` prints, --jwks what `bqgate credentials jwks` does,\n" +
			"where the keys are not here. The provider is that of the configuration's federated accounts. " +
			"Exit code 0: the pool takes no other token; 1: findings;\n" +
			"2: wrong usage.",
		RunE: func(c *cobra.Command, args []string) error {
			cfg, err := configured(c, path)
			if err != nil {
				return err
			}
			e, err := expectedPool(cfg, audience)
			if err != nil {
				return usage(c, err)
			}
			if jwks == "" {
				e.JWKS, err = cfg.Credentials.JWKS()
			} else {
				e.JWKS, err = os.ReadFile(jwks)
			}
			if err != nil {
				return usage(c, err)
			}
			list, err := fileOrInput(c, args[0])
			if err != nil {
				return usage(c, err)
			}
			findings, err := poolcheck.Providers(list, e)
			if err != nil {
				return usage(c, err)
			}
			return writePoolFindings(c, e.Audience, findings, asJSON)
		},
	}
	c.Flags().StringVar(&path, "config", "", "the gateway's configuration file")
	c.Flags().StringVar(&jwks, "jwks", "", "the gateway's public keys; by default those of the configuration")
	c.Flags().StringVar(&audience, "audience", "", "the provider, where the configuration names several")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON, also on a terminal")
	return c
}

// expectedPool is the gateway's side of the pool, by its configuration.
func expectedPool(cfg *config.Config, audience string) (poolcheck.Expected, error) {
	if cfg.Credentials.Issuer == nil {
		return poolcheck.Expected{}, errors.New("credentials.issuer is missing in the configuration: the gateway is no pool's issuer")
	}
	audiences := map[string]bool{}
	for _, account := range cfg.Credentials.Accounts {
		if account.Federated != nil {
			audiences[account.Federated.Audience] = true
		}
	}
	names := slices.Sorted(maps.Keys(audiences))
	switch {
	case len(names) == 0:
		return poolcheck.Expected{}, errors.New("no account of the configuration is federated")
	case audience == "" && len(names) > 1:
		return poolcheck.Expected{}, fmt.Errorf("the configuration names several providers: say which with --audience: %q", names)
	case audience == "":
		audience = names[0]
	case !audiences[audience]:
		return poolcheck.Expected{}, fmt.Errorf("no account of the configuration has audience %s", audience)
	}
	return poolcheck.Expected{Audience: audience, Issuer: cfg.Credentials.Issuer.URL}, nil
}

func fileOrInput(c *cobra.Command, path string) ([]byte, error) {
	if path == "-" {
		return io.ReadAll(c.InOrStdin())
	}
	return os.ReadFile(path)
}

func writePoolFindings(c *cobra.Command, provider string, findings []string, asJSON bool) error {
	out := c.OutOrStdout()
	if asJSON || !terminal(out) {
		if err := writeJSON(out, map[string]any{"provider": provider, "findings": orEmpty(findings)}); err != nil {
			return err
		}
	} else if len(findings) == 0 {
		fmt.Fprintf(out, "the pool of %s takes no other token than the gateway's\n", provider)
	}
	for _, f := range findings {
		if terminal(out) && !asJSON {
			fmt.Fprintln(out, f)
		}
	}
	if len(findings) > 0 {
		return exit{code: exitFindings}
	}
	return nil
}
