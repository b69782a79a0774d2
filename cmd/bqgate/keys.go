package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/bqgate/bqgate/internal/keyfile"
	"github.com/bqgate/bqgate/internal/wrapping"
)

// readFor is how long a key of `sealing_key_file` is read after another one writes: a request for
// approval may wait 30 days, what it allows may last 30 more, and its record is kept for a day.
const readFor = 62 * 24 * time.Hour

const forever = "ever"

func keysCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "keys", Short: "Change the gateway's own keys while it runs", RunE: group,
		Long: `Change the gateway's own keys (sealing_key_file, audit.key_file) while it runs.

A key file holds several keys: the first writes, all are read. Each replica, and the
console, takes over its file within 5 seconds of a change, or at SIGHUP. In this order
nothing is refused and nothing becomes unreadable:

  bqgate keys add sealing.key           a new key, which is read
  ... give the file to every replica, and see "the keys were loaded again" in each log ...
  bqgate keys activate sealing.key ID   it writes; the old one is read until it ends
  ... give the file to every replica ...
  bqgate keys drop sealing.key OLD      once the old one has ended

Keys of the journal have no end: activate them with --for ever, and keep the old ones.

With --wrap URI the file holds its keys wrapped, by an age identity (age:FILE, made by
bqgate credentials keygen) or a key of Google Cloud KMS (gcp-kms://projects/…). The
configuration names the same: key_wrapping: {uri: URI}.`,
	}
	var by wrapping.Config
	c.PersistentFlags().StringVar(&by.URI, "wrap", "", "what the keys are wrapped by: age:FILE, or gcp-kms:// and the name of a key")
	c.PersistentFlags().StringVar(&by.CredentialsFile, "wrap-credentials", "",
		"external_account file to ask the KMS with; without it the machine's own identity asks")
	c.AddCommand(keysNewCommand(&by), keysListCommand(&by), keysAddCommand(&by), keysActivateCommand(&by), keysDropCommand(&by),
		keysWrapCommand(&by))
	return c
}

// wrappers is what --wrap names: none, or one.
func wrappers(c *cobra.Command, by *wrapping.Config) ([]keyfile.Wrapper, error) {
	if by.URI == "" {
		return nil, nil
	}
	w, err := wrapping.Open(c.Context(), *by)
	if err != nil {
		return nil, exit{exitUsage, fmt.Errorf("--wrap: %w", err)}
	}
	return []keyfile.Wrapper{w}, nil
}

func keysWrapCommand(by *wrapping.Config) *cobra.Command {
	return &cobra.Command{
		Use: "wrap FILE --wrap URI", Short: "Wrap the keys of a file that holds them plainly", Args: exactly(1),
		RunE: func(c *cobra.Command, args []string) error {
			with, err := wrappers(c, by)
			if err != nil {
				return err
			}
			if len(with) == 0 {
				return usage(c, errMissing("--wrap"))
			}
			set, err := keyfile.Read(args[0], "key file")
			if err == nil {
				err = set.Write(args[0], with...)
			}
			if err != nil {
				return exit{exitFindings, err}
			}
			_, err = fmt.Fprintf(
				c.OutOrStdout(),
				"wrapped %s by %s; copies of the plain file, and blocks of the disk where it was, may still hold them\n",
				args[0],
				with[0].Name(),
			)
			return err
		},
	}
}

func keysNewCommand(by *wrapping.Config) *cobra.Command {
	return &cobra.Command{
		Use: "new FILE", Short: "Make a key file with one new key; a file that is there is never written over", Args: exactly(1),
		RunE: func(c *cobra.Command, args []string) error {
			with, err := wrappers(c, by)
			if err != nil {
				return err
			}
			set, err := keyfile.New()
			if err != nil {
				return err
			}
			switch err := set.Create(args[0], with...); {
			case errors.Is(err, fs.ErrExist):
				return exit{exitFindings, fmt.Errorf("%s is there already: what its keys sealed would be lost."+
					" To change keys use `bqgate keys add`", args[0])}
			case err != nil:
				return exit{exitFindings, fmt.Errorf("write keys: %w", err)}
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "wrote %s with key %s; every replica needs the same file\n", args[0], set.Keys[0].ID())
			return err
		},
	}
}

// shownKey is a key as `keys list` shows it.
type shownKey struct {
	ID    keyfile.ID `json:"id"`
	Role  string     `json:"role"` // "writes", "reads" or "ended"
	Until *time.Time `json:"until,omitempty"`
}

func keysListCommand(by *wrapping.Config) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use: "list FILE", Short: "Show the ids of the keys of a file, and what each is used for", Args: exactly(1),
		RunE: func(c *cobra.Command, args []string) error {
			with, err := wrappers(c, by)
			if err != nil {
				return err
			}
			set, err := keyfile.Read(args[0], "key file", with...)
			if err != nil {
				return exit{exitFindings, err}
			}
			all := shown(set, time.Now())
			if asJSON || !terminal(c.OutOrStdout()) {
				return writeJSON(c.OutOrStdout(), map[string]any{"keys": all})
			}
			return keyTable(c.OutOrStdout(), all)
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON, also on a terminal")
	return c
}

func shown(set keyfile.Set, now time.Time) (all []shownKey) {
	for i, k := range set.Keys {
		s := shownKey{ID: k.ID(), Role: "reads"}
		if i == 0 {
			s.Role = "writes"
		}
		if !k.Until.IsZero() {
			if s.Until = &k.Until; !now.Before(k.Until) {
				s.Role = "ended"
			}
		}
		all = append(all, s)
	}
	return all
}

func keyTable(out io.Writer, all []shownKey) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "KEY\tROLE\tUNTIL")
	for _, k := range all {
		until := ""
		if k.Until != nil {
			until = k.Until.UTC().Format(time.RFC3339)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\n", k.ID, k.Role, until)
	}
	return w.Flush()
}

// changed reads a key file, changes it and writes it back.
func changed(c *cobra.Command, by *wrapping.Config, path string, change func(keyfile.Set) (keyfile.Set, error)) error {
	with, err := wrappers(c, by)
	if err != nil {
		return err
	}
	set, err := keyfile.Read(path, "key file", with...)
	if err == nil {
		if set, err = change(set); err == nil {
			err = set.Write(path, with...)
		}
	}
	if err != nil {
		return exit{exitFindings, err}
	}
	return nil
}

func keysAddCommand(by *wrapping.Config) *cobra.Command {
	return &cobra.Command{
		Use: "add FILE", Short: "Add a new key, which is read and does not write yet", Args: exactly(1),
		RunE: func(c *cobra.Command, args []string) error {
			var id keyfile.ID
			err := changed(c, by, args[0], func(set keyfile.Set) (next keyfile.Set, err error) {
				next, id, err = set.Add()
				return next, err
			})
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(c.OutOrStdout(),
				"added key %s; give the file to every replica before `bqgate keys activate %s %s`\n", id, args[0], id)
			return err
		},
	}
}

func keysActivateCommand(by *wrapping.Config) *cobra.Command {
	var kept string
	c := &cobra.Command{
		Use: "activate FILE ID", Short: "Make a key the one that writes; the one of before is read until it ends", Args: exactly(2),
		RunE: func(c *cobra.Command, args []string) error {
			end := keyfile.Forever
			if kept != forever {
				d, err := time.ParseDuration(kept)
				if err != nil || d < 0 {
					return usage(c, fmt.Errorf("--for must be a duration like 48h, or %s, not %q", forever, kept))
				}
				end = time.Now().Add(d)
			}
			if err := changed(c, by, args[0], func(set keyfile.Set) (keyfile.Set, error) {
				return set.Activate(keyfile.ID(args[1]), end)
			}); err != nil {
				return err
			}
			until := "without an end"
			if !end.IsZero() {
				until = "until " + end.UTC().Format(time.RFC3339)
			}
			_, err := fmt.Fprintf(c.OutOrStdout(),
				"key %s writes; the one of before is read %s. Give the file to every replica\n", args[1], until)
			return err
		},
	}
	c.Flags().StringVar(&kept, "for", readFor.String(),
		"how long the key of before is read: a duration, or "+forever+" (keys of the journal)")
	return c
}

func keysDropCommand(by *wrapping.Config) *cobra.Command {
	var force bool
	c := &cobra.Command{
		Use: "drop FILE ID", Short: "Remove a key that has ended", Args: exactly(2),
		RunE: func(c *cobra.Command, args []string) error {
			if err := changed(c, by, args[0], func(set keyfile.Set) (keyfile.Set, error) {
				return set.Drop(keyfile.ID(args[1]), time.Now(), force)
			}); err != nil {
				return err
			}
			_, err := fmt.Fprintf(c.OutOrStdout(), "dropped key %s\n", args[1])
			return err
		},
	}
	c.Flags().BoolVar(&force, "force", false, "also before its end: what it sealed cannot be read any more")
	return c
}
