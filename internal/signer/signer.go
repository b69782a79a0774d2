package signer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"time"

	"github.com/bqgate/bqgate/internal/sealedkey"
	"github.com/bqgate/bqgate/internal/wrapping"
)

const (
	signWithin = 2 * time.Second
	firstPause = 100 * time.Millisecond
	longest    = 30 * time.Second
	// wellAfter is how long a child must have lived for its death to count as the first.
	wellAfter = time.Minute
)

// Config is what a Signer opens.
type Config struct {
	File  string          // the sealed key
	KeyID string          // the only one that will do
	Wrap  wrapping.Config // what opens it
	// Command starts the child; this very program with Command where it is nil.
	Command []string
	Log     *slog.Logger // nil: nowhere
}

// A Signer has a child that holds a key. It is safe for concurrent use. Make it with Start.
type Signer struct {
	config Config
	file   *sealedkey.File
	first  opening
	log    *slog.Logger
	stop   chan struct{}
	ended  chan struct{}
	tried  chan struct{} // closed when the first child has said what came of it

	turn  chan struct{} // holds one token: one assertion at a time
	mu    sync.Mutex
	conn  *os.File // nil while there is no child that signs
	lines lines
	cmd   *exec.Cmd
	why   error // why there is none
	final bool  // and will be none
	said  opened
}

// itself is the program that runs, whatever its file was replaced by.
const itself = "/proc/self/exe"

// ErrDown says that there is no process that signs at the moment. The cause is with it.
var ErrDown = errors.New("the signer of the sealed key is not running")

// Start reads a sealed file and starts the child. It waits for what comes of it where nobody must
// be asked by the network, and returns an error where the file is not the gateway's, is another key
// or is none; a KMS that cannot be reached is asked again later.
func Start(ctx context.Context, c Config) (*Signer, error) {
	f, text, err := read(c.File, c.KeyID)
	if err != nil {
		return nil, err
	}
	if c.Command == nil {
		c.Command = []string{itself, Command}
	}
	s := &Signer{
		config: c, file: f, first: opening{Sealed: text, KeyID: c.KeyID, Wrap: c.Wrap}, log: c.Log, why: errors.New("it is being started"),
		stop: make(chan struct{}), ended: make(chan struct{}), tried: make(chan struct{}), turn: make(chan struct{}, 1),
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.turn <- struct{}{}
	go s.run()
	if c.Wrap.Remote() {
		return s, nil
	}
	select {
	case <-s.tried:
	case <-ctx.Done():
		s.Close()
		return nil, ctx.Err()
	}
	if err := s.Health(); err != nil && s.isFinal() {
		s.Close()
		return nil, fmt.Errorf("sealed key %s: %w", c.File, err)
	}
	return s, nil
}

// Check says what is wrong with a sealed file, as far as can be seen without opening it.
func Check(c Config) error {
	_, _, err := read(c.File, c.KeyID)
	return errors.Join(err, c.Wrap.Validate())
}

func read(path, keyID string) (*sealedkey.File, []byte, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, fmt.Errorf("read sealed key: %w", err)
	}
	f, err := sealedkey.Read(text)
	if err != nil {
		return nil, nil, fmt.Errorf("sealed key %s: %w", path, err)
	}
	if f.KeyID != keyID {
		return nil, nil, fmt.Errorf("sealed key %s: it is key %s, and the configuration names %s: is it an older file?",
			path, f.KeyID, keyID)
	}
	return f, text, nil
}

// Account is the service account of the key, as the file says, which the child has proved where it
// signs.
func (s *Signer) Account() string { return s.file.Account }

// Project is the account's project, as the file says.
func (s *Signer) Project() string { return s.file.Project }

// Health is nil while a child signs, else why not.
func (s *Signer) Health() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn != nil {
		return nil
	}
	return fmt.Errorf("%w: %w", ErrDown, s.why)
}

// Opened waits until the first child has said what came of it, and returns that.
func (s *Signer) Opened(ctx context.Context) error {
	select {
	case <-s.tried:
		return s.Health()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// PID is the child's process id, 0 while there is none. Fences are what it stands behind.
func (s *Signer) PID() (int, Fences) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn == nil {
		return 0, Fences{}
	}
	return s.cmd.Process.Pid, s.said.Fences
}

func (s *Signer) isFinal() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.final
}

// Sign returns an assertion for a scope, which lives so long (a minute to an hour). It is ErrDown
// while there is no child.
func (s *Signer) Sign(ctx context.Context, scope string, life time.Duration) (string, error) {
	select {
	case <-s.turn:
		defer func() { s.turn <- struct{}{} }()
	case <-ctx.Done():
		return "", ctx.Err()
	}
	s.mu.Lock()
	conn, talk := s.conn, s.lines
	s.mu.Unlock()
	if conn == nil {
		return "", s.Health()
	}
	var answer signed
	err := conn.SetDeadline(time.Now().Add(signWithin))
	if err == nil {
		err = talk.write(order{Scope: scope, Seconds: int64(life / time.Second)})
	}
	if err == nil {
		err = talk.read(&answer)
	}
	switch {
	case err != nil:
		s.drop(conn) // what it would still answer is of another question
		return "", fmt.Errorf("%w: it did not answer: %w", ErrDown, err)
	case answer.Error != "":
		return "", fmt.Errorf("sign: %s", answer.Error)
	}
	return answer.Assertion, nil
}

// drop ends a child that did not answer.
func (s *Signer) drop(conn *os.File) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn == conn {
		_ = s.cmd.Process.Kill() // it has ended already
	}
}

// Close ends the child and waits for it.
func (s *Signer) Close() {
	select {
	case <-s.stop:
	default:
		close(s.stop)
	}
	<-s.ended
}

// run keeps a child until Close. It keeps its thread, with which the kernel would end the child.
func (s *Signer) run() {
	runtime.LockOSThread()
	defer close(s.ended)
	pause := firstPause
	for {
		began := time.Now()
		final := s.once()
		if time.Since(began) > wellAfter {
			pause = firstPause
		}
		if final {
			<-s.stop
			return
		}
		select {
		case <-s.stop:
			return
		case <-time.After(pause):
		}
		pause = min(2*pause, longest)
	}
}

// once is the life of one child. It says whether another one would end in the same way.
func (s *Signer) once() (final bool) {
	final, err := s.live()
	select {
	case <-s.stop:
		return final
	default:
	}
	s.mu.Lock()
	s.conn, s.why, s.final = nil, err, final
	s.mu.Unlock()
	s.hasTried()
	s.log.Error("the signer of a sealed key has ended; queries under it are refused until it is there again", "file", s.config.File,
		"key_id", s.config.KeyID, "cause", err.Error(), "again", !final)
	return final
}

// hasTried tells Start that the first child has said what came of it.
func (s *Signer) hasTried() {
	select {
	case <-s.tried:
	default:
		close(s.tried)
	}
}

func (s *Signer) live() (final bool, err error) {
	cmd, conn, err := start(s.config.Command)
	if err != nil {
		return false, err
	}
	over := make(chan struct{})
	defer close(over)
	go func() { // Close ends the child by hanging up, and by force
		select {
		case <-s.stop:
			_ = cmd.Process.Kill() // it has ended already
		case <-over:
		}
	}()
	defer conn.Close()
	said, err := s.introduce(conn)
	if err == nil && said.Error != "" {
		err = errors.New(said.Error)
	}
	if err != nil {
		_ = cmd.Process.Kill() // it has ended already
		_ = cmd.Wait()         // why is known
		return said.Final, err
	}
	s.mu.Lock()
	s.conn, s.cmd, s.said, s.why = conn, cmd, said.opened, nil
	s.lines = said.lines
	s.mu.Unlock()
	s.hasTried()
	s.log.Info("the signer of a sealed key is running", "key_id", s.config.KeyID, "account", said.Account, "pid", cmd.Process.Pid,
		"lacks", said.Lacks)
	if err := cmd.Wait(); err != nil {
		return false, fmt.Errorf("it has ended: %w", err)
	}
	return false, errors.New("it has ended")
}

type introduced struct {
	opened
	lines lines
}

func (s *Signer) introduce(conn *os.File) (introduced, error) {
	said := introduced{lines: newLines(conn)}
	if err := conn.SetDeadline(time.Now().Add(openWithin + signWithin)); err != nil {
		return said, err
	}
	if err := said.lines.write(s.first); err != nil {
		return said, fmt.Errorf("it ended before it was told what to open: %w", err)
	}
	switch err := said.lines.read(&said.opened); {
	case errors.Is(err, io.EOF):
		return said, errors.New("it ended before it said what came of it")
	case err != nil:
		return said, fmt.Errorf("it did not say what came of it: %w", err)
	case said.Error == "" && said.Account != s.file.Account:
		return said, errors.New("it opened the key of another account")
	}
	return said, nil
}
