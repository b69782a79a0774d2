package soak

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/bqgate/bqgate/e2e/fakegoogle/outage"
)

// redisServer is a redis-server that can be killed and started again, as docs/operators.md wants
// it: what it was told is on the disk. Between it and the gateway is a link that can be broken.
type redisServer struct {
	dir    string
	port   string
	link   outage.Switch
	front  net.Listener
	client *redis.Client // past the link

	mu   sync.Mutex
	cmd  *exec.Cmd
	gone <-chan struct{}
}

func startRedis(dir string) (*redisServer, error) {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("find a port for Redis: %w", err)
	}
	_, port, _ := net.SplitHostPort(free.Addr().String())
	free.Close()
	r := &redisServer{dir: dir, port: port}
	redis.SetLogger(quiet{}) // the client's own lines about a server that was killed
	r.client = redis.NewClient(&redis.Options{Addr: "127.0.0.1:" + port})
	if err := r.begin(); err != nil {
		return nil, err
	}
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for Redis: %w", err)
	}
	r.front = r.link.Listener(inner)
	go r.serve()
	return r, nil
}

type quiet struct{}

func (quiet) Printf(context.Context, string, ...any) {}

func (r *redisServer) address() string { return r.front.Addr().String() }

// begin starts the process. Its file of commands is never rewritten, so that all that Redis was
// ever told can be searched.
func (r *redisServer) begin() error {
	cmd := exec.Command("redis-server", "--port", r.port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "yes",
		"--appendfsync", "always", "--auto-aof-rewrite-percentage", "0", "--maxmemory-policy", "noeviction", "--loglevel", "warning",
		"--dir", r.dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started, gone := make(chan error), make(chan struct{})
	go func() {
		runtime.LockOSThread() // Pdeathsig is of the thread that forks
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			cmd.Wait()
		}
		close(gone)
	}()
	if err := <-started; err != nil {
		return fmt.Errorf("start redis-server: %w (apt-get install redis-server)", err)
	}
	r.mu.Lock()
	r.cmd, r.gone = cmd, gone
	r.mu.Unlock()
	for range 200 {
		if r.client.Ping(context.Background()).Err() == nil {
			return nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	return errors.New("redis-server does not answer after 10 s")
}

func (r *redisServer) pids() []int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return []int{r.cmd.Process.Pid}
}

func (r *redisServer) kill() {
	r.mu.Lock()
	cmd, gone := r.cmd, r.gone
	r.mu.Unlock()
	cmd.Process.Kill()
	<-gone
}

func (r *redisServer) end() {
	if r.front != nil {
		r.front.Close()
	}
	r.link.Set(outage.Down)
	r.kill()
}

// serve carries each connection on to the process.
func (r *redisServer) serve() {
	for {
		from, err := r.front.Accept()
		if err != nil {
			return
		}
		go func() {
			defer from.Close()
			to, err := net.DialTimeout("tcp", "127.0.0.1:"+r.port, 5*time.Second)
			if err != nil {
				return
			}
			defer to.Close()
			go func() {
				io.Copy(to, from)
				to.Close()
			}()
			io.Copy(from, to)
		}()
	}
}

// full makes Redis take no more; 0 makes it as it was.
func (r *redisServer) full(ctx context.Context, bytes string) error {
	return r.client.ConfigSet(ctx, "maxmemory", bytes).Err()
}

func (r *redisServer) flush(ctx context.Context) error { return r.client.FlushAll(ctx).Err() }

// used is the memory that Redis has in use, in bytes; 0 where it does not say.
func (r *redisServer) used(ctx context.Context) (n int64) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	text, err := r.client.Info(ctx, "memory").Result()
	if err != nil {
		return 0
	}
	for line := range strings.Lines(text) {
		fmt.Sscanf(line, "used_memory:%d", &n)
	}
	return n
}
