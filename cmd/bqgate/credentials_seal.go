package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/bqgate/bqgate/internal/keyfile"
	"github.com/bqgate/bqgate/internal/sealedkey"
	"github.com/bqgate/bqgate/internal/wrapping"
)

// wrapFlags are those that name what opens a sealed key, as `wrap` of the configuration does.
func wrapFlags(c *cobra.Command, w *wrapping.Config) {
	f := c.Flags()
	f.StringVar(&w.URI, "wrap", "", "what opens it: age:FILE, or gcp-kms://projects/…/cryptoKeys/…")
	f.StringVar(&w.CredentialsFile, "wrap-credentials-file", "",
		"an external_account file to ask the KMS with; else the machine's own identity")
	f.StringVar(&w.Endpoint, "wrap-endpoint", "", "host:port where cloudkms.googleapis.com is reached")
	f.StringVar(&w.CAFile, "wrap-ca-file", "", "PEM certificates to trust for it")
}

func credentialsSealCommand() *cobra.Command {
	var wrap wrapping.Config
	var out string
	var remove bool
	c := &cobra.Command{
		Use: "seal KEY.json --wrap URI --out FILE [--remove]", Short: "Make a sealed file of a service-account key", Args: exactly(1),
		Long: "KEY.json is what `gcloud iam service-accounts keys create` wrote. It is read once; " +
			"FILE says which account and key it is,\n" +
			"when it was sealed and by whom, and can be opened by what --wrap names alone. Then delete KEY.json and all its copies:\n" +
			"what was in a repository or a CI variable is known for good. Users' credentials are refused.",
		RunE: func(c *cobra.Command, args []string) error {
			if out == "" {
				return usage(c, errMissing("--out"))
			}
			plain, err := readPlain(c.ErrOrStderr(), args[0])
			if err != nil {
				return err
			}
			if err := sealPlain(c, wrap, plain, out); err != nil {
				return err
			}
			return ridOf(c.OutOrStdout(), args[0], remove)
		},
	}
	wrapFlags(c, &wrap)
	c.Flags().StringVar(&out, "out", "", "the new file")
	c.Flags().BoolVar(&remove, "remove", false, "delete KEY.json once FILE is on the disk")
	return c
}

func credentialsRotateCommand() *cobra.Command {
	var wrap, to wrapping.Config
	var key, out string
	var remove bool
	c := &cobra.Command{
		Use:   "rotate SEALED --wrap URI --out FILE {--key NEW.json [--remove] | --to URI}",
		Short: "Make a sealed file of the account's next key, or open a sealed one by something else", Args: exactly(1),
		Long: "With --key, FILE holds a new key of the same account: give it and its key_id to every replica, see that queries run, and\n" +
			"then delete the old key at Google. With --to, FILE holds the same key, which only the other URI opens.\n" +
			"SEALED is opened first: what is not this gateway's is not replaced by mistake.",
		RunE: func(c *cobra.Command, args []string) error {
			switch {
			case out == "":
				return usage(c, errMissing("--out"))
			case (key == "") == (to.URI == ""):
				return usage(c, errors.New("say either --key, a new key of the account, or --to, what is to open this one"))
			case remove && key == "":
				return usage(c, errors.New("--remove deletes the file of --key, which is missing"))
			}
			old, err := readSealed(args[0])
			if err != nil {
				return err
			}
			from, err := wrapping.Open(c.Context(), wrap)
			if err != nil {
				return err
			}
			if key == "" {
				return rewrap(c, old, from, to, out)
			}
			if _, err := old.Open(c.Context(), from); err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			plain, err := readPlain(c.ErrOrStderr(), key)
			switch {
			case err != nil:
				return err
			case plain.Account != old.Account:
				return fmt.Errorf("%s is a key of %s, and %s one of %s", key, plain.Account, args[0], old.Account)
			case plain.KeyID == old.KeyID:
				return fmt.Errorf(
					"%s is the very key that %s holds: make a new one with `gcloud iam service-accounts keys create`",
					key,
					args[0],
				)
			}
			if err := sealPlain(c, wrap, plain, out); err != nil {
				return err
			}
			if err := ridOf(c.OutOrStdout(), key, remove); err != nil {
				return err
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "once every replica has it, delete the old key at Google:\n"+
				"  gcloud iam service-accounts keys delete %s --iam-account=%s\n", old.KeyID, old.Account)
			return err
		},
	}
	wrapFlags(c, &wrap)
	f := c.Flags()
	f.StringVar(&key, "key", "", "a new key of the account, in plain text")
	f.StringVar(&to.URI, "to", "", "what is to open it from now on")
	f.StringVar(&out, "out", "", "the new file")
	f.BoolVar(&remove, "remove", false, "delete the file of --key once FILE is on the disk")
	return c
}

func rewrap(c *cobra.Command, old *sealedkey.File, from wrapping.Wrapper, config wrapping.Config, out string) error {
	to, err := wrapping.Open(c.Context(), config)
	if err != nil {
		return fmt.Errorf("--to: %w", err)
	}
	f, err := old.Rewrap(c.Context(), from, to, operator(), time.Now())
	if err != nil {
		return err
	}
	return put(c, out, f, config)
}

// readPlain reads a key in plain text, and says what is wrong with how it was kept.
func readPlain(warnings io.Writer, path string) (*sealedkey.Plain, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("read key: %w", err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read key: %w", err)
	}
	plain, err := sealedkey.ReadPlain(text)
	clear(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if err := keyfile.Private(path, "key", info); err != nil {
		fmt.Fprintf(warnings, "warning: others on this machine could read %s: take a new key, and delete this one at Google\n", path)
	}
	if plain.Elsewhere != "" {
		fmt.Fprintln(warnings, "warning:", plain.Elsewhere)
	}
	return plain, nil
}

// sealPlain seals a key into a new file.
func sealPlain(c *cobra.Command, wrap wrapping.Config, plain *sealedkey.Plain, out string) error {
	w, err := wrapping.Open(c.Context(), wrap)
	if err != nil {
		return fmt.Errorf("--wrap: %w", err)
	}
	f, err := sealedkey.Seal(c.Context(), w, plain, operator(), time.Now())
	if err != nil {
		return err
	}
	return put(c, out, f, wrap)
}

func readSealed(path string) (*sealedkey.File, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read sealed key: %w", err)
	}
	f, err := sealedkey.Read(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return f, nil
}

// put writes a sealed key to a new file and never over another one, and says what it is.
func put(c *cobra.Command, path string, f *sealedkey.File, wrap wrapping.Config) error {
	text, err := f.Text()
	if err != nil {
		return err
	}
	if err := keyfile.Create(path, 0o640, text); err != nil { // it is no secret without what opens it
		return fmt.Errorf("write sealed key: %w", err)
	}
	describe(c.OutOrStdout(), path, f, wrap)
	return nil
}

// describe says what was sealed, and how the configuration names it.
func describe(out io.Writer, path string, f *sealedkey.File, wrap wrapping.Config) {
	abs, err := filepath.Abs(path)
	if err != nil {
		abs = path
	}
	fmt.Fprintf(out, "%s: key %s of %s, sealed by %s; in the configuration:\n\ncredentials:\n  accounts:\n    NAME:\n"+
		"      service_account: %s\n      key:\n        file: %s\n        key_id: %s\n        wrap: {uri: %q}\n\n",
		path, f.KeyID, f.Account, f.SealedBy, f.Account, abs, f.KeyID, wrap.URI)
}

// ridOf deletes a plain key, or says that it is still there.
func ridOf(out io.Writer, path string, remove bool) error {
	if remove {
		if err := os.Remove(path); err != nil {
			return fmt.Errorf("the key is sealed, but lies in plain text still: %w", err)
		}
		_, err := fmt.Fprintf(out, "%s was deleted; what its disk, snapshots and backups keep was not\n", path)
		return err
	}
	_, err := fmt.Fprintf(out, "%s lies there in plain text still: delete it (shred -u %s), and every copy: "+
		"repositories, CI variables, backups\n", path, path)
	return err
}
