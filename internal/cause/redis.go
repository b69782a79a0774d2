package cause

import (
	"context"
	"errors"

	"github.com/redis/go-redis/v9"
)

// Watch makes the errors of a client's commands say which Redis did not answer. What Redis itself
// answers stays as it is.
func Watch(client interface{ AddHook(redis.Hook) }, addr string) { client.AddHook(watch(addr)) }

type watch string

// DialHook leaves dialling alone: whether it is tried again goes by the type of its error.
func (watch) DialHook(next redis.DialHook) redis.DialHook { return next }

func (w watch) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := w.told(next(ctx, cmd))
		if err != nil {
			cmd.SetErr(err)
		}
		return err
	}
}

func (w watch) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		err := w.told(next(ctx, cmds))
		for _, cmd := range cmds {
			if err := cmd.Err(); err != nil {
				cmd.SetErr(w.told(err))
			}
		}
		return err
	}
}

// told wraps an error that is no answer of Redis's.
func (w watch) told(err error) error {
	var answered redis.Error // redis.Nil is one
	var before *RedisError
	if err == nil || errors.As(err, &answered) || errors.As(err, &before) {
		return err
	}
	return &RedisError{Addr: string(w), Err: err}
}
