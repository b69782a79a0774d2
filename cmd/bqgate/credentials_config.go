package main

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"github.com/bqgate/bqgate/internal/clientfile"
	"github.com/bqgate/bqgate/internal/identity"
)

// clientPlatform is where a client runs: exactly one is chosen.
type clientPlatform struct {
	github, gitlab, buildkite, circleci bool
	file                                string
}

// fetching is how a job of a platform writes its token into the file that clients read.
var fetching = map[string]string{
	"buildkite": "buildkite-agent oidc request-token --audience %s > %s",
	"circleci":  `circleci run oidc get --claims '{"aud": "%s"}' > %s`,
}

// gitlabVariable is the id_tokens variable of docs/agents.md.
const gitlabVariable = "BQGATE_TOKEN"

func credentialsConfigCommand() *cobra.Command {
	var p clientPlatform
	var g clientfile.Gateway
	var output string
	var asJSON bool
	c := &cobra.Command{
		Use:   "config (--github|--gitlab|--buildkite|--circleci|--file TOKEN) --endpoint URL --token-url URL",
		Short: "Write the credentials file of a client of the gateway, and say what to set in it", Args: exactly(0),
		Long: "The file is an ordinary external_account file: it says where a client finds the OIDC token of its platform, and holds " +
			"no key.\n" +
			"--github and --gitlab run in the job itself: the first takes GitHub's address for tokens into the file, the second writes\n" +
			"$" + gitlabVariable + " beside it. --buildkite and --circleci say which command fetches the token. --file names a file " +
			"that something\n" +
			"else keeps fresh.",
		RunE: func(c *cobra.Command, _ []string) error {
			source, token, fetch, err := p.source(g, output)
			if err != nil {
				return usage(c, err)
			}
			text, err := clientfile.File(g, source)
			if err != nil {
				return usage(c, err)
			}
			if err := os.WriteFile(output, text, 0o600); err != nil {
				return fmt.Errorf("write the client's file: %w", err)
			}
			if err := os.Chmod(output, 0o600); err != nil { // one that was there keeps its mode
				return fmt.Errorf("write the client's file: %w", err)
			}
			return writeSettings(c, output, fetch, clientfile.Settings(g, output, token), asJSON)
		},
	}
	f := c.Flags()
	f.BoolVar(&p.github, "github", false, "in a job of GitHub Actions with id-token: write")
	f.BoolVar(&p.gitlab, "gitlab", false, "in a job of GitLab CI with id_tokens: {"+gitlabVariable+": {aud: …}}")
	f.BoolVar(&p.buildkite, "buildkite", false, "in a job of Buildkite")
	f.BoolVar(&p.circleci, "circleci", false, "in a job of CircleCI")
	f.StringVar(&p.file, "file", "", "the file that has the token")
	f.StringVar(&g.Endpoint, "endpoint", "", "where the gateway serves BigQuery's API, such as https://bigquery.gw.example")
	f.StringVar(&g.TokenURL, "token-url", "", "its token endpoint, such as https://sts.gw.example/v1/token")
	f.StringVar(&g.Audience, "audience", identity.DefaultAudience, "identity.audience of the gateway")
	f.StringVar(&g.Project, "project", "", "project in which jobs run")
	f.StringVar(&output, "output", "bqgate.json", "the file to write")
	f.BoolVar(&asJSON, "json", false, "print JSON, also on a terminal")
	return c
}

// source is where the client finds its token, in which file that is ("" where in none), and what
// writes the file.
func (p clientPlatform) source(g clientfile.Gateway, output string) (s clientfile.Source, token, fetch string, err error) {
	chosen := 0
	for _, is := range []bool{p.github, p.gitlab, p.buildkite, p.circleci, p.file != ""} {
		if is {
			chosen++
		}
	}
	if chosen != 1 {
		return s, "", "", errors.New("name one platform: --github, --gitlab, --buildkite, --circleci, or --file with the token's file")
	}
	if err := g.Check(); err != nil {
		return s, "", "", err
	}
	if p.github {
		s, err = clientfile.FromGitHub(os.Getenv("ACTIONS_ID_TOKEN_REQUEST_URL"), os.Getenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN"), g.Audience)
		return s, "", "", err
	}
	token, err = filepath.Abs(cmp.Or(p.file, output+".jwt"))
	switch {
	case err != nil:
	case p.gitlab && os.Getenv(gitlabVariable) == "":
		err = fmt.Errorf("$%s is not set: this runs in a job of GitLab CI that has `id_tokens: {%s: {aud: %s}}`", gitlabVariable,
			gitlabVariable,
			g.Audience)
	case p.gitlab:
		err = os.WriteFile(token, []byte(os.Getenv(gitlabVariable)), 0o600)
	case p.buildkite:
		fetch = fmt.Sprintf(fetching["buildkite"], g.Audience, token)
	case p.circleci:
		fetch = fmt.Sprintf(fetching["circleci"], g.Audience, token)
	}
	return clientfile.FromFile(token), token, fetch, err
}

func writeSettings(c *cobra.Command, path, fetch string, settings []clientfile.Setting, asJSON bool) error {
	out := c.OutOrStdout()
	if asJSON || !terminal(out) {
		return writeJSON(out, map[string]any{"file": path, "fetch": fetch, "clients": settings})
	}
	fmt.Fprintf(out, "%s is written. It holds no key of Google's.\n", path)
	if fetch != "" {
		fmt.Fprintf(out, "Before the client starts, and again before the token ends:\n  %s\n", fetch)
	}
	for _, s := range settings {
		fmt.Fprintf(out, "%s\n", s.Client)
		for _, name := range slices.Sorted(maps.Keys(s.Environment)) {
			fmt.Fprintf(out, "  export %s=%s\n", name, s.Environment[name])
		}
		for _, line := range []string{s.Code, s.Note} {
			if line != "" {
				fmt.Fprintf(out, "  %s\n", line)
			}
		}
	}
	return nil
}
