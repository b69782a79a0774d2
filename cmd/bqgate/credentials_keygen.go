package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/bqgate/bqgate/internal/wrapping"
)

func credentialsKeygenCommand() *cobra.Command {
	var out string
	c := &cobra.Command{
		Use: "keygen --out FILE", Short: "Make the age identity that opens sealed keys, where there is no KMS", Args: exactly(0),
		Long: "FILE is new and its owner's alone (0600). Whoever has it and the sealed file has the key: keep them apart, in a Secret\n" +
			"and not in an image. It is named by `wrap: {uri: \"age:FILE\"}`, and by --wrap age:FILE of `bqgate credentials seal`.",
		RunE: func(c *cobra.Command, _ []string) error {
			if out == "" {
				return usage(c, errMissing("--out"))
			}
			if err := wrapping.GenerateAge(out); err != nil {
				return err
			}
			_, err := fmt.Fprintf(c.OutOrStdout(), "%s opens what is sealed with --wrap age:%s\n", out, out)
			return err
		},
	}
	c.Flags().StringVar(&out, "out", "", "the new file")
	return c
}
