package soak

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bqgate/bqgate/e2e/canaries"
	"github.com/bqgate/bqgate/e2e/fakegoogle/outage"
	"github.com/bqgate/bqgate/e2e/system"
)

// world is a demo whose parts can be broken one by one.
type world struct {
	*system.System
	root   string
	redis  *redisServer
	looked *canaries.Needles
	disk   string // folder that a small disk of the journal's own is mounted on, "" where none could be
	noDisk string // why none could be
	conns  tracked
	ended  sync.Once
}

func start(ctx context.Context, root, dir string) (*world, error) {
	w := &world{root: root}
	redisDir := filepath.Join(dir, "redis")
	if err := os.MkdirAll(redisDir, 0o700); err != nil {
		return w, fmt.Errorf("make a folder for Redis: %w", err)
	}
	var err error
	if w.redis, err = startRedis(redisDir); err != nil {
		return w, err
	}
	if w.System, err = system.StartDemo(ctx, root, dir, w.redis.address()); err != nil {
		return w, err
	}
	w.looked = canaries.Find(w.Info.Canaries)
	if err := w.ownDisk(); err != nil {
		w.noDisk = err.Error()
	}
	return w, nil
}

// end stops the demo and Redis; what they wrote stays.
func (w *world) end() {
	w.ended.Do(func() {
		w.conns.reset()
		if w.System != nil {
			w.Stop()
		}
		if w.redis != nil {
			w.redis.end()
		}
	})
}

// close ends everything, and takes the disk away.
func (w *world) close() error {
	w.end()
	if w.disk == "" {
		return nil
	}
	disk := w.disk
	w.disk = ""
	return unix.Unmount(disk, unix.MNT_DETACH)
}

// diskSize is how much the journal may have where the disk is not made full. It lies in memory.
const diskSize = "6g"

// ownDisk gives the journal a file system of its own, which can be made full: a tmpfs, whose size
// can be changed. The gateway and the console begin their journals there anew.
func (w *world) ownDisk() error {
	dir := w.Info.AuditDir
	writers := []string{"bqgate", "console"}
	for _, part := range writers { // none may begin a file that follows one on the old disk
		if part == "bqgate" || len(w.processes()[part]) > 0 {
			if err := w.signal(part, syscall.SIGSTOP); err != nil {
				return err
			}
			defer w.signal(part, syscall.SIGKILL) // and the next one begins its journal anew
		}
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size="+diskSize+",mode=0700"); err != nil {
		return fmt.Errorf("mount a small disk: %w (root may)", err)
	}
	w.disk = dir
	return nil
}

// fill leaves no room on the disk; roomy makes it as it was.
func (w *world) fill() error {
	var now unix.Statfs_t
	if err := unix.Statfs(w.disk, &now); err != nil {
		return err
	}
	// The journal grows meanwhile, so that the size that is just enough may be too small.
	var err error
	for more := range uint64(100) {
		used := (now.Blocks - now.Bfree + more) * uint64(now.Bsize)
		if err = unix.Mount("tmpfs", w.disk, "tmpfs", unix.MS_REMOUNT, fmt.Sprintf("size=%d", used)); err == nil {
			return nil
		}
	}
	return fmt.Errorf("make the disk small: %w", err)
}

func (w *world) roomy() error {
	return unix.Mount("tmpfs", w.disk, "tmpfs", unix.MS_REMOUNT, "size="+diskSize)
}

// reopen is what an operator does where Redis has lost something: the one command that
// docs/operators.md names.
func (w *world) reopen() error {
	command := func(args ...string) ([]byte, error) {
		return exec.Command(filepath.Join(w.root, "build/bin/bqgate-demo"), append([]string{"approvals", "reopen", "--json", "--config",
			w.Path("demo/bqgate.yaml")}, args...)...).Output()
	}
	out, err := command()
	if err == nil {
		return nil // nothing was lost that matters
	}
	var found struct {
		Acknowledge int64 `json:"acknowledge"`
	}
	if json.Unmarshal(out, &found) != nil || found.Acknowledge == 0 {
		return fmt.Errorf("bqgate approvals reopen: %w: %.300s", err, out)
	}
	if out, err = command("--acknowledge", strconv.FormatInt(found.Acknowledge, 10), "--reason", "soak"); err != nil {
		return fmt.Errorf("bqgate approvals reopen --acknowledge %d: %w: %.300s", found.Acknowledge, err, out)
	}
	return nil
}

// processes are the parts by the name that `bqgate demo` gives them, and "sql worker".
func (w *world) processes() map[string][]int {
	parts := map[string][]int{}
	for _, pid := range children(w.Info.PIDs["demo"]) {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if err != nil || len(text) == 0 {
			continue // it has ended
		}
		args := strings.Split(string(text), "\x00")
		name := filepath.Base(args[0])
		if strings.HasPrefix(name, "bqgate") && len(args) > 1 {
			name = map[string]string{"serve": "bqgate", "console": "console"}[args[1]]
		}
		parts[name] = append(parts[name], pid)
	}
	for _, pid := range parts["bqgate"] {
		parts["sql worker"] = append(parts["sql worker"], children(pid)...)
	}
	if w.redis != nil {
		parts["redis"] = w.redis.pids()
	}
	return parts
}

// children are the processes that a process has started (proc_pid_task_children(5)).
func children(pid int) []int {
	var pids []int
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil {
		return nil
	}
	for _, task := range tasks {
		text, err := os.ReadFile(task)
		if err != nil {
			continue // the thread has ended
		}
		for _, f := range strings.Fields(string(text)) {
			if child, err := strconv.Atoi(f); err == nil {
				pids = append(pids, child)
			}
		}
	}
	return pids
}

// signal sends a signal to all processes of a part.
func (w *world) signal(part string, signal syscall.Signal) error {
	return send(part, w.processes()[part], signal)
}

func send(part string, pids []int, signal syscall.Signal) error {
	if len(pids) == 0 {
		return fmt.Errorf("no process of %s runs", part)
	}
	for _, pid := range pids {
		if err := syscall.Kill(pid, signal); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("signal %s: %w", part, err)
		}
	}
	return nil
}

// broken breaks the connections of one of the stand-ins.
func (w *world) broken(service string, m outage.Mode) error {
	body, err := json.Marshal(map[string]any{"service": service, "mode": m})
	if err != nil {
		return err
	}
	resp, err := http.Post(w.Info.Fake+"/_fake/outage", "application/json", bytes.NewReader(body))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		said, _ := io.ReadAll(resp.Body)
		return fmt.Errorf("break %s: %s", service, said)
	}
	return nil
}

// tracked are the connections of all callers.
type tracked struct {
	mu  sync.Mutex
	all map[net.Conn]struct{}
}

func (t *tracked) dial(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := (&net.Dialer{Timeout: 10 * time.Second}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.all == nil {
		t.all = map[net.Conn]struct{}{}
	}
	t.all[c] = struct{}{}
	return &trackedConn{c, t}, nil
}

// reset cuts all of them off.
func (t *tracked) reset() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for c := range t.all {
		if tcp, ok := c.(*net.TCPConn); ok {
			tcp.SetLinger(0)
		}
		c.Close()
	}
}

type trackedConn struct {
	net.Conn
	t *tracked
}

func (c *trackedConn) Close() error {
	c.t.mu.Lock()
	delete(c.t.all, c.Conn)
	c.t.mu.Unlock()
	return c.Conn.Close()
}

// search looks for canaries in everything that was written: logs, configuration, the journal
// unopened, and all that Redis was ever told.
func (s *Soak) search() error {
	return filepath.WalkDir(s.Dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || d.Name() == "demo.json" {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		const overlap = 512 // longer than any form of a canary
		piece := make([]byte, 4<<20)
		for kept := 0; ; {
			n, err := io.ReadFull(f, piece[kept:])
			for _, found := range s.looked.In(piece[:kept+n]) {
				s.notes.find("%s in %s", found, path)
			}
			if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
				return nil
			}
			if err != nil {
				return err
			}
			kept = copy(piece, piece[kept+n-overlap:kept+n])
		}
	})
}
