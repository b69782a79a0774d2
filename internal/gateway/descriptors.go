package gateway

import (
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/bqgate/bqgate/internal/config"
)

// decidingDescriptors are what the data path may need at once: connections of Envoy's workers, to
// Redis, to BigQuery, and the pipes of SQL workers; and what only opens for a moment.
const decidingDescriptors = 512

// enoughDescriptors raises the limit of open files to what the system allows this process, and says
// whether the configured caps fit below it. Where they do not, a crowd at the console would take
// what decisions need (A40).
func enoughDescriptors(needed int) error {
	var l unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &l); err != nil {
		return fmt.Errorf("read the limit of open files: %w", err)
	}
	if l.Cur < l.Max {
		raised := unix.Rlimit{Cur: l.Max, Max: l.Max}
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &raised); err == nil {
			l = raised
		}
	}
	return fits(l.Cur, needed)
}

func fits(limit uint64, needed int) error {
	if limit >= uint64(max(0, needed)) {
		return nil
	}
	return fmt.Errorf("this process may open %d files and could need %d: raise the limit (LimitNOFILE of systemd, ulimit -n), or lower "+
		"console.max_connections", limit, needed)
}

// serveDescriptors is what `bqgate serve` could need at once.
func serveDescriptors(c *config.Config) int {
	n := decidingDescriptors + 2*operationsLimits.Total
	if c.Console.Process != config.ProcessSeparate {
		n += c.Console.MaxConnections
	}
	return n
}

// consoleDescriptors is what `bqgate console` could need at once.
func consoleDescriptors(c *config.Config) int { return 128 + c.Console.MaxConnections }
