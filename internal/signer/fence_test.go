package signer

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// What the kernel says of the child, from outside.
func TestFencesStand(t *testing.T) {
	inherited, err := unix.MemfdCreate("inherited", 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(inherited)
	_, config := sealed(t)
	s := started(t, config)
	pid, fences := s.PID()
	if !fences.Undumpable || !fences.NoCore || !fences.Confined || !fences.Locked && fences.Swap != "none" {
		t.Errorf("fences = %+v", fences)
	}
	proc := func(name string) string {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	status := proc("status")
	for _, line := range []string{"Seccomp:\t2", "Seccomp_filters:\t2", "NoNewPrivs:\t1"} {
		if !strings.Contains(status, line+"\n") {
			t.Errorf("/proc/PID/status does not say %q", line)
		}
	}
	if fences.Locked && strings.Contains(status, "VmLck:\t       0 kB") {
		t.Error("no memory is locked")
	}
	if environ := proc("environ"); environ != "" {
		t.Errorf("its environment is %q", environ)
	}
	for line := range strings.Lines(proc("limits")) {
		if strings.HasPrefix(line, "Max core file size") && len(strings.Fields(line)) > 5 {
			if f := strings.Fields(line); f[4] != "0" || f[5] != "0" {
				t.Errorf("limits: %s", line)
			}
		}
	}
	// Nothing that was open in the process that started it is left.
	fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range fds {
		to, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%s", pid, fd.Name()))
		if err != nil {
			t.Fatal(err)
		}
		switch n, _ := strconv.Atoi(fd.Name()); {
		case n < 3 && to == os.DevNull, n == socket && strings.HasPrefix(to, "socket:"), runtimes(to):
		default:
			t.Errorf("descriptor %s is %s", fd.Name(), to)
		}
	}
}

// What a confined process tries fails, in whatever thread.
func TestConfined(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for how, can := range map[string]map[string]bool{
		"nothing": {
			"socket": false, "unix socket": false, "file": false, "program": false, "ptrace": false, "dumpable": false,
			"a call that is not needed": false, "work": true,
		},
		"files": {
			"socket": false, "unix socket": false, "file": true, "program": false, "ptrace": false,
			"a call that is not needed": false, "work": true,
		},
	} {
		t.Run(how, func(t *testing.T) {
			out, err := exec.Command(self, "struggle", how).CombinedOutput()
			if err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			got := answers(out)
			for what, want := range can {
				if said, ok := got[what]; !ok || said != want {
					t.Errorf("%s: %v (said: %v), want %v", what, said, ok, want)
				}
			}
		})
	}
}

func answers(out []byte) map[string]bool {
	got := map[string]bool{}
	for line := range strings.Lines(string(out)) {
		if at := strings.LastIndexByte(strings.TrimSpace(line), ' '); at > 0 {
			got[line[:at]] = strings.TrimSpace(line[at:]) == "true"
		}
	}
	return got
}

// Another process of the very same user sees nothing of the child: no memory, no environment, and
// it cannot be traced. Of an ordinary process it sees all of that.
func TestSameUserCannotPry(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, to become another user")
	}
	setpriv, err := exec.LookPath("setpriv")
	if err != nil {
		t.Skip("needs setpriv (util-linux)")
	}
	dir, err := os.MkdirTemp("", "signer") // not below t.TempDir: others must get there
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	binary := filepath.Join(dir, "signer.test")
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(binary, self, 0o755); err != nil {
		t.Fatal(err)
	}
	_, config := sealed(t)
	identity := filepath.Join(dir, "identity")
	text, err := os.ReadFile(config.Wrap.File())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(identity, text, 0o600); err != nil {
		t.Fatal(err)
	}
	const nobody = 65534
	if err := os.Chown(identity, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	config.Wrap.URI = "age:" + identity
	as := []string{setpriv, "--reuid=65534", "--regid=65534", "--clear-groups", "--bounding-set=-all", "--no-new-privs"}
	config.Command = append(as[:len(as):len(as)], binary, Command)
	s := started(t, config)
	pid, fences := s.PID()
	if !fences.Undumpable || !fences.Confined {
		t.Errorf("fences = %+v", fences)
	}
	look := func(pid int) map[string]bool {
		cmd := exec.Command(setpriv, append(as[1:len(as):len(as)], binary, "pry", strconv.Itoa(pid))...)
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		return answers(out)
	}
	for what, can := range look(pid) {
		if can {
			t.Errorf("%s of the child can be had", what)
		}
	}
	ordinary := exec.Command(setpriv, append(as[1:len(as):len(as)], "cat")...)
	stdin, err := ordinary.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := ordinary.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := ordinary.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ordinary.Process.Kill(); _ = ordinary.Wait() }() // who was traced stands still
	fmt.Fprintln(stdin, "it is cat by now")
	if _, err := bufio.NewReader(stdout).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	if got := look(ordinary.Process.Pid); !got["mem"] || !got["environ"] {
		t.Errorf("an ordinary process cannot be looked into either, so this test shows nothing: %v", got)
	}
}

// The process that has a Signer holds nothing of the key, at any place of its memory; the child
// does, so that what is looked for is what is there. An aborted child leaves no core.
func TestServeHoldsNothing(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, to read the memory of an undumpable process")
	}
	key, config := sealed(t)
	dir := t.TempDir()
	cmd := exec.Command("/proc/self/exe", "hold", config.File, config.KeyID, config.Wrap.URI)
	cmd.Dir = dir
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { stdin.Close(); _ = cmd.Wait() }()
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	child, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatalf("it says %s", line)
	}
	traces := key.Traces(t)
	identity, err := os.ReadFile(config.Wrap.File())
	if err != nil {
		t.Fatal(err)
	}
	traces["the age identity"] = bytes.TrimSpace(identity[bytes.Index(identity, []byte("AGE-SECRET-KEY-1")):])
	for _, name := range found(t, cmd.Process.Pid, traces) {
		t.Errorf("serve holds %s", name)
	}
	if inChild := found(t, child, traces); len(inChild) == 0 {
		t.Error("the child does not hold the key either: this test shows nothing")
	}
}

// found returns which traces are in the memory of a process.
func found(t *testing.T, pid int, traces map[string][]byte) []string {
	t.Helper()
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		t.Fatal(err)
	}
	mem, err := os.Open(fmt.Sprintf("/proc/%d/mem", pid))
	if err != nil {
		t.Fatal(err)
	}
	defer mem.Close()
	there := map[string]bool{}
	searched := 0
	for line := range strings.Lines(string(maps)) {
		var from, to uint64
		var mode string
		if n, err := fmt.Sscanf(line, "%x-%x %s", &from, &to, &mode); n != 3 || err != nil || mode[0] != 'r' ||
			strings.Contains(line, "[v") { // what the kernel maps
			continue
		}
		text, err := io.ReadAll(io.NewSectionReader(mem, int64(from), int64(to-from)))
		if err != nil {
			continue // a guard page, or gone meanwhile
		}
		searched += len(text)
		for name, trace := range traces {
			if bytes.Contains(text, trace) {
				there[name] = true
			}
		}
	}
	if searched < 1<<20 {
		t.Errorf("only %d bytes of process %d were searched", searched, pid)
	}
	var names []string
	for name := range there {
		names = append(names, name)
	}
	return names
}
