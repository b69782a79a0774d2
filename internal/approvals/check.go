package approvals

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/redis/go-redis/v9"
)

// CheckRedis refuses a Redis that may forget requests under pressure, or that anybody on the
// network may write to. Strict refuses also a server that does not tell its configuration; the
// demo's in-process server cannot.
func CheckRedis(ctx context.Context, client redis.UniversalClient, strict bool) error {
	switch c := client.(type) {
	case *redis.Client:
		return checkServer(ctx, c, strict)
	case *redis.ClusterClient:
		return c.ForEachShard(ctx, func(ctx context.Context, shard *redis.Client) error { return checkServer(ctx, shard, strict) })
	default:
		return fmt.Errorf("check Redis: a client of type %T cannot be checked; use one server, Sentinel or a cluster", c)
	}
}

func checkServer(ctx context.Context, c *redis.Client, strict bool) error {
	addr := c.Options().Addr
	if err := c.Ping(ctx).Err(); err != nil {
		return fmt.Errorf("check Redis at %s: %w", addr, err)
	}
	if err := checkEviction(ctx, c, strict); err != nil {
		return fmt.Errorf("check Redis at %s: %w", addr, err)
	}
	if isLocal(c.Options().Network, addr) {
		return nil
	}
	if err := checkAuth(ctx, c); err != nil {
		return fmt.Errorf("check Redis at %s: %w", addr, err)
	}
	return nil
}

// checkEviction wants maxmemory-policy noeviction: a full Redis must fail loudly, not drop what was
// decided.
func checkEviction(ctx context.Context, c *redis.Client, strict bool) error {
	policy, err := evictionPolicy(ctx, c)
	switch {
	case err != nil && strict:
		return fmt.Errorf("read maxmemory-policy: %w; allow CONFIG GET or INFO to the gateway's user", err)
	case err != nil && !isServerError(err):
		return fmt.Errorf("read maxmemory-policy: %w", err)
	case err != nil:
		return nil
	case policy != "noeviction":
		return fmt.Errorf("maxmemory-policy is %s, which drops requests for approval when memory is short; set it to noeviction", policy)
	}
	return nil
}

func evictionPolicy(ctx context.Context, c *redis.Client) (string, error) {
	values, err := c.ConfigGet(ctx, "maxmemory-policy").Result()
	if err == nil && values["maxmemory-policy"] != "" {
		return values["maxmemory-policy"], nil
	}
	if err == nil {
		err = serverError("CONFIG GET answered nothing")
	}
	if !isServerError(err) {
		return "", err
	}
	info, ierr := c.Info(ctx, "memory").Result() // managed servers hide CONFIG
	if ierr != nil {
		return "", errors.Join(err, ierr)
	}
	for line := range strings.Lines(info) {
		if policy, ok := strings.CutPrefix(strings.TrimSpace(line), "maxmemory_policy:"); ok {
			return policy, nil
		}
	}
	return "", err
}

// checkAuth connects once without any credential, which must fail.
func checkAuth(ctx context.Context, c *redis.Client) error {
	bare := *c.Options()
	bare.Username, bare.Password, bare.CredentialsProvider, bare.CredentialsProviderContext, bare.StreamingCredentialsProvider = "", "",
		nil, nil, nil
	bare.MaxRetries, bare.PoolSize, bare.MinIdleConns = -1, 1, 0
	certificates := false
	if bare.TLSConfig != nil {
		bare.TLSConfig = bare.TLSConfig.Clone()
		certificates = len(bare.TLSConfig.Certificates) > 0 || bare.TLSConfig.GetClientCertificate != nil
		bare.TLSConfig.Certificates, bare.TLSConfig.GetClientCertificate = nil, nil
	}
	stranger := redis.NewClient(&bare)
	defer stranger.Close()
	err := stranger.Ping(ctx).Err()
	switch {
	case err == nil:
		return errors.New("it serves whoever connects; off loopback it must ask for a password or a client certificate (requirepass, " +
			"ACL, tls-auth-clients)")
	case certificates || isServerError(err): // NOAUTH, or a broken handshake
		return nil
	default:
		return fmt.Errorf("connect without a password to see that it is refused: %w", err)
	}
}

type serverError string

func (e serverError) Error() string { return string(e) }
func (serverError) RedisError()     {}

// isServerError tells what the server answered from what went wrong on the way.
func isServerError(err error) bool {
	var e redis.Error
	return errors.As(err, &e)
}

func isLocal(network, addr string) bool {
	if network == "unix" {
		return true
	}
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
