package main

import (
	"github.com/spf13/cobra"

	"github.com/bqgate/bqgate/policies"
)

func policyCommand() *cobra.Command {
	c := &cobra.Command{Use: "policy", Short: "Check and explain policies", RunE: group}
	c.AddCommand(policyCheckCommand())
	return c
}

func policyCheckCommand() *cobra.Command {
	var o policies.Options
	c := &cobra.Command{
		Use: "check FILE…", Short: "Load policy files and say what is in them, or what is wrong and where", Args: between(1, 1000),
		RunE: func(c *cobra.Command, args []string) error {
			code, err := policies.Check(c.OutOrStdout(), args, o)
			if err != nil {
				return err
			}
			if code != exitFine {
				return exit{code: code}
			}
			return nil
		},
	}
	c.Flags().StringArrayVar(&o.Issuers, "issuer", nil, "name of a configured issuer; without any, whatever issuer a policy names is taken")
	c.Flags().StringArrayVar(&o.Credentials, "credential", nil, "name of a configured credential; without any, whatever credential a policy names is taken")
	return c
}
