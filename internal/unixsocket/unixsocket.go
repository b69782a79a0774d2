// Package unixsocket listens for Envoy, and for nobody else.
//
// Whoever can call Check with a valid agent token reads a minted Google token out of the answer,
// and whoever can call Process sees rows before they are masked (attack A1). So the inner services
// listen on Unix sockets only, in a folder that only the gateway's user may enter, and the kernel's
// word on who has connected (SO_PEERCRED) is checked on every connection.
package unixsocket

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Folder is the folder of one gateway's sockets. Its lock is held while the gateway lives: a second
// gateway finds it taken and leaves the sockets of the first alone.
type Folder struct {
	dir   string
	allow []int
	log   *slog.Logger
	lock  *os.File
}

// ErrTaken is what Open returns, wrapped, where another process serves from the folder.
var ErrTaken = errors.New("another bqgate serves from it")

const lockName = ".lock"

// Open takes a folder for this process. The folder is made if it is not there, with mode 0700, or
// 0711 where further users are allowed, who must pass through it. A folder that group or others may
// do more with, or that belongs to somebody else, is refused, and so is one that another process
// has taken.
func Open(dir string, allow []int, log *slog.Logger) (*Folder, error) {
	if err := makeDir(dir, allow); err != nil {
		return nil, fmt.Errorf("make socket folder: %w", err)
	}
	if err := checkDir(dir, allow); err != nil {
		return nil, err
	}
	lock, err := os.OpenFile(filepath.Join(dir, lockName), os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock socket folder: %w", err)
	}
	// The kernel gives the lock back when the process ends, however it ends.
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		defer lock.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("socket folder %s: %w%s; stop it first, or give this one another folder", dir, ErrTaken, holder(lock))
		}
		return nil, fmt.Errorf("lock socket folder %s: %w", dir, err)
	}
	if err := writeHolder(lock); err != nil {
		lock.Close()
		return nil, fmt.Errorf("lock socket folder %s: %w", dir, err)
	}
	return &Folder{dir: dir, allow: allow, log: log, lock: lock}, nil
}

// Check says whether Open would take the folder as it is, and changes nothing. A folder that is not
// there is fine.
func Check(dir string, allow []int) error {
	if _, err := os.Lstat(dir); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return checkDir(dir, allow)
}

// holder is " (process N)", from what the holder of the lock wrote into it.
func holder(lock *os.File) string {
	text := make([]byte, 16)
	n, _ := lock.ReadAt(text, 0)
	if pid, err := strconv.Atoi(strings.TrimSpace(string(text[:n]))); err == nil {
		return fmt.Sprintf(" (process %d)", pid)
	}
	return ""
}

func writeHolder(lock *os.File) error {
	if err := lock.Truncate(0); err != nil {
		return err
	}
	_, err := lock.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	return err
}

// Close gives the folder back.
func (f *Folder) Close() error { return f.lock.Close() }

// Path is where a socket of this name is.
func (f *Folder) Path(name string) string { return filepath.Join(f.dir, name) }

// Listen listens on a Unix socket of this name in the folder, in the place of one that an earlier
// process left. Connections of users other than the process's own and the allowed ones are closed
// at once.
func (f *Folder) Listen(name string) (net.Listener, error) {
	path := f.Path(name)
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("remove stale socket: %w", err)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	mode := os.FileMode(0o600)
	if len(f.allow) > 0 {
		mode = 0o666 // the folder and the peer check decide
	}
	if err := os.Chmod(path, mode); err != nil {
		l.Close()
		return nil, fmt.Errorf("protect socket: %w", err)
	}
	return &listener{UnixListener: l, allow: append([]int{os.Getuid()}, f.allow...), peer: peer, log: f.log}, nil
}

// dirMode is the mode of a socket folder: nobody else may list it, and those who are allowed may
// pass through it.
func dirMode(allow []int) os.FileMode {
	if len(allow) > 0 {
		return 0o711
	}
	return 0o700
}

func makeDir(dir string, allow []int) error {
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil { //nolint:gosec // G301: the folder above is as /run is
		return err
	}
	err := os.Mkdir(dir, 0o700)
	if errors.Is(err, os.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return os.Chmod(dir, dirMode(allow)) // whatever the umask is
}

func checkDir(dir string, allow []int) error {
	info, err := os.Stat(dir)
	if err != nil {
		return fmt.Errorf("socket folder: %w", err)
	}
	if !info.IsDir() {
		return fmt.Errorf("socket folder %s is not a folder; name another", dir)
	}
	if st, ok := info.Sys().(*syscall.Stat_t); !ok || int(st.Uid) != os.Getuid() {
		return fmt.Errorf("socket folder %s belongs to another user; bqgate must own it", dir)
	}
	want, mode := dirMode(allow), info.Mode().Perm()
	if mode&^want&0o077 != 0 {
		return fmt.Errorf("socket folder %s has mode %#o; others may do more with it than they must. Make it %#o: chmod %o %s", dir, mode,
			want, want, dir)
	}
	if mode&0o011 == 0 && slices.ContainsFunc(allow, func(uid int) bool { return uid != 0 && uid != os.Getuid() }) {
		return fmt.Errorf("socket folder %s has mode %#o; the users of envoy_uid cannot pass through it. Make it %#o: chmod %o %s", dir,
			mode, want, want, dir)
	}
	return nil
}

type listener struct {
	*net.UnixListener
	allow []int
	peer  func(*net.UnixConn) (int, error) // but in tests the function of this name
	log   *slog.Logger
}

// Accept returns the next connection of an allowed user.
func (l *listener) Accept() (net.Conn, error) {
	for {
		c, err := l.AcceptUnix()
		if err != nil {
			return nil, err
		}
		uid, err := l.peer(c)
		if err == nil && slices.Contains(l.allow, uid) {
			return c, nil
		}
		c.Close()
		l.log.Warn("connection to an inner socket refused", "socket", l.Addr().String(), "uid", uid, "error", err)
	}
}

// peer is the user id of the process at the other end.
func peer(c *net.UnixConn) (int, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return -1, fmt.Errorf("read peer credentials: %w", err)
	}
	var cred *unix.Ucred
	var inner error
	if err := raw.Control(func(fd uintptr) { cred, inner = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }); err != nil {
		return -1, fmt.Errorf("read peer credentials: %w", err)
	}
	if inner != nil {
		return -1, fmt.Errorf("read peer credentials: %w", inner)
	}
	return int(cred.Uid), nil
}
