package main

import "github.com/spf13/cobra"

func credentialsCommand() *cobra.Command {
	c := &cobra.Command{Use: "credentials", Short: "What queries run with, and what clients are given", RunE: group}
	c.AddCommand(credentialsConfigCommand(), credentialsCheckPoolCommand(), credentialsJWKSCommand(), credentialsKeygenCommand(),
		credentialsSigningKeyCommand(), credentialsSealCommand(), credentialsRotateCommand(), credentialsCheckCommand())
	return c
}
