package gateway

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/bqgate/bqgate/internal/cause"
	"github.com/bqgate/bqgate/internal/config"
	"github.com/bqgate/bqgate/internal/health"
)

const (
	// redisAnswers is how long one try waits: for a connection, and for the answer.
	redisAnswers = 2 * time.Second
	// redisExchange is how long one exchange with Redis takes at most, with every try, and every
	// wait for a connection that others hold. A request ends in its 503 at its first exchange that
	// fails.
	redisExchange = 3 * time.Second
)

func connect(ctx context.Context, c config.Redis) (redis.UniversalClient, error) {
	o, err := redis.ParseURL(c.URL)
	if err != nil {
		return nil, fmt.Errorf("redis.url: %w", err)
	}
	if c.PasswordFile != "" {
		secret, err := os.ReadFile(c.PasswordFile)
		if err != nil {
			return nil, fmt.Errorf("redis.password_file: %w", err)
		}
		o.Password = strings.TrimSpace(string(secret))
	}
	o.DialTimeout, o.ReadTimeout, o.WriteTimeout, o.PoolTimeout = redisAnswers, redisAnswers, redisAnswers, redisExchange
	o.MaxRetries, o.DialerRetries = 1, 1
	o.ContextTimeoutEnabled = true
	client := redis.NewClient(o)
	cause.Watch(client, o.Addr)
	client.AddHook(bounded{})
	ping, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	for {
		if err = client.Ping(ping).Err(); err == nil {
			return client, nil
		}
		select {
		case <-ping.Done():
			client.Close()
			return nil, fmt.Errorf("redis at %s does not answer: %w", o.Addr, err)
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// bounded ends every exchange with Redis in time. What is waited for without an end, the messages
// of a subscription, is no exchange and is not bounded; nothing else here waits in Redis.
type bounded struct{}

// DialHook implements redis.Hook.
func (bounded) DialHook(next redis.DialHook) redis.DialHook { return next }

// ProcessHook implements redis.Hook.
func (bounded) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		ctx, cancel := context.WithTimeout(ctx, redisExchange)
		defer cancel()
		return next(ctx, cmd)
	}
}

// ProcessPipelineHook implements redis.Hook.
func (bounded) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		ctx, cancel := context.WithTimeout(ctx, redisExchange)
		defer cancel()
		return next(ctx, cmds)
	}
}

// redisSays are the errors of Redis by their first word, in words for operators.
var redisSays = map[string]string{
	"READONLY":    "it is a read-only replica",
	"OOM":         "it is out of memory (maxmemory)",
	"LOADING":     "it is still loading what it keeps",
	"NOAUTH":      "it wants a password",
	"WRONGPASS":   "it takes another password",
	"NOPERM":      "its user may not write here",
	"MISCONF":     "it cannot save to its disk",
	"MASTERDOWN":  "it is a replica that has lost its master",
	"NOREPLICAS":  "it has too few replicas to take writes",
	"CLUSTERDOWN": "its cluster is down",
	"BUSY":        "it runs somebody's script that does not end",
}

var redisWord = regexp.MustCompile(`^[A-Z]{2,32}$`)

// redisCause says in words why Redis takes no records. Nothing of what somebody else may have
// written there is in them.
func redisCause(err error) string {
	var answered redis.Error
	var network net.Error
	switch {
	case err == nil:
		return ""
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &network) && network.Timeout(), errors.Is(err, redis.ErrPoolTimeout):
		return "it does not answer in time"
	case !errors.As(err, &answered):
		return "no connection"
	}
	word, _, _ := strings.Cut(answered.Error(), " ")
	if says, known := redisSays[word]; known {
		return says
	}
	if redisWord.MatchString(word) {
		return "it answers " + word
	}
	return "it answers with an error"
}

// approvalsClosed reports whether approvals are closed: no query is held or released then, and
// those that wait for nobody go on.
func approvalsClosed(part *health.Part) func(error) { return part.Report }
