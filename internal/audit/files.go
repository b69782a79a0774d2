package audit

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// files lists the journal files of an audit folder in order of time, and what else is in it.
func files(dir string) (paths, strays []string, err error) {
	path := filepath.Join(dir, folder)
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, nil, fmt.Errorf("read audit journal: %w", err)
	}
	for _, e := range entries {
		to := &strays
		if e.Type().IsRegular() && strings.HasSuffix(e.Name(), extension) {
			to = &paths
		}
		*to = append(*to, filepath.Join(path, e.Name()))
	}
	slices.Sort(paths)
	return paths, strays, nil
}

// errUnreadable is of a file that this process cannot read as it is: somebody else's, or no file
// any more. Others can be read nevertheless.
var errUnreadable = errors.New("it cannot be read")

// openFile opens a file of a journal to read it. Whatever else stands under its name, a pipe or a
// link, is not waited for and not followed.
func openFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW, 0)
	switch {
	case errors.Is(err, fs.ErrPermission) || errors.Is(err, unix.ELOOP) || errors.Is(err, unix.ENXIO) || errors.Is(err, unix.ENODEV):
		return nil, fmt.Errorf("read audit journal: %w: %w", errUnreadable, err)
	case err != nil:
		return nil, fmt.Errorf("read audit journal: %w", err)
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%w: %s is no regular file", errUnreadable, path)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("read audit journal: %w", err), f.Close())
	}
	return f, nil
}
