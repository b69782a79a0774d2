// Package innerlink listens for Envoy, and for nobody else.
//
// Whoever can call Check with a valid agent token reads a minted Google token out of the answer, and whoever can call Process sees rows before they are
// masked (attack A1). So the inner services listen on Unix sockets only, in a folder that only the gateway's user may enter, and the kernel's word on who has
// connected (SO_PEERCRED) is checked on every connection.
package innerlink

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"
)

// Listen listens on a Unix socket. The folder is made with mode 0700 if it is not there; a folder that group or others may enter, or
// that belongs to somebody else, is refused. Connections of users other than the process's own and those in allow are closed at once.
func Listen(path string, allow []int, log *slog.Logger) (net.Listener, error) {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make socket folder: %w", err)
	}
	if err := checkDir(dir, len(allow) > 0); err != nil {
		return nil, err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("remove stale socket: %w", err)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	mode := os.FileMode(0o600)
	if len(allow) > 0 {
		mode = 0o666 // the folder and the peer check decide
	}
	if err := os.Chmod(path, mode); err != nil {
		l.Close()
		return nil, fmt.Errorf("protect socket: %w", err)
	}
	return &listener{UnixListener: l, allow: append([]int{os.Getuid()}, allow...), log: log}, nil
}

func checkDir(dir string, shared bool) error {
	info, err := os.Stat(dir)
	if err != nil {
		return fmt.Errorf("socket folder: %w", err)
	}
	if st, ok := info.Sys().(*syscall.Stat_t); !ok || int(st.Uid) != os.Getuid() {
		return fmt.Errorf("socket folder %s belongs to another user; bqgate must own it", dir)
	}
	open := os.FileMode(0o077)
	if shared {
		open = 0o066 // other users named in the configuration must be able to pass through it
	}
	if info.Mode().Perm()&open != 0 {
		return fmt.Errorf("socket folder %s has mode %#o; others may enter it. Make it 0700: chmod 700 %s", dir, info.Mode().Perm(), dir)
	}
	return nil
}

type listener struct {
	*net.UnixListener
	allow []int
	log   *slog.Logger
}

// Accept returns the next connection of an allowed user.
func (l *listener) Accept() (net.Conn, error) {
	for {
		c, err := l.AcceptUnix()
		if err != nil {
			return nil, err
		}
		uid, err := peer(c)
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
