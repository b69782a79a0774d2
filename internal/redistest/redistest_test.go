package redistest

import (
	"context"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

func TestStart(t *testing.T) {
	var pid int
	t.Run("serves", func(t *testing.T) {
		server := StartServer(t, "--maxmemory-policy", "noeviction")
		pid = server.PID
		client := redis.NewClient(&redis.Options{Addr: server.Addr})
		defer client.Close()
		ctx := context.Background()
		if err := client.Set(ctx, "k", "v", time.Minute).Err(); err != nil {
			t.Fatal(err)
		}
		if got, err := client.Get(ctx, "k").Result(); err != nil || got != "v" {
			t.Fatalf("GET k = %q, %v", got, err)
		}
		if other := Start(t); other == server.Addr {
			t.Fatalf("two servers share %s", other)
		}
	})
	if err := syscall.Kill(pid, 0); err == nil {
		t.Fatalf("redis-server %d lives on after its test", pid)
	}
}
