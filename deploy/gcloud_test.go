package deploy

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

// TestMain is the tests, or, called gcloud or bq, what stands in for these: it writes its arguments
// down, one JSON list a command, with the text of the files that they name.
func TestMain(m *testing.M) {
	if program := filepath.Base(os.Args[0]); program == "gcloud" || program == "bq" {
		if err := record(program); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func record(program string) error {
	args := append([]string{program}, os.Args[1:]...)
	for i, arg := range args {
		name, path, _ := strings.Cut(arg, "=")
		if !slices.Contains([]string{"--policy-file", "--basic-level-spec", "--jwk-json-path"}, name) {
			continue
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		args[i] = name + "=" + string(text)
	}
	out, err := os.OpenFile(os.Getenv("RECORD"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer out.Close()
	return json.NewEncoder(out).Encode(args)
}

// command is a command that gcloud.sh ran.
type command struct {
	words []string          // program, group, verb and arguments
	flags map[string]string // by name
}

// commands runs gcloud.sh with these variables.
func commands(t *testing.T, env ...string) []command {
	t.Helper()
	dir := t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, program := range []string{"gcloud", "bq"} {
		if err := os.Symlink(self, filepath.Join(dir, program)); err != nil {
			t.Fatal(err)
		}
	}
	record := filepath.Join(dir, "record")
	script := exec.Command("bash", "gcloud.sh")
	script.Env = append(env, "PATH="+dir+":"+os.Getenv("PATH"), "RECORD="+record)
	if out, err := script.CombinedOutput(); err != nil {
		t.Fatalf("gcloud.sh: %v\n%s", err, out)
	}
	text, err := os.ReadFile(record)
	if err != nil {
		t.Fatal(err)
	}
	var all []command
	for line := range strings.Lines(string(text)) {
		var args []string
		if err := json.Unmarshal([]byte(line), &args); err != nil {
			t.Fatal(err)
		}
		c := command{flags: map[string]string{}}
		for _, arg := range args {
			if name, value, ok := strings.Cut(arg, "="); ok && strings.HasPrefix(arg, "--") {
				c.flags[strings.TrimPrefix(name, "--")] = value
			} else {
				c.words = append(c.words, arg)
			}
		}
		all = append(all, c)
	}
	return all
}

func sorted(list string) []string {
	all := strings.Split(list, ",")
	slices.Sort(all)
	return all
}

var grant = regexp.MustCompile("^GRANT `([^`]+)` ON SCHEMA `([^`]+)` TO '([^']+)'$")

// fact is what a command does, in the words of resource.fact.
func (c command) fact(t *testing.T) string {
	t.Helper()
	f, last := c.flags, c.words[len(c.words)-1]
	switch verb := strings.Join(c.words[:len(c.words)-1], " "); verb {
	case "gcloud iam workload-identity-pools create":
		return fmt.Sprintf("pool %s in %s", last, f["project"])
	case "gcloud iam workload-identity-pools providers create-oidc":
		return fmt.Sprintf("provider %s of %s in %s: issuer %s keys %s maps %s when %s", last, f["workload-identity-pool"], f["project"],
			f["issuer-uri"], f["jwk-json-path"], f["attribute-mapping"], f["attribute-condition"])
	case "gcloud iam service-accounts create":
		return fmt.Sprintf("account %s@%s.iam.gserviceaccount.com: %s", last, f["project"], f["display-name"])
	case "gcloud iam roles create":
		return fmt.Sprintf("role projects/%s/roles/%s: %s", f["project"], last, strings.Join(sorted(f["permissions"]), " "))
	case "gcloud projects add-iam-policy-binding":
		return fmt.Sprintf("project %s: %s for %s", last, f["role"], f["member"])
	case "gcloud iam service-accounts add-iam-policy-binding":
		return fmt.Sprintf("on account %s: %s for %s", last, f["role"], f["member"])
	case "bq query":
		if found := grant.FindStringSubmatch(last); found != nil {
			return fmt.Sprintf("dataset %s: %s for %s", found[2], found[1], found[3])
		}
	case "gcloud iam policies create":
		var policy struct {
			Rules []struct {
				DenyRule struct{ DeniedPrincipals, DeniedPermissions, ExceptionPrincipals []string } `json:"denyRule"`
			}
		}
		if err := json.Unmarshal([]byte(f["policy-file"]), &policy); err != nil || len(policy.Rules) != 1 {
			t.Fatalf("the deny policy is not one rule: %v\n%s", err, f["policy-file"])
		}
		rule := policy.Rules[0].DenyRule
		for _, list := range [][]string{rule.DeniedPrincipals, rule.DeniedPermissions, rule.ExceptionPrincipals} {
			slices.Sort(list)
		}
		return denies(last, f["attachment-point"], rule.DeniedPrincipals, rule.DeniedPermissions, rule.ExceptionPrincipals)
	case "gcloud access-context-manager levels create":
		var spec []struct {
			Networks []string `yaml:"ipSubnetworks"`
		}
		if err := yaml.Unmarshal([]byte(f["basic-level-spec"]), &spec); err != nil || len(spec) != 1 {
			t.Fatalf("the access level is not one condition: %v", err)
		}
		slices.Sort(spec[0].Networks)
		return fmt.Sprintf("level accessPolicies/%s/accessLevels/%s: %s", f["policy"], last, strings.Join(spec[0].Networks, " "))
	case "gcloud access-context-manager perimeters create":
		return fmt.Sprintf("perimeter accessPolicies/%s/servicePerimeters/%s around %s of %s for accessPolicies/%s/accessLevels/%s",
			f["policy"],
			last, f["resources"], strings.Join(sorted(f["restricted-services"]), " "), f["policy"], f["access-levels"])
	}
	t.Errorf("a command that is not compared: %q %q", c.words, c.flags)
	return ""
}
