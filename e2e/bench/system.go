package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/bqgate/bqgate/e2e/fakegoogle"
)

// system is what is measured: a demo on a real Redis, and the echo beside it.
type system struct {
	dir     string
	keep    bool
	end     context.CancelFunc
	info    demoInfo
	client  *http.Client
	echo    *echo
	stopped []func() // in reverse order
}

// demoInfo is what of demo.json is needed here.
type demoInfo struct {
	REST     string         `json:"rest"`
	Issuer   string         `json:"issuer"`
	Project  string         `json:"project"`
	Fake     string         `json:"fake"`
	PIDs     map[string]int `json:"pids"`
	Personas map[string]struct {
		TokenFile string `json:"token_file"`
	} `json:"personas"`
}

// startSystem runs redis-server, the demo from build/bin and the echo. dir "" is a folder in
// build/, which is removed by stop: figures of a journal are those of a real disk, which a
// temporary folder may not be on.
func startSystem(ctx context.Context, dir string) (_ *system, err error) {
	ctx, cancel := context.WithCancel(ctx)
	s := &system{dir: dir, keep: dir != "", end: cancel}
	defer func() {
		if err != nil {
			s.stop()
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
	s.client = &http.Client{Transport: &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 4096, ReadBufferSize: 256 << 10}}
	redis, err := s.startRedis()
	if err != nil {
		return nil, err
	}
	if err := s.startDemo(ctx, redis); err != nil {
		return nil, err
	}
	s.echo, err = startEcho(ctx, s)
	return s, err
}

// stop ends all processes in reverse order of their start.
func (s *system) stop() {
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
func (s *system) spawn(cmd *exec.Cmd) (exited <-chan error, err error) {
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

func (s *system) startRedis() (address string, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find a port for redis-server: %w", err)
	}
	address = l.Addr().String()
	l.Close()
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

func (s *system) startDemo(ctx context.Context, redis string) error {
	log, err := os.Create(filepath.Join(s.dir, "demo-output.log"))
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command("build/bin/bqgate-demo", "demo", "--dir", s.path("demo"), "--redis", "redis://"+redis, "--engine", "remembering")
	cmd.Stdout, cmd.Stderr = log, log
	exited, err := s.spawn(cmd)
	if err != nil {
		return fmt.Errorf("%w (`make bench` builds it)", err)
	}
	for deadline := time.Now().Add(90 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		text, err := os.ReadFile(s.path("demo/demo.json"))
		if err == nil {
			return json.Unmarshal(text, &s.info)
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

func (s *system) path(name string) string { return filepath.Join(s.dir, name) }

// token is a persona's bearer token.
func (s *system) token(persona string) (string, error) {
	text, err := os.ReadFile(s.info.Personas[persona].TokenFile)
	return strings.TrimSpace(string(text)), err
}

// send makes one request and reads its answer to the end, into body if that is not nil.
func (s *system) send(ctx context.Context, method, url, bearer string, body []byte, into io.Writer) (bytesRead int64, err error) {
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	if len(body) > 0 {
		req.Header.Set("content-type", "application/json")
	}
	req.Header.Set("authorization", "Bearer "+bearer)
	resp, err := s.client.Do(req)
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

// queries is the path of jobs.query.
func (s *system) queries() string {
	return "/bigquery/v2/projects/" + s.info.Project + "/queries?prettyPrint=false"
}

// ask is jobs.query through bqgate.
func (s *system) ask(ctx context.Context, bearer, sql string, into io.Writer) (int64, error) {
	body, err := json.Marshal(map[string]any{"query": sql, "useLegacySql": false})
	if err != nil {
		return 0, err
	}
	return s.send(ctx, http.MethodPost, s.info.REST+s.queries(), bearer, body, into)
}

// forwarded is the body that bqgate sent upstream for the last query: what the echo is asked with,
// so that the upstream has the same to do.
func (s *system) forwarded(ctx context.Context) (map[string]any, error) {
	var text bytes.Buffer
	if _, err := s.send(ctx, http.MethodGet, s.info.Fake+"/_fake/requests?service=bigquery", "", nil, &text); err != nil {
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

// forget empties the stand-in's recorder.
func (s *system) forget(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodDelete, s.info.Fake+"/_fake/requests", nil)
	if err != nil {
		return err
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

// resident is the resident memory of a process, in bytes.
func resident(pid int) (int64, error) {
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
