package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bqgate/bqgate/internal/audit"
)

// newJournal is an audit folder with three refusals in one file, which is still being written until
// it is closed.
func newJournal(t *testing.T) (dir, keyFile, file string, j *audit.Journal) {
	t.Helper()
	dir, keyFile = t.TempDir(), filepath.Join(t.TempDir(), "audit.key")
	key, err := audit.GenerateKey(keyFile)
	if err != nil {
		t.Fatal(err)
	}
	if j, err = audit.Open(dir, key, audit.Options{}); err != nil {
		t.Fatal(err)
	}
	var at audit.Position
	for i := range 3 {
		if at, err = j.Append(context.Background(),
			audit.Decision{ID: fmt.Sprint("d-", i), Effect: audit.EffectRefuse, SQL: "SELECT 1"}); err != nil {
			t.Fatal(err)
		}
	}
	return dir, keyFile, filepath.Join(dir, "journal", at.File), j
}

// What is damaged or missing is said, with exit code 1, and hides nothing of what is there.
func TestAuditSaysWhatIsWrong(t *testing.T) {
	dir, keyFile, file, j := newJournal(t)
	ctx := context.Background()
	look := func(what string, want, lines int, words ...string) {
		t.Helper()
		out, errs := command(ctx, t, want, "audit", "list", "--dir", dir, "--key-file", keyFile, "--json")
		if n := strings.Count(out, "\n"); n != lines {
			t.Errorf("%s: %d lines, want %d: %s", what, n, lines, out)
		}
		says(t, errs, words...)
		for _, args := range [][]string{{}, {"--key-file", keyFile}, {"--public-key", ""}} {
			_, errs = command(ctx, t, want, append([]string{"audit", "verify", "--dir", dir}, args...)...)
			says(t, errs, words...)
		}
	}
	look("while it is written", exitFine, 3, "is being written")
	if err := os.WriteFile(filepath.Join(dir, "journal", "x.tmp"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	look("beside another file", exitFine, 3, "x.tmp is not a journal file", "is being written")
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	look("when it has ended", exitFine, 3)
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	const header = 76 // bytes, then the first frame, whose length stands 13 bytes in
	for name, c := range map[string]struct {
		change func(b []byte) []byte
		lines  int
		says   string
	}{
		"a bit of the first length": {func(b []byte) []byte { b[header+13+2] ^= 0x40; return b }, 2, "corrupt at byte 76"},
		"a bit of a record":         {func(b []byte) []byte { b[header+100] ^= 1; return b }, 2, "corrupt at byte 76"},
		"a bit of the header":       {func(b []byte) []byte { b[10] ^= 1; return b }, 0, "not the header"},
		"the last byte cut":         {func(b []byte) []byte { return b[:len(b)-1] }, 3, "without a closing record"},
		"cut in the first record":   {func(b []byte) []byte { return b[:header+50] }, 0, "with 50 torn bytes"},
		"all cut":                   {func([]byte) []byte { return nil }, 0, "without a closing record"},
		"a byte more":               {func(b []byte) []byte { return append(b, 0) }, 3, "1 bytes behind the closing record"},
	} {
		t.Run(name, func(t *testing.T) {
			if err := os.WriteFile(file, c.change([]byte(string(content))), 0o600); err != nil {
				t.Fatal(err)
			}
			look(name, exitFindings, c.lines, c.says, filepath.Base(file))
		})
	}
}

func TestAuditVerifyUsage(t *testing.T) {
	dir, _, _, _ := newJournal(t)
	for _, args := range [][]string{{}, {"--dir", dir, "--public-key", "bqgate+1+x"}, {"--dir", dir, "--key-file", "none"},
		{"--dir", dir, "more"}} {
		command(context.Background(), t, exitUsage, append([]string{"audit", "verify"}, args...)...)
	}
	command(context.Background(), t, exitFindings, "audit", "verify", "--dir", t.TempDir())
}
