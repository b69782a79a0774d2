package keyfile

import (
	"fmt"
	"io"
	"io/fs"
	"os"
)

// maxFile is the size that a key file may have, in bytes.
const maxFile = 64 << 10

// ReadPrivate reads a file that holds a secret, at most 64 KiB, whatever is in it. what names its
// purpose in errors ("audit key"). It refuses one that others may read; see Private.
func ReadPrivate(path, what string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", what, err)
	}
	defer f.Close()
	info, err := f.Stat() // of what is read, not of what the name leads to a moment later
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", what, err)
	}
	if err := Private(path, what, info); err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", what, err)
	}
	if len(text) > maxFile {
		return nil, fmt.Errorf("%s %s is larger than %d bytes: it is no key file", what, path, maxFile)
	}
	return text, nil
}

// Private says what is wrong with a file that is to hold a secret: others than its owner and its
// group have a right to it, or the group may write it. 0600, 0400 and 0440 are fine, and so is the
// link that a Kubernetes Secret is mounted by.
func Private(path, what string, info fs.FileInfo) error {
	switch mode := info.Mode(); {
	case !mode.IsRegular():
		return fmt.Errorf("%s %s is no file", what, path)
	case mode.Perm()&0o027 != 0:
		return fmt.Errorf("%s %s is open to others (mode %03o): make it 600, or 440 where a group must read it"+
			" (defaultMode: 0440 of a Kubernetes Secret)", what, path, mode.Perm())
	}
	return nil
}
