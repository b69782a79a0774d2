//go:build e2e

package e2e

import (
	"bytes"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/redis/go-redis/v9"

	"github.com/bqgate/bqgate/e2e/fakegoogle/keytokens"
	"github.com/bqgate/bqgate/internal/config"
	"github.com/bqgate/bqgate/internal/credentials"
	"github.com/bqgate/bqgate/internal/sealedkey/sealedkeytest"
	"github.com/bqgate/bqgate/internal/signer"
)

// TestSealedKey runs queries under an account whose key the gateway has sealed, and looks for the
// key wherever it could have gone.
func TestSealedKey(t *testing.T) {
	t.Parallel()
	d := startDemo(t)
	k := d.sealKey(t)
	if a := d.query("agent", "SELECT id, ssn FROM crm.customers WHERE id = 1"); a.Status != http.StatusOK {
		t.Fatalf("%d %s", a.Status, a.message())
	}
	if n := len(k.google.Assertions()); n == 0 {
		t.Fatal("no token was asked for by the key")
	}
	ran := false
	for _, r := range d.arrived() {
		ran = ran || r.Account == k.Account && strings.HasSuffix(r.Path, "/queries")
	}
	if !ran {
		t.Errorf("no query arrived as %s", k.Account)
	}
	t.Run("the signer dies", func(t *testing.T) {
		before := k.child(t)
		if err := syscall.Kill(before, syscall.SIGABRT); err != nil {
			t.Fatal(err)
		}
		comes(t, "another signer", func() (bool, string) {
			now := k.children(t)
			return len(now) == 1 && now[0] != before, fmt.Sprint(now)
		})
		comes(t, "queries run again", func() (bool, string) {
			a := d.query("analyst", "SELECT id FROM crm.orders WHERE id = 1")
			return a.Status == http.StatusOK, a.message()
		})
	})
	t.Run("nothing of the key is anywhere", k.searched)
	t.Run("the key is revoked", func(t *testing.T) {
		k.google.Revoke(k.ID)
		token := d.mint(map[string]any{"subject": "late@demo.example", "groups": []string{"ai-agents"}})
		a := d.call("POST", "/bigquery/v2/projects/demo/queries", token,
			map[string]any{"query": "SELECT id FROM crm.orders WHERE id = 2", "useLegacySql": false})
		if a.Status != http.StatusServiceUnavailable {
			t.Errorf("%d %s, want 503", a.Status, a.message())
		}
		text, err := os.ReadFile(filepath.Join(d.dir, "bqgate.log"))
		if err != nil || !bytes.Contains(text, []byte("does not take the sealed key any more")) {
			t.Errorf("the log does not say why: %v", err)
		}
	})
	d.searchCanaries()
}

// inUse is a sealed key of a running gateway.
type inUse struct {
	sealedkeytest.Key
	d      *demo
	google *keytokens.Service
	traces map[string][]byte
}

// sealKey gives the account `default` a sealed key, and starts the gateway again.
func (d *demo) sealKey(t *testing.T) *inUse {
	t.Helper()
	path := filepath.Join(d.dir, "bqgate.yaml")
	c, err := config.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	account := c.Credentials.Accounts["default"]
	k := &inUse{d: d, Key: sealedkeytest.New(t, account.ServiceAccount, strings.Repeat("0a1b", 10))}
	k.traces = k.Traces(t)
	k.google = keytokens.New(func(account string, _ []string, expires time.Time) string {
		return d.googleToken(t, account, time.Until(expires))
	})
	k.google.Add(k.Account, k.ID, &k.Private.PublicKey)
	server := httptest.NewTLSServer(k.google)
	t.Cleanup(server.Close)
	file, wrap := k.Sealed(t, map[string]any{"token_uri": d.Fake})
	ca := filepath.Join(t.TempDir(), "ca.pem")
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(ca, certificate, 0o600); err != nil {
		t.Fatal(err)
	}
	account.Key = &credentials.Key{File: file, KeyID: k.ID, Wrap: wrap}
	c.Credentials.Accounts["default"] = account
	c.Credentials.KeyEndpoint = &credentials.Endpoint{
		Address: server.Listener.Addr().String(), CAFile: ca,
	}
	written, err := yaml.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, written, 0o600); err != nil {
		t.Fatal(err)
	}
	d.restart(t)
	return k
}

// googleToken is a token of the stand-in's.
func (d *demo) googleToken(t *testing.T, account string, life time.Duration) string {
	body := fmt.Sprintf(`{"account": %q, "ttl_seconds": %d}`, account, int(life/time.Second))
	resp, err := http.Post(d.Fake+"/_fake/token", "application/json", strings.NewReader(body))
	if err != nil {
		t.Error(err)
		return ""
	}
	defer resp.Body.Close()
	var out struct{ Token string }
	if err := json.NewDecoder(resp.Body).Decode(&out); err != nil {
		t.Error(err)
	}
	return out.Token
}

// children are the processes that hold the key for the gateway.
func (k *inUse) children(t *testing.T) (pids []int) {
	t.Helper()
	out, _ := exec.Command("pgrep", "-P", strconv.Itoa(k.d.pidsOf(t, "bqgate")[0])).Output() // 1: there are none
	for _, field := range strings.Fields(string(out)) {
		command, err := os.ReadFile("/proc/" + field + "/cmdline")
		if err == nil && bytes.Contains(command, []byte(signer.Command)) {
			pid, err := strconv.Atoi(field)
			if err != nil {
				t.Fatal(err)
			}
			pids = append(pids, pid)
		}
	}
	return pids
}

func (k *inUse) child(t *testing.T) int {
	t.Helper()
	pids := k.children(t)
	if len(pids) != 1 {
		t.Fatalf("%d processes hold the key: %v", len(pids), pids)
	}
	return pids[0]
}

// searched looks at every byte that the gateway has written, in what its journal says when it is
// opened, in Redis, and in the memory and environment of serve; and for cores.
func (k *inUse) searched(t *testing.T) {
	k.d.t = t
	places := k.d.written()
	for decision, r := range k.d.recorded() {
		places["the journal, "+decision] = r.text
	}
	places["Redis"] = k.redis(t)
	serve := k.d.pidsOf(t, "bqgate")[0]
	for place, pid := range map[string]int{"serve": serve, "the signer": k.child(t)} {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
		if err != nil {
			t.Fatal(err)
		}
		places["environment of "+place] = text
	}
	places["memory of serve"] = memory(t, serve)
	for place, text := range places {
		if strings.HasPrefix(filepath.Base(place), "core") {
			t.Errorf("there is %s", place)
		}
		for name, trace := range k.traces {
			if bytes.Contains(text, trace) {
				t.Errorf("%s holds %s", place, name)
			}
		}
		for _, assertion := range k.google.Assertions() {
			if place != "memory of serve" && bytes.Contains(text, []byte(assertion)) {
				t.Errorf("%s holds an assertion", place)
			}
		}
	}
	held := memory(t, k.child(t))
	for _, trace := range k.traces {
		if bytes.Contains(held, trace) {
			return
		}
	}
	t.Error("the signer does not hold the key either: nothing was shown")
}

// redis is all that Redis holds.
func (k *inUse) redis(t *testing.T) []byte {
	t.Helper()
	db := redis.NewClient(&redis.Options{Addr: k.d.redis})
	defer db.Close()
	names, err := db.Keys(t.Context(), "*").Result()
	if err != nil {
		t.Fatal(err)
	}
	var all bytes.Buffer
	for _, name := range names {
		text, err := db.Dump(t.Context(), name).Result()
		if err != nil && err != redis.Nil { //nolint:errorlint // go-redis returns it bare
			t.Fatal(err)
		}
		all.WriteString(name + "\n" + text + "\n")
	}
	if all.Len() == 0 {
		t.Error("Redis holds nothing: nothing was searched")
	}
	return all.Bytes()
}

// memory is what a process has mapped and can read.
func memory(t *testing.T, pid int) []byte {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root, to read the memory of a process")
	}
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		t.Fatal(err)
	}
	mem, err := os.Open(fmt.Sprintf("/proc/%d/mem", pid))
	if err != nil {
		t.Fatal(err)
	}
	defer mem.Close()
	var all []byte
	for line := range strings.Lines(string(maps)) {
		var from, to int64
		var mode string
		if n, err := fmt.Sscanf(line, "%x-%x %s", &from, &to, &mode); n != 3 || err != nil || !strings.HasPrefix(mode, "rw") {
			continue // what cannot be written is the program
		}
		text, err := io.ReadAll(io.NewSectionReader(mem, from, to-from))
		if err == nil { // else a guard page, or gone meanwhile
			all = append(all, text...)
		}
	}
	if len(all) < 1<<20 {
		t.Errorf("only %d bytes of process %d were searched", len(all), pid)
	}
	return all
}
