package audit

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The environment of the child that appends until it is killed: the audit folder and its key file.
const childDir, childKey = "BQGATE_TEST_AUDIT_DIR", "BQGATE_TEST_AUDIT_KEY"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		fmt.Fprintln(os.Stderr, appendForEver(dir, os.Getenv(childKey)))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// appendForEver appends from several goroutines and prints each id when it is acknowledged.
func appendForEver(dir, keyFile string) error {
	key, err := LoadKey(keyFile)
	if err != nil {
		return err
	}
	j, err := Open(dir, key, Options{MaxFile: 3 << 20})
	if err != nil {
		return err
	}
	failed := make(chan error)
	var pages Pages
	for w := range 8 {
		go func() {
			for i := 0; ; i++ {
				id := fmt.Sprintf("d-%d-%d-%d", os.Getpid(), w, i)
				if _, err := j.Append(context.Background(), Decision{ID: id, SQL: strings.Repeat("SELECT ", i%300)}); err != nil {
					failed <- err
					return
				}
				// Every page comes three times, by one question; some are recorded by reference.
				if err := letOut(j, pages.Begin(id, Hash{byte(w), byte(i / 3)}), pageOf(minPage+w*pageBlock/2, byte(i/3))); err != nil {
					failed <- err
					return
				}
				// One write a line: a line that the parent sees was acknowledged.
				if _, err := os.Stdout.WriteString(id + "\n"); err != nil {
					failed <- err
					return
				}
			}
		}()
	}
	return <-failed
}

func letOut(j *Journal, r Recording, page []byte) error {
	for len(page) > 0 {
		n := r.Ready(page[:min(len(page), pageBlock)])
		if n == 0 || n == len(page) {
			break
		}
		if err := r.Append(context.Background(), j, page[:n]); err != nil {
			return err
		}
		page = page[n:]
	}
	return r.Append(
		context.Background(),
		j,
		page,
		Outcome{Decision: r.decision, State: StateComplete, Bytes: r.Bytes() + uint64(len(page))},
	)
}

// TestKill kills a process that appends, ten times at random moments: each record that was
// acknowledged is there, and the folder verifies.
func TestKill(t *testing.T) {
	dir, keyFile := t.TempDir(), filepath.Join(t.TempDir(), "key")
	key, err := GenerateKey(keyFile)
	if err != nil {
		t.Fatal(err)
	}
	acked := map[string]bool{}
	for range 10 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), childDir+"="+dir, childKey+"="+keyFile)
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		r := bufio.NewReader(out)
		kill := time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() })
		for n := 0; ; n++ {
			line, err := r.ReadString('\n')
			if err == io.EOF {
				break // a line that was cut was not acknowledged whole
			}
			if err != nil {
				t.Fatal(err)
			}
			acked[strings.TrimSpace(line)] = true
			if n == 0 {
				kill.Reset(time.Duration(rand.IntN(150)) * time.Millisecond)
			}
		}
		if err := cmd.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
			t.Fatalf("the child ended by itself: %v", err)
		}
	}
	// The last process was killed, and none has begun since to tell of its end: that is said.
	report, err := Verify(dir)
	if err != nil {
		t.Fatal(err)
	}
	if last := report.Files[len(report.Files)-1]; !last.Closed &&
		(len(report.Findings) != 1 || !strings.Contains(report.Findings[0].Error(), "without a closing record")) {
		t.Errorf("after the kill: %v", report.Findings)
	}
	// The next one tells. From then on the folder is in order, and what is cut from any file is
	// missed.
	next := open(t, dir, key, Options{})
	l, err := List(dir, key)
	if err := errors.Join(err, l.Err()); err != nil {
		t.Fatal(err)
	}
	same := 0
	for _, e := range l.Entries {
		if acked[e.DecisionID] && (e.Outcome != StateComplete || e.Recorded != e.Bytes) {
			t.Errorf("%s was acknowledged whole: %+v", e.DecisionID, e)
		}
		delete(acked, e.DecisionID)
	}
	if _, err := Read(dir, key, func(_ Position, r Record) error {
		if f, ok := r.(Frame); ok && f.Same != nil {
			same++
		}
		return nil
	}); err != nil || same == 0 {
		t.Errorf("%d answers by reference, %v", same, err)
	}
	if len(acked) > 0 {
		t.Errorf("%d acknowledged records are lost", len(acked))
	}
	if len(l.Entries) < 100 {
		t.Errorf("only %d records", len(l.Entries))
	}
	torn, killed := 0, 0
	for _, f := range l.Files {
		if f.Torn > 0 {
			torn++
		}
		if f.Closed || f.Live {
			continue
		}
		killed++
		content, err := os.ReadFile(f.Path)
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range []int64{f.Size, f.Size - 1, f.Size - 200, headerSize, headerSize - 1, 0} {
			t.Run(fmt.Sprint(n), func(t *testing.T) {
				if n < 0 || n == int64(len(content)) {
					return // nothing is cut
				}
				if err := os.WriteFile(f.Path, content[:n], 0o600); err != nil {
					t.Fatal(err)
				}
				if report, err := Verify(dir); err != nil || len(report.Findings) == 0 {
					t.Errorf("%s cut to %d of %d bytes: %v, nothing was found", f.Path, n, len(content), err)
				}
			})
		}
		if err := os.WriteFile(f.Path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if killed < 5 { // one that is killed between two files leaves none open
		t.Errorf("%d files of killed processes, of 10", killed)
	}
	if err := next.Close(); err != nil {
		t.Fatal(err)
	}
	if report, err := Verify(dir); err != nil || len(report.Findings) > 0 {
		t.Errorf("%v, %v", report.Findings, err)
	}
	t.Logf("%d records in %d files, %d of them torn", len(l.Entries), len(l.Files), torn)
}
