package policies

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/bqgate/bqgate/internal/coarse"
)

var sizeUnits = []struct {
	suffix string
	bytes  int64
}{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"B", 1}}

// parseSize reads "200GiB". Decimal units are refused rather than guessed at: BigQuery bills in
// binary ones.
func parseSize(text string) (int64, error) {
	for _, unit := range sizeUnits {
		number, ok := strings.CutSuffix(text, unit.suffix)
		if !ok {
			continue
		}
		n, err := strconv.ParseUint(number, 10, 63)
		if err != nil || n == 0 || n > uint64(math.MaxInt64/unit.bytes) { //nolint:gosec // G115: the quotient is positive
			break
		}
		return int64(n) * unit.bytes, nil
	}
	return 0, fmt.Errorf("size %q is not understood: write a whole number above 0 with B, KiB, MiB, GiB or TiB, such as 200GiB", text)
}

// parseDuration reads "1h" or "90m".
func parseDuration(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err != nil || d < time.Second || d > maxDuration {
		return 0, fmt.Errorf("duration %q is not understood: write one between 1s and %d days, such as 90m or 1h", text,
			maxDuration/(24*time.Hour))
	}
	return d, nil
}

const maxDuration = 30 * 24 * time.Hour

// FormatSize writes bytes for people: 1536 is "1.5 KiB".
func FormatSize(n int64) string { return formatSize(n) }

// formatSize writes bytes for people: 1536 is "1.5 KiB".
func formatSize(n int64) string { return coarse.Text(n) }
