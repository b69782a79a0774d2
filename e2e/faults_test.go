//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Every part is killed and frozen in the middle of a 50 MB response, of a check and of a hold. What
// the client gets is a refusal or a broken-off response: never an unmasked byte, never a hang (I7).
// Each part has a demo of its own.
func TestFaults(t *testing.T) {
	t.Parallel()
	for part, signals := range map[string][]syscall.Signal{
		"envoy": {syscall.SIGKILL, syscall.SIGSTOP}, "bqgate": {syscall.SIGKILL, syscall.SIGSTOP},
		"sql worker": {syscall.SIGKILL, syscall.SIGSTOP},
		"redis":      {syscall.SIGSTOP, syscall.SIGKILL}, // a killed Redis does not come back
	} {
		t.Run(part, func(t *testing.T) {
			t.Parallel()
			d := startDemo(t)
			for _, signal := range signals {
				t.Run(signal.String(), func(t *testing.T) { faultIn(t, d, part, signal) })
			}
			d.searchCanaries()
		})
	}
}

const (
	// More than 50 MB in one page, generated upstream; the stall lets the fault hit in the middle.
	longQuery = "SELECT id, name, ssn, card_number, email, phones FROM crm.customers -- fake:rows=340000\n-- fake:stall=1s"
	noHang    = 30 * time.Second
)

func faultIn(t *testing.T, d *demo, part string, signal syscall.Signal) {
	d.healthy(t)
	pids := d.pidsOf(t, part)
	token := d.token("agent")
	strike := func() {
		for _, pid := range pids {
			if err := syscall.Kill(pid, signal); err != nil {
				t.Errorf("signal %s: %v", part, err)
			}
		}
	}
	revive := func() {
		if signal == syscall.SIGSTOP {
			for _, pid := range pids {
				syscall.Kill(pid, syscall.SIGCONT)
			}
		}
	}
	t.Cleanup(revive)

	// In the middle of a response.
	started := time.Now()
	got, err := d.download(token, longQuery, func(n int) bool {
		if n > 4<<20 && strike != nil {
			strike()
			strike = nil
			return true
		}
		return false
	}, func() { // Envoy itself frozen can only be noticed by the client's own deadline
		if part == "envoy" && signal == syscall.SIGSTOP {
			time.Sleep(3 * time.Second)
			revive()
		}
	})
	t.Logf("response: %d bytes in %s, then %v", len(got), time.Since(started).Round(time.Millisecond), err)
	if time.Since(started) > noHang {
		t.Errorf("the response hung for %s", time.Since(started))
	}
	unmasked(t, d, got)
	brokenOff(t, part, signal, got, err)
	if strike != nil {
		t.Fatalf("only %d bytes arrived before the end (%v): the fault did not hit in the middle", len(got), err)
	}

	// In a check and in a hold, while the part is still down or frozen.
	if part != "envoy" {
		for name, sql := range map[string]string{
			"check": fmt.Sprintf("SELECT id, ssn FROM crm.customers WHERE id > %d", time.Now().UnixNano()),
			"hold":  payroll + " -- " + part + signal.String(),
		} {
			started := time.Now()
			ctx, cancel := contextTimeout(noHang)
			a, err := d.do(ctx, "POST", d.REST+"/bigquery/v2/projects/demo/queries", token, nil,
				map[string]any{"query": sql, "useLegacySql": false})
			cancel()
			t.Logf("%s: status %d in %s, %v", name, a.Status, time.Since(started).Round(time.Millisecond), err)
			if err != nil && ctx.Err() != nil {
				t.Errorf("%s hung for %s", name, noHang)
			}
			if a.Status == 200 && bytes.Contains(a.Body, []byte(`"rows"`)) {
				unmasked(t, d, a.Body)
			}
		}
	}
	revive()
}

// A client that reads slowly keeps the pieces of its answer in the gateway and in Envoy. When the
// gateway dies beneath them, no raw byte of what was still to be masked comes out, the response
// breaks off, and meanwhile another client is served as ever.
func TestSlowReader(t *testing.T) {
	t.Parallel()
	d := startDemo(t)
	d.healthy(t)
	struck, sinceOther := false, 0
	got, err := d.download(d.token("agent"), longQuery, func(n int) bool {
		time.Sleep(5 * time.Millisecond) // 64 KiB at most at once: some 12 MB/s, a fraction of what the gateway masks
		if sinceOther++; sinceOther%20 == 0 && !struck {
			if a := d.query("analyst", "SELECT 1"); a.Status != 200 {
				t.Errorf("beside a slow reader another client gets %d: %s", a.Status, a.message())
			}
		}
		if n > 8<<20 && !struck {
			struck = true
			for _, pid := range d.pidsOf(t, "bqgate") {
				if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
					t.Error(err)
				}
			}
		}
		return false
	}, nil)
	if !struck {
		t.Fatalf("only %d bytes arrived (%v): the gateway was not killed in the middle", len(got), err)
	}
	unmasked(t, d, got)
	brokenOff(t, "bqgate", syscall.SIGKILL, got, err)
	d.searchCanaries()
}

// brokenOff holds what a fault in the middle of a response leaves of it. Without the two parts that
// every byte goes through, a response cannot end well: one that does was let through by something
// else. What the other parts do is done before the first byte, so that without them the response is
// whole or broken off, and never of another length.
func brokenOff(t *testing.T, part string, signal syscall.Signal, got []byte, err error) {
	t.Helper()
	whole := json.Valid(got)
	switch {
	case part == "envoy" && signal == syscall.SIGSTOP: // it goes on where it stood
		if err != nil || !whole {
			t.Errorf("after Envoy went on, the response ended with %v, whole: %v", err, whole)
		}
	case part == "envoy", part == "bqgate":
		if err == nil || whole {
			t.Errorf("the response ended with %v, whole: %v; want it broken off", err, whole)
		}
	default:
		if (err == nil) != whole {
			t.Errorf("the response ended with %v, whole: %v", err, whole)
		}
	}
}

// download runs a query and reads its body piece by piece; at is told how much has come and says
// whether it struck.
func (d *demo) download(token, sql string, at func(n int) bool, struck func()) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), noHang+5*time.Second)
	defer cancel()
	body, err := json.Marshal(map[string]any{"query": sql, "useLegacySql": false})
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, "POST", d.REST+"/bigquery/v2/projects/demo/queries", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("authorization", "Bearer "+token)
	req.Header.Set("content-type", "application/json")
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	var got bytes.Buffer
	piece := make([]byte, 64<<10)
	for {
		n, err := resp.Body.Read(piece)
		got.Write(piece[:n])
		if at(got.Len()) {
			go struck()
		}
		if err == io.EOF {
			return got.Bytes(), nil
		}
		if err != nil {
			return got.Bytes(), err
		}
	}
}

// unmasked searches a response for canaries: the plain ones, since it is large.
func unmasked(t *testing.T, d *demo, got []byte) {
	t.Helper()
	for _, c := range d.Canaries {
		if bytes.Contains(got, []byte(c.Value)) {
			t.Errorf("canary of %s in the response", c.Column)
		}
	}
}

// healthy waits until the data path answers again.
func (d *demo) healthy(t *testing.T) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for {
		ctx, cancel := contextTimeout(5 * time.Second)
		a, err := d.do(ctx, "POST", d.REST+"/bigquery/v2/projects/demo/queries", d.token("agent"), nil,
			map[string]any{"query": "SELECT 1", "useLegacySql": false})
		cancel()
		if err == nil && a.Status == 200 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the data path does not come back: status %d %s, %v", a.Status, a.message(), err)
		}
		time.Sleep(200 * time.Millisecond)
	}
}

func (d *demo) pidsOf(t *testing.T, part string) []int {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(d.dir, "demo.json"))
	if err != nil {
		t.Fatal(err)
	}
	var now demoInfo
	if err := json.Unmarshal(text, &now); err != nil {
		t.Fatal(err)
	}
	switch part {
	case "envoy", "bqgate", "console":
		return []int{now.PIDs[part]}
	case "redis":
		return []int{d.redisPID}
	case "sql worker":
		out, err := exec.Command("pgrep", "-P", strconv.Itoa(now.PIDs["bqgate"])).Output()
		if err != nil {
			t.Fatalf("find SQL workers: %v", err)
		}
		var pids []int
		for _, f := range strings.Fields(string(out)) {
			pid, err := strconv.Atoi(f)
			if err != nil {
				t.Fatal(err)
			}
			pids = append(pids, pid)
		}
		return pids
	}
	t.Fatalf("no part %q", part)
	return nil
}
