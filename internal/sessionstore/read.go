package sessionstore

import (
	"context"
	"fmt"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/bqgate/bqgate/internal/sealed"
)

// TextLimit is more bytes than any sealed value of a session takes: a token is far smaller.
const TextLimit = 1 << 20

// ReadText gives the text under a key, of which no more than TextLimit bytes are read, whatever
// somebody else has put there. It returns redis.Nil where there is nothing, and sealed.ErrForged
// where something is there that no gateway has written: something larger, or no text at all.
func ReadText(ctx context.Context, client redis.UniversalClient, key string) (string, error) {
	var text *redis.StringCmd
	var there *redis.IntCmd
	_, err := client.Pipelined(ctx, func(p redis.Pipeliner) error {
		text, there = p.GetRange(ctx, key, 0, TextLimit), p.Exists(ctx, key)
		return nil
	})
	switch {
	case err != nil && strings.HasPrefix(err.Error(), "WRONGTYPE"):
		return "", fmt.Errorf("%w: it is no text", sealed.ErrForged)
	case err != nil:
		return "", err
	case len(text.Val()) > TextLimit:
		return "", fmt.Errorf("%w: it has more than %d bytes", sealed.ErrForged, TextLimit)
	case there.Val() == 0:
		return "", redis.Nil
	}
	return text.Val(), nil
}
