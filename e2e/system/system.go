// Package system runs what is measured: a demo on a real Redis, and beside it an Envoy of the same
// configuration whose services decide nothing (echo.go).
package system

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/bqgate/bqgate/e2e/canaries"
	"github.com/bqgate/bqgate/e2e/fakegoogle"
)

// System is what is measured: a demo on a real Redis, and the echo beside it.
type System struct {
	dir     string
	keep    bool
	end     context.CancelFunc
	Info    Info
	Client  *http.Client
	Echo    *Echo
	stopped []func() // in reverse order
}

// Info is what of demo.json is needed here.
type Info struct {
	REST     string `json:"rest"`
	RESTTLS  string `json:"rest_tls"`
	TokenURL string `json:"token_url"`
	Console  string `json:"console"`
	Issuer   string `json:"issuer"`
	Project  string `json:"project"`
	Fake     string `json:"fake"`
	Ops      string `json:"ops"`
	AuditDir string `json:"audit_dir"`
	AuditKey string `json:"audit_key_file"`

	Canaries []canaries.Canary `json:"canaries"`

	PIDs     map[string]int `json:"pids"`
	Personas map[string]struct {
		TokenFile        string `json:"token_file"`
		ConsoleTokenFile string `json:"console_token_file"`
	} `json:"personas"`
}

// Start runs redis-server, the demo from build/bin and the echo. dir "" is a folder in
// build/, which is removed by Stop: figures of a journal are those of a real disk, which a
// temporary folder may not be on.
func Start(ctx context.Context, dir string) (_ *System, err error) {
	ctx, cancel := context.WithCancel(ctx)
	s := &System{dir: dir, keep: dir != "", end: cancel}
	defer func() {
		if err != nil {
			s.Stop()
		}
	}()
	if dir == "" {
		if s.dir, err = os.MkdirTemp("build", "bench"); err != nil {
			return nil, fmt.Errorf("make a folder for the run: %w", err)
		}
	}
	if s.dir, err = filepath.Abs(s.dir); err != nil {
		return nil, err
	}
	s.Client = &http.Client{Transport: &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 4096, ReadBufferSize: 256 << 10}}
	redis, err := s.startRedis()
	if err != nil {
		return nil, err
	}
	if err := s.startDemo(ctx, "", redis); err != nil {
		return nil, err
	}
	s.Echo, err = startEcho(ctx, s)
	return s, err
}

// StartDemo runs the demo from root/build/bin alone, on the Redis at this host:port. What it writes
// is kept in dir.
func StartDemo(ctx context.Context, root, dir, redis string) (*System, error) {
	ctx, cancel := context.WithCancel(ctx)
	s := &System{dir: dir, keep: true, end: cancel, Client: &http.Client{Transport: &http.Transport{DisableCompression: true}}}
	if err := s.startDemo(ctx, root, redis); err != nil {
		s.Stop()
		return nil, err
	}
	return s, nil
}

// Stop ends all processes in reverse order of their start.
func (s *System) Stop() {
	for i := len(s.stopped) - 1; i >= 0; i-- {
		s.stopped[i]()
	}
	s.end()
	if !s.keep {
		os.RemoveAll(s.dir)
	}
}

// spawn runs a child from a goroutine that keeps its thread: on Linux children die with the thread
// that made them.
func (s *System) spawn(cmd *exec.Cmd) (exited <-chan error, err error) {
	started, ended := make(chan error), make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			ended <- cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", filepath.Base(cmd.Path), err)
	}
	s.stopped = append(s.stopped, func() {
		cmd.Process.Signal(os.Interrupt)
		select {
		case <-ended:
		case <-time.After(15 * time.Second):
			cmd.Process.Kill()
		}
	})
	return ended, nil
}

func (s *System) startRedis() (address string, err error) {
	if address, err = freeAddress(); err != nil {
		return "", err
	}
	_, port, _ := net.SplitHostPort(address)
	cmd := exec.Command("redis-server", "--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--loglevel", "warning",
		"--dir", s.dir)
	if _, err := s.spawn(cmd); err != nil {
		return "", fmt.Errorf("%w (apt-get install redis-server)", err)
	}
	for range 100 {
		if c, err := net.Dial("tcp", address); err == nil {
			return address, c.Close()
		}
		time.Sleep(50 * time.Millisecond)
	}
	return "", errors.New("redis-server does not listen after 5 s")
}

func (s *System) startDemo(ctx context.Context, root, redis string) error {
	log, err := os.Create(filepath.Join(s.dir, "demo-output.log"))
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(filepath.Join(root, "build/bin/bqgate-demo"), "demo", "--dir", s.Path("demo"), "--redis", "redis://"+redis,
		"--engine", "remembering")
	cmd.Stdout, cmd.Stderr = log, log
	exited, err := s.spawn(cmd)
	if err != nil {
		return fmt.Errorf("%w (`make bench` builds it)", err)
	}
	for deadline := time.Now().Add(90 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		text, err := os.ReadFile(s.Path("demo/demo.json"))
		if err == nil {
			return json.Unmarshal(text, &s.Info)
		}
		select {
		case err := <-exited:
			said, _ := os.ReadFile(log.Name())
			return fmt.Errorf("the demo ended before it was ready: %w\n%s", err, said)
		case <-ctx.Done():
			return ctx.Err()
		default:
		}
	}
	return errors.New("the demo is not ready after 90 s")
}

// Path is where a file of the run is.
func (s *System) Path(name string) string { return filepath.Join(s.dir, name) }

// Token is a persona's bearer token.
func (s *System) Token(persona string) (string, error) {
	text, err := os.ReadFile(s.Info.Personas[persona].TokenFile)
	return strings.TrimSpace(string(text)), err
}

// Send makes one request and reads its answer to the end, into body if that is not nil.
func (s *System) Send(ctx context.Context, method, url, bearer string, body []byte, into io.Writer) (bytesRead int64, err error) {
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	if len(body) > 0 {
		req.Header.Set("content-type", "application/json")
	}
	req.Header.Set("authorization", "Bearer "+bearer)
	resp, err := s.Client.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		said, _ := io.ReadAll(io.LimitReader(resp.Body, 4096))
		return 0, fmt.Errorf("%s answered %s: %s", url, resp.Status, said)
	}
	if into == nil {
		into = io.Discard
	}
	return io.Copy(into, resp.Body)
}

// Queries is the path of jobs.query.
func (s *System) Queries() string {
	return "/bigquery/v2/projects/" + s.Info.Project + "/queries?prettyPrint=false"
}

// Ask is jobs.query through bqgate.
func (s *System) Ask(ctx context.Context, bearer, sql string, into io.Writer) (int64, error) {
	body, err := json.Marshal(map[string]any{"query": sql, "useLegacySql": false})
	if err != nil {
		return 0, err
	}
	return s.Send(ctx, http.MethodPost, s.Info.REST+s.Queries(), bearer, body, into)
}

// Forwarded is the body that bqgate sent upstream for the last query: what the echo is asked with,
// so that the upstream has the same to do.
func (s *System) Forwarded(ctx context.Context) (map[string]any, error) {
	var text bytes.Buffer
	if _, err := s.Send(ctx, http.MethodGet, s.Info.Fake+"/_fake/requests?service=bigquery", "", nil, &text); err != nil {
		return nil, err
	}
	var list struct {
		Requests []fakegoogle.Request `json:"requests"`
	}
	if err := json.Unmarshal(text.Bytes(), &list); err != nil {
		return nil, err
	}
	for i := len(list.Requests) - 1; i >= 0; i-- {
		if r := list.Requests[i]; r.Method == http.MethodPost && strings.HasSuffix(r.Path, "/queries") {
			var body map[string]any
			return body, json.Unmarshal([]byte(r.Body), &body)
		}
	}
	return nil, errors.New("no query arrived upstream")
}

// Forget empties the stand-in's recorder.
func (s *System) Forget(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodDelete, s.Info.Fake+"/_fake/requests", nil)
	if err != nil {
		return err
	}
	resp, err := s.Client.Do(req)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

// Resident is the resident memory of a process, in bytes.
func Resident(pid int) (int64, error) {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/statm")
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(text))
	if len(fields) < 2 {
		return 0, fmt.Errorf("/proc/%d/statm: %q", pid, text)
	}
	pages, err := strconv.ParseInt(fields[1], 10, 64)
	return pages * int64(os.Getpagesize()), err
}

// CPUTime is what a process has taken of the CPU (proc_pid_stat(5): utime and stime, in ticks of a
// hundredth of a second).
func CPUTime(pid int) (time.Duration, error) {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0, err
	}
	return parseCPUTime(string(text))
}

func parseCPUTime(stat string) (time.Duration, error) {
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:]) // the name before it may hold anything
	if len(fields) < 13 {
		return 0, fmt.Errorf("/proc/PID/stat: %q", stat)
	}
	user, err := strconv.ParseInt(fields[11], 10, 64)
	if err != nil {
		return 0, fmt.Errorf("/proc/PID/stat: %w", err)
	}
	kernel, err := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+kernel) * 10 * time.Millisecond, err
}

// Mint asks the demo's issuer for the token of an agent.
func (s *System) Mint(ctx context.Context, subject string) (string, error) {
	body, err := json.Marshal(map[string]any{"subject": subject, "groups": []string{"ai-agents"},
		"claims": map[string]string{"email": subject}})
	if err != nil {
		return "", err
	}
	var text bytes.Buffer
	if _, err := s.Send(ctx, http.MethodPost, s.Info.Issuer+"/mint", "", body, &text); err != nil {
		return "", err
	}
	var out struct {
		Token string `json:"token"`
	}
	return out.Token, json.Unmarshal(text.Bytes(), &out)
}

// Shortened is an error of a connection without its addresses, so that equal ones count as one.
func Shortened(err error) error {
	var timeout net.Error
	switch {
	case errors.As(err, &timeout) && timeout.Timeout():
		return errors.New("no answer in time")
	case errors.Is(err, net.ErrClosed):
		return errors.New("the caller's side cut the connection off")
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("the connection was closed")
	}
	var call *os.SyscallError
	if errors.As(err, &call) {
		return call
	}
	var at *url.Error
	if errors.As(err, &at) {
		return at.Err
	}
	return err
}
