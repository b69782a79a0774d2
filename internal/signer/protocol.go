package signer

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/bqgate/bqgate/internal/wrapping"
)

// Command is the hidden command that a Signer runs this program with.
const Command = "key-signer"

// Scopes that assertions may be for: queries, and impersonation where the key is the gateway's own
// identity.
const (
	ScopeBigQuery         = "https://www.googleapis.com/auth/bigquery"
	ScopeBigQueryReadonly = ScopeBigQuery + ".readonly"
	ScopeCloudPlatform    = "https://www.googleapis.com/auth/cloud-platform"
)

var scopes = []string{ScopeBigQuery, ScopeBigQueryReadonly, ScopeCloudPlatform}

const (
	// Audience is where assertions are good, whatever the key's file said of a token_uri.
	Audience = "https://oauth2.googleapis.com/token"
	// MaxLife is what Google lets an assertion live.
	MaxLife = time.Hour
	minLife = time.Minute
	// clockSkew is what Google's clock may be behind.
	clockSkew = 10 * time.Second
	maxLine   = 256 << 10
)

// opening is what the child is sent first.
type opening struct {
	Sealed []byte          `json:"sealed"` // the file
	KeyID  string          `json:"key_id"` // the only one that will do
	Wrap   wrapping.Config `json:"wrap"`
}

// opened is what it answers.
type opened struct {
	Error string `json:"error,omitempty"`
	// Final says that it will be the same at each try: the file is not the gateway's.
	Final   bool     `json:"final,omitempty"`
	Account string   `json:"account,omitempty"`
	Fences  Fences   `json:"fences"`
	Lacks   []string `json:"lacks,omitempty"` // what of the fences this machine does not have
}

// Fences is what the kernel has agreed to keep from others, or from the child.
type Fences struct {
	Undumpable bool   `json:"undumpable"` // no core, no ptrace, /proc/PID closed to its own user
	NoCore     bool   `json:"no_core"`
	Locked     bool   `json:"locked"`   // memory never goes to swap
	Confined   bool   `json:"confined"` // seccomp: no files, sockets, programs
	Swap       string `json:"swap,omitempty"`
}

type order struct {
	Scope   string `json:"scope"`
	Seconds int64  `json:"seconds"`
}

type signed struct {
	Error     string `json:"error,omitempty"`
	Assertion string `json:"assertion,omitempty"`
}

func (o order) check() (time.Duration, error) {
	life := time.Duration(o.Seconds) * time.Second
	switch {
	case !slices.Contains(scopes, o.Scope):
		return 0, errors.New("no assertion is made for this scope")
	case o.Seconds > int64(MaxLife/time.Second) || life < minLife:
		return 0, fmt.Errorf("an assertion lives between %s and %s", minLife, MaxLife)
	}
	return life, nil
}

// lines reads and writes a value a line.
type lines struct {
	in  *bufio.Scanner
	out io.Writer
}

func newLines(conn io.ReadWriter) lines {
	in := bufio.NewScanner(conn)
	in.Buffer(nil, maxLine)
	return lines{in, conn}
}

func (l lines) read(v any) error {
	if !l.in.Scan() {
		if err := l.in.Err(); err != nil {
			return err
		}
		return io.EOF
	}
	return json.Unmarshal(l.in.Bytes(), v)
}

func (l lines) write(v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = l.out.Write(append(text, '\n'))
	return err
}
