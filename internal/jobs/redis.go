package jobs

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/bqgate/bqgate/internal/sealed"
)

// What stands under a key and was not sealed here, for this key, counts as nothing that stands
// there: it opens nothing, it keeps nothing from being written, and it makes no request fail but
// those about the very job that it took the place of.

// textLimit is more bytes than any value takes that is written here.
const textLimit = 32 << 20

// foreign stands for what is no text: it was not sealed here.
const foreign = "?"

// read gives the texts under some keys, "" where there is none.
func (s *Store) read(ctx context.Context, keys ...string) ([]string, error) {
	got := make([]*redis.StringCmd, len(keys))
	_, err := s.redis.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, key := range keys {
			got[i] = p.GetRange(ctx, key, 0, textLimit-1)
		}
		return nil
	})
	texts := make([]string, len(keys))
	for i, cmd := range got {
		switch cerr := cmd.Err(); {
		case cerr == nil:
			texts[i] = cmd.Val()
		case wrongType(cerr):
			texts[i] = foreign
		default:
			return nil, errors.Join(cerr, err)
		}
	}
	return texts, nil
}

// open reads one value. It returns ErrNotFound where there is none that was sealed here.
func (s *Store) open(ctx context.Context, key string, v any) error {
	texts, err := s.read(ctx, key)
	if err != nil {
		return err
	}
	return s.unseal(key, texts[0], v)
}

// unseal opens a text that was read. What was planted is ErrNotFound and sealed.ErrForged; what
// the gateway has written and does not understand is ErrVersion.
func (s *Store) unseal(key, text string, v any) error {
	if text == "" {
		return ErrNotFound
	}
	err := s.keys.Open(key, text, v)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, sealed.ErrForged):
		return errors.Join(ErrNotFound, err)
	default:
		return fmt.Errorf("%w: %w", ErrVersion, err)
	}
}

// once is a value that is written if none stands there yet.
type once struct {
	key  string
	v    any
	kept time.Duration
}

// write writes values that are not there yet, and what is noted beside them, in one exchange with
// Redis where all is as it should be. Where the first of the values stands already it returns
// ErrExists.
func (s *Store) write(ctx context.Context, values []once, note func(redis.Pipeliner)) error {
	texts := make([]string, len(values))
	for i, o := range values {
		var err error
		if texts[i], err = s.keys.Seal(o.key, o.v); err != nil {
			return err
		}
	}
	set := make([]*redis.BoolCmd, len(values))
	cmds, err := s.redis.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, o := range values {
			set[i] = p.SetNX(ctx, o.key, texts[i], o.kept)
		}
		if note != nil {
			note(p)
		}
		return nil
	})
	if err != nil {
		if err = s.noteAgain(ctx, cmds, note); err != nil {
			return fmt.Errorf("write %s: %w", values[0].key, err)
		}
	}
	for i, o := range values {
		if set[i].Val() {
			continue
		}
		stands, err := s.replace(ctx, o, texts[i])
		if err != nil {
			return fmt.Errorf("write %s: %w", o.key, err)
		}
		if stands && i == 0 {
			return ErrExists
		}
	}
	return nil
}

// noteAgain is for an exchange of which something failed: where that is a note, since something
// else stands in the place of an index, that goes, and the note is made.
func (s *Store) noteAgain(ctx context.Context, cmds []redis.Cmder, note func(redis.Pipeliner)) error {
	var inTheWay []string
	for _, cmd := range cmds {
		switch err := cmd.Err(); {
		case err == nil || errors.Is(err, redis.Nil):
		case wrongType(err) && note != nil && len(cmd.Args()) > 1:
			if key, ok := cmd.Args()[1].(string); ok {
				inTheWay = append(inTheWay, key)
			}
		default:
			return err
		}
	}
	if len(inTheWay) == 0 {
		return nil
	}
	_, err := s.redis.Pipelined(ctx, func(p redis.Pipeliner) error {
		p.Del(ctx, inTheWay...)
		note(p)
		return nil
	})
	return err
}

// seenPrefix is enough of a sealed value to tell it from every other: it begins with its nonce.
const seenPrefix = 1000

var scriptReplace = redis.NewScript(`
-- Replaces what stands under a key and is none of the gateway's. KEYS: 1 the key.
-- ARGV: 1 how it begins ('' where it is no text), 2 how much of it that is, 3 value, 4 ms to keep it. Returns 'ok' or 'moved'.
local t = redis.call('TYPE', KEYS[1])
if type(t) == 'table' then t = t['ok'] end
if t == 'string' and redis.call('GETRANGE', KEYS[1], 0, tonumber(ARGV[2]) - 1) ~= ARGV[1] then return 'moved' end
redis.call('DEL', KEYS[1])
redis.call('SET', KEYS[1], ARGV[3], 'PX', ARGV[4])
return 'ok'`)

// replace writes a value in the place of one that was not sealed here, and says whether one that
// was stands there.
func (s *Store) replace(ctx context.Context, o once, text string) (stands bool, err error) {
	for range 10 {
		texts, err := s.read(ctx, o.key)
		if err != nil {
			return false, err
		}
		var stored any
		if texts[0] != "" && s.keys.Open(o.key, texts[0], &stored) == nil {
			return true, nil
		}
		seen := texts[0][:min(len(texts[0]), seenPrefix)]
		word, err := scriptReplace.Run(ctx, s.redis, []string{o.key}, seen, seenPrefix, text, o.kept.Milliseconds()).Text()
		if err != nil || word == "ok" {
			return false, err
		}
	}
	return false, errors.New("others keep changing it")
}

func wrongType(err error) bool { return strings.HasPrefix(err.Error(), "WRONGTYPE") }
