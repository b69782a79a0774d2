//go:build e2e

package e2e

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/bqgate/bqgate/e2e/githubtoken"
)

// block is the n-th fenced block of a language below a heading of docs/agents.md.
func block(t *testing.T, heading, language string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(repoRoot(t), "docs", "agents.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, section, ok := strings.Cut("\n"+string(text), "\n"+heading+"\n")
	section, _, _ = strings.Cut(section, "\n## ")
	_, fenced, found := strings.Cut(section, "```"+language+"\n")
	fenced, _, closed := strings.Cut(fenced, "\n```")
	if !ok || !found || !closed {
		t.Fatalf("docs/agents.md has no %s below %q", language, heading)
	}
	return fenced
}

// job runs the steps of a documented job in a folder, as its CI system would: each in a shell of
// its own that ends with the first error, with what earlier steps wrote into GITHUB_ENV.
type job struct {
	t   *testing.T
	d   *demo
	dir string
	env []string
}

func newJob(t *testing.T, d *demo, env ...string) *job {
	t.Helper()
	j := &job{t: t, d: d, dir: t.TempDir()}
	venv := filepath.Join(repoRoot(t), "build", "venv", "bin")
	j.env = append(env, "PATH="+venv+":"+os.Getenv("PATH"), "HOME="+j.dir, "RUNNER_TEMP="+j.dir, "GITHUB_ENV="+filepath.Join(j.dir, "env"),
		"PIP_NO_INDEX=1", "PIP_DISABLE_PIP_VERSION_CHECK=1") // what the documents install is there
	ask := j.here(block(t, "# For authors of agents", "python"))
	if err := os.WriteFile(filepath.Join(j.dir, "ask.py"), []byte(ask), 0o600); err != nil {
		t.Fatal(err)
	}
	return j
}

// here puts the demo in the place of what the documents name.
func (j *job) here(text string) string {
	return strings.NewReplacer("https://sts.gw.example/v1/token", j.d.TokenURL, "https://bigquery.gw.example", j.d.REST,
		"GOOGLE_CLOUD_PROJECT=acme", "GOOGLE_CLOUD_PROJECT="+j.d.Project).Replace(text)
}

// run runs one step and returns what it printed.
func (j *job) run(script string) (string, error) {
	j.t.Helper()
	ctx, cancel := contextTimeout(90 * time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-e", "-o", "pipefail", "-c", j.here(script))
	cmd.Dir, cmd.Env = j.dir, slices.Clone(j.env)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	j.d.got = append(j.d.got, out.Bytes())
	if added, readErr := os.ReadFile(filepath.Join(j.dir, "env")); readErr == nil {
		j.env = append(j.env, strings.Fields(string(added))...)
	}
	return out.String(), err
}

// minted signs claims at the demo's issuer, which stands in for the CI system's.
func minted(d *demo) githubtoken.Mint {
	return func(subject string, claims map[string]any, audience string) (string, error) {
		body, err := json.Marshal(map[string]any{"subject": subject, "groups": []string{"ai-agents"}, "claims": claims,
			"audience":    audience,
			"ttl_seconds": int(githubtoken.Life.Seconds())})
		if err != nil {
			return "", err
		}
		response, err := http.Post(d.Issuer+"/mint", "application/json", bytes.NewReader(body))
		if err != nil {
			return "", err
		}
		defer response.Body.Close()
		var answer struct{ Token string }
		return answer.Token, json.NewDecoder(response.Body).Decode(&answer)
	}
}

// checkAsked: the documented program printed customers, masked.
func checkAsked(t *testing.T, out string, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("the step failed: %v\n%s", err, tail([]byte(out), 3000))
	}
	if !strings.Contains(out, "XXXXX") && !strings.Contains(out, "None") {
		t.Errorf("no masked rows were printed:\n%s", tail([]byte(out), 2000))
	}
}

// TestDocumentedJobs runs the workflow and the job of docs/agents.md, word for word but for the
// addresses, against a stand-in of GitHub's token endpoint, with the unmodified Python client
// through a real Envoy.
func TestDocumentedJobs(t *testing.T) {
	d := startDemo(t)
	t.Run("GitHub Actions", func(t *testing.T) {
		endpoint := githubtoken.Start(minted(d), githubtoken.Job(nil))
		defer endpoint.Close()
		var workflow struct {
			Permissions map[string]string `yaml:"permissions"`
			Jobs        map[string]struct {
				Steps []struct {
					Uses string `yaml:"uses"`
					Run  string `yaml:"run"`
				} `yaml:"steps"`
			} `yaml:"jobs"`
		}
		if err := yaml.Unmarshal([]byte(block(t, "## In GitHub Actions", "yaml")), &workflow); err != nil {
			t.Fatal(err)
		}
		if workflow.Permissions["id-token"] != "write" {
			t.Fatal("GitHub gives tokens only to jobs with id-token: write")
		}
		j := newJob(t, d, endpoint.Environment()...)
		var out string
		for _, step := range workflow.Jobs["query"].Steps {
			if step.Run == "" {
				continue
			}
			var err error
			if out, err = j.run(step.Run); err != nil {
				t.Fatalf("%s: %v\n%s", step.Run, err, tail([]byte(out), 3000))
			}
		}
		checkAsked(t, out, nil)
		if asked, denied := endpoint.Asked(); len(asked) == 0 || denied > 0 || slices.ContainsFunc(asked,
			func(a string) bool { return a != "bqgate" }) {
			t.Errorf("GitHub was asked for audiences %q, and refused %d requests", asked, denied)
		}
		t.Run("after the job's end", func(t *testing.T) {
			endpoint.End()
			if out, err := j.run("python ask.py"); err == nil || !strings.Contains(out, "401") && !strings.Contains(out, "request token") {
				t.Errorf("the credentials outlived the job: %v\n%s", err, tail([]byte(out), 2000))
			}
		})
	})
	t.Run("GitLab CI", func(t *testing.T) {
		var file struct {
			Query struct {
				Tokens map[string]struct{ Aud string } `yaml:"id_tokens"`
				Script []string                        `yaml:"script"`
			} `yaml:"query"`
		}
		if err := yaml.Unmarshal([]byte(block(t, "## In GitLab CI", "yaml")), &file); err != nil {
			t.Fatal(err)
		}
		env := []string{}
		for name, token := range file.Query.Tokens {
			value, err := minted(d)("project_path:acme/app:ref_type:branch:ref:main", map[string]any{
				"project_id": "22", "project_path": "acme/app", "namespace_id": "3", "pipeline_id": "1212", "job_id": "1", "ref": "main",
				"ref_type": "branch", "ref_path": "refs/heads/main", "ref_protected": "true", "user_login": "alice",
				"pipeline_source":   "push",
				"ci_config_ref_uri": "gitlab.example/acme/app//.gitlab-ci.yml@refs/heads/main",
			}, token.Aud)
			if err != nil {
				t.Fatal(err)
			}
			env = append(env, name+"="+value)
		}
		out, err := newJob(t, d, env...).run(strings.Join(file.Query.Script, "\n"))
		checkAsked(t, out, err)
	})
	t.Run("credentials config", func(t *testing.T) {
		endpoint := githubtoken.Start(minted(d), githubtoken.Job(nil))
		defer endpoint.Close()
		j := newJob(t, d, endpoint.Environment()...)
		bqgate := filepath.Join(repoRoot(t), "build", "bin", "bqgate-demo")
		out, err := j.run(bqgate + ` credentials config --github --endpoint https://bigquery.gw.example --token-url https://sts.gw.example/v1/token --json
			stat -c %a bqgate.json
			export GOOGLE_APPLICATION_CREDENTIALS=$PWD/bqgate.json GOOGLE_CLOUD_PROJECT=acme
			python ask.py`)
		checkAsked(t, out, err)
		if !strings.Contains(out, "\n600\n") || strings.Contains(out, endpoint.Secret()) {
			t.Errorf("the file is open to others, or the request token was printed:\n%s", out)
		}
		if out, err := newJob(t, d).run(bqgate + " credentials config --github --endpoint https://bigquery.gw.example --token-url " +
			"https://sts.gw.example/v1/token"); err == nil || !strings.Contains(out, "id-token: write") {
			t.Errorf("outside a job with tokens: %v\n%s", err, out)
		}
	})
}
