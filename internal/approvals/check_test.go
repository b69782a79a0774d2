package approvals

import (
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/bqgate/bqgate/internal/redistest"
)

func TestCheckRedis(t *testing.T) {
	good := newBench(t, redistest.Start(t), Options{})
	if err := CheckRedis(good.ctx, good.store.redis, true); err != nil {
		t.Errorf("noeviction on loopback: %v", err)
	}
	for _, policy := range []string{"allkeys-lru", "volatile-ttl"} {
		server := redistest.StartServer(t, "--maxmemory-policy", policy)
		b := newBench(t, server.Addr, Options{})
		for _, strict := range []bool{true, false} {
			if err := CheckRedis(b.ctx, b.store.redis, strict); err == nil || !strings.Contains(err.Error(), "noeviction") {
				t.Errorf("%s: %v", policy, err)
			}
		}
	}
	hidden := redistest.StartServer(t, "--maxmemory-policy", "allkeys-lru", "--rename-command", "CONFIG", "")
	b := newBench(t, hidden.Addr, Options{})
	if err := CheckRedis(b.ctx, b.store.redis, false); err == nil || !strings.Contains(err.Error(), "noeviction") {
		t.Errorf("without CONFIG, by INFO: %v", err)
	}
	mini := newBench(t, startMini(t), Options{})
	if err := CheckRedis(mini.ctx, mini.store.redis, false); err != nil {
		t.Errorf("miniredis: %v", err)
	}
	if err := CheckRedis(mini.ctx, mini.store.redis, true); err == nil {
		t.Error("strict, without CONFIG: nothing is refused")
	}
	down := newBench(t, "127.0.0.1:1", Options{})
	if err := CheckRedis(down.ctx, down.store.redis, false); err == nil {
		t.Error("a Redis that is down passes")
	}
}

func TestCheckAuth(t *testing.T) {
	open := newBench(t, redistest.Start(t), Options{})
	if err := checkAuth(open.ctx, open.client); err == nil || !strings.Contains(err.Error(), "password") {
		t.Errorf("open server: %v", err)
	}
	// A password sent to a server that wants none proves nothing.
	pretend := redis.NewClient(&redis.Options{Addr: open.addr, Username: "default", Password: "x"})
	defer pretend.Close()
	if err := checkAuth(open.ctx, pretend); err == nil {
		t.Error("open server with a password on the client's side passes")
	}
	addr := redistest.Start(t)
	admin := redis.NewClient(&redis.Options{Addr: addr})
	defer admin.Close()
	if err := admin.ConfigSet(open.ctx, "requirepass", "s3cret").Err(); err != nil {
		t.Fatal(err)
	}
	closed := redis.NewClient(&redis.Options{Addr: addr, Password: "s3cret"})
	defer closed.Close()
	if err := checkServer(open.ctx, closed, true); err != nil {
		t.Errorf("server with a password: %v", err)
	}
	if err := checkAuth(open.ctx, closed); err != nil {
		t.Errorf("server with a password: %v", err)
	}
	nowhere := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1"})
	defer nowhere.Close()
	if err := checkAuth(open.ctx, nowhere); err == nil {
		t.Error("a server that cannot be reached counts as closed")
	}
}

func TestIsLocal(t *testing.T) {
	for addr, want := range map[string]bool{
		"127.0.0.1:6379": true, "127.9.9.9:1": true, "[::1]:6379": true, "localhost:6379": true,
		"10.0.0.1:6379": false, "redis:6379": false, "0.0.0.0:6379": false, "localhost.evil:6379": false, "FailoverClient": false,
		"": false,
	} {
		t.Run(addr, func(t *testing.T) {
			if isLocal("tcp", addr) != want {
				t.Errorf("isLocal(%q) = %v", addr, !want)
			}
		})
	}
	if !isLocal("unix", "/run/redis.sock") {
		t.Error("a socket is not local")
	}
}
