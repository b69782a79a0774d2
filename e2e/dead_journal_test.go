//go:build e2e

package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Requests of ioctl that freeze and break a file system (linux/fs.h, ext4.h).
const (
	ioctlFreeze   = 0xc0045877 // FIFREEZE: whoever writes waits
	ioctlThaw     = 0xc0045878 // FITHAW
	ioctlShutdown = 0x8004587d // EXT4_IOC_SHUTDOWN: whoever writes gets EIO
)

// ways of a journal to die, done to the file system that it stands on.
var journalDeaths = map[string]func(t *testing.T, dir string){
	"full": func(t *testing.T, dir string) {
		filler, err := os.Create(filepath.Join(dir, "filler"))
		if err != nil {
			t.Fatal(err)
		}
		defer filler.Close()
		for piece := 1 << 20; piece > 0; { // to the last byte
			if _, err := filler.Write(make([]byte, piece)); err != nil {
				piece /= 2
			}
		}
	},
	"failing": func(t *testing.T, dir string) {
		ioctl(t, dir, ioctlShutdown, 2) // EXT4_GOING_FLAGS_NOLOGFLUSH
	},
	"frozen": func(t *testing.T, dir string) {
		ioctl(t, dir, ioctlFreeze, 0)
		t.Cleanup(func() { ioctl(t, dir, ioctlThaw, 0) })
	},
}

func ioctl(t *testing.T, dir string, request uint, value int) {
	t.Helper()
	d, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if err := unix.IoctlSetPointerInt(int(d.Fd()), request, value); err != nil {
		t.Fatal(err)
	}
}

// ownDisk gives a demo's audit folder a small ext4 file system of its own.
func (d *demo) ownDisk(t *testing.T) {
	t.Helper()
	image := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(image, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(image, 24<<20); err != nil {
		t.Fatal(err)
	}
	for _, c := range [][]string{
		{"mkfs.ext4", "-q", "-m", "0", "-d", d.AuditDir, image}, {"mount", "-o", "loop", image, d.AuditDir}, {"chmod", "700", d.AuditDir},
	} {
		if out, err := exec.Command(c[0], c[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", strings.Join(c, " "), err, out)
		}
	}
	t.Cleanup(func() {
		if err := unix.Unmount(d.AuditDir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	for _, pid := range d.pidsOf(t, "bqgate") { // the next one begins its journal there
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	d.healthy(t)
}

// A43: the journal is dead. Whatever an agent asks gets a fault and nothing else, no session is
// opened, and nothing of it reaches Google: no query, no dry run, no look at a table, no token.
func TestDeadJournal(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can mount a disk and break it; extauthz TestNothingLeavesWithADeadJournal holds the parts")
	}
	for name, kill := range journalDeaths {
		t.Run(name, func(t *testing.T) {
			dir, err := os.MkdirTemp("", "bqgate-e2e")
			if err != nil {
				t.Fatal(err)
			}
			d := startDemoIn(t, dir)
			d.healthy(t)
			d.ownDisk(t)
			token := d.token("agent")
			job, table := d.finished(t, "agent", "SELECT id FROM crm.orders LIMIT 3")
			waits := d.hold(t, "agent", "SELECT employee FROM finance.payroll LIMIT 1")
			approved := d.hold(t, "agent", "SELECT employee FROM finance.payroll LIMIT 2")
			d.approve(t, approved)
			warm := "SELECT name FROM crm.customers"
			if a := d.query("agent", warm); a.Status != 200 {
				t.Fatalf("before: %d %s", a.Status, a.message())
			}
			session := d.exchange(t, "agent")
			time.Sleep(time.Second) // what the journal last took answers for a second of polls
			kill(t, d.AuditDir)
			if name == "full" { // the journal's last block may have room for some records yet
				for n := 0; d.query("agent", warm).Status != 503; n++ {
					if n == 100 {
						t.Fatal("the journal takes record after record on a full disk")
					}
				}
			}
			d.forget(t)

			project := "/bigquery/v2/projects/" + d.Project
			query := func(sql string, dry bool) map[string]any {
				return map[string]any{"query": sql, "useLegacySql": false, "dryRun": dry}
			}
			insert := func(sql string, dry bool) map[string]any {
				return map[string]any{"configuration": map[string]any{"dryRun": dry,
					"query": map[string]any{"query": sql, "useLegacySql": false}}}
			}
			ways := map[string]struct {
				method, path string
				body         any
			}{
				"query":                         {"POST", project + "/queries", query("SELECT at FROM crm.events", false)},
				"query that is known":           {"POST", project + "/queries", query(warm, false)},
				"query that waits":              {"POST", project + "/queries", query("SELECT ssn FROM finance.payroll", false)},
				"query that is refused":         {"POST", project + "/queries", query("SELECT note FROM hr.reviews", false)},
				"query with a syntax error":     {"POST", project + "/queries", query("SELEC 1", false)},
				"dry run":                       {"POST", project + "/queries", query("SELECT payload FROM crm.events", true)},
				"insert":                        {"POST", project + "/jobs", insert("SELECT id FROM crm.events", false)},
				"dry run by insert":             {"POST", project + "/jobs", insert("SELECT id, at FROM crm.events", true)},
				"projects.list":                 {"GET", "/bigquery/v2/projects", nil},
				"datasets.list":                 {"GET", project + "/datasets", nil},
				"datasets.get":                  {"GET", project + "/datasets/crm", nil},
				"tables.list":                   {"GET", project + "/datasets/crm/tables", nil},
				"tables.get":                    {"GET", project + "/datasets/crm/tables/customers", nil},
				"tables.get of an unknown one":  {"GET", project + "/datasets/crm/tables/unknown", nil},
				"tables.get of a closed one":    {"GET", project + "/datasets/hr/tables/reviews", nil},
				"tabledata.list of a result":    {"GET", "/bigquery/v2/" + table + "/data", nil},
				"tabledata.list of a table":     {"GET", project + "/datasets/crm/tables/customers/data", nil},
				"jobs.list":                     {"GET", project + "/jobs", nil},
				"jobs.get":                      {"GET", project + "/jobs/" + job, nil},
				"getQueryResults":               {"GET", project + "/queries/" + job, nil},
				"cancel":                        {"POST", project + "/jobs/" + job + "/cancel", nil},
				"jobs.get of a held job":        {"GET", project + "/jobs/" + waits, nil},
				"getQueryResults of a held job": {"GET", project + "/queries/" + waits + "?timeoutMs=0", nil},
				"jobs.get of an approved job":   {"GET", project + "/jobs/" + approved, nil},
				"results of an approved job":    {"GET", project + "/queries/" + approved, nil},
				"cancel of a held job":          {"POST", project + "/jobs/" + waits + "/cancel", nil},
				"somebody's job":                {"GET", project + "/jobs/unknown", nil},
				"discovery":                     {"GET", "/discovery/v1/apis/bigquery/v2/rest", nil},
				"a route that is not served":    {"GET", project + "/models", nil},
			}
			answers := make(chan string)
			for way, r := range ways {
				go func() {
					ctx, cancel := contextTimeout(60 * time.Second)
					defer cancel()
					request, err := http.NewRequestWithContext(ctx, r.method, d.REST+r.path, jsonBody(r.body))
					if err != nil {
						answers <- fmt.Sprintf("%s: %v", way, err)
						return
					}
					request.Header.Set("authorization", "Bearer "+token)
					if len(way)%2 == 0 { // by a session too
						request.Header.Set("authorization", "Bearer "+session)
					}
					request.Header.Set("content-type", "application/json")
					answers <- faultOf(way, request, true)
				}()
			}
			go func() {
				ctx, cancel := contextTimeout(60 * time.Second)
				defer cancel()
				form := url.Values{
					"grant_type": {"urn:ietf:params:oauth:grant-type:token-exchange"}, "subject_token": {token},
					"subject_token_type": {"urn:ietf:params:oauth:token-type:jwt"},
				}
				request, err := http.NewRequestWithContext(ctx, "POST", d.TokenURL, strings.NewReader(form.Encode()))
				if err != nil {
					answers <- err.Error()
					return
				}
				request.Header.Set("content-type", "application/x-www-form-urlencoded")
				answers <- faultOf("token exchange", request, false)
			}()
			for range len(ways) + 1 {
				if wrong := <-answers; wrong != "" {
					t.Error(wrong)
				}
			}
			for _, a := range d.arrived() {
				t.Errorf("%s %s %s %s reached Google", a.Service, a.Method, a.Path, a.Body)
			}
		})
	}
}

// namedFault is how a fault says by what an operator finds it: by its decision; by the request,
// where only ext_proc answers; or not at all, in Envoy's own words, where the process has ended
// with its journal.
var namedFault = regexp.MustCompile(`decision d-[0-9A-HJKMNP-TV-Z]{26}|Request [0-9a-f-]{36}|could not be reached; try again`)

// faultOf sends a request and says what is wrong where the answer is no fault, or does not name
// itself where it should.
func faultOf(way string, request *http.Request, says bool) string {
	response, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(request)
	if err != nil {
		return fmt.Sprintf("%s: %v", way, err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode < 500 {
		return fmt.Sprintf("%s: status %d, %v: %s", way, response.StatusCode, err, tail(body, 300))
	}
	if says && !namedFault.Match(body) {
		return fmt.Sprintf("%s: the fault has no id: %s", way, body)
	}
	return ""
}

func jsonBody(v any) io.Reader {
	if v == nil {
		return http.NoBody
	}
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return bytes.NewReader(text)
}
