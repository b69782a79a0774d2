package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func credentialsJWKSCommand() *cobra.Command {
	var path string
	c := &cobra.Command{
		Use: "jwks --config FILE", Short: "Print the public keys of the gateway's own issuer, for the provider of a pool", Args: exactly(0),
		Long: "The keys (a JWKS, RFC 7517) are for `gcloud iam workload-identity-pools providers create-oidc --jwk-json-path`, so that\n" +
			"nothing need answer at the issuer's URL. All of credentials.issuer.keys are in it: run it again, and update the\n" +
			"provider, before another key becomes the first. No secret is read.",
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := configured(c, path)
			if err != nil {
				return err
			}
			keys, err := cfg.Credentials.JWKS()
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "%s\n", keys)
			return err
		},
	}
	c.Flags().StringVar(&path, "config", "", "the configuration file")
	return c
}
