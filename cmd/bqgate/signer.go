package main

import (
	"github.com/spf13/cobra"

	"github.com/bqgate/bqgate/internal/signer"
)

// signerCommand is the hidden command that `bqgate serve` runs this binary with, to hold a sealed
// key.
func signerCommand() *cobra.Command {
	return &cobra.Command{
		Use: signer.Command, Hidden: true, Args: exactly(0), Short: "Hold a sealed key for the parent process, and sign assertions with it",
		RunE: func(*cobra.Command, []string) error { return signer.Main() },
	}
}
