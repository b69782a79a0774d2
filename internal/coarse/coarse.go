// Package coarse says how exactly a client of the gateway is told sizes. How many bytes a query
// reads depends on partitions and clusters, and so on values: told to the byte, two queries that
// differ in one condition tell values apart (A29). Operators and auditors see the exact figures;
// reviewers do not, since a requester sees their own request as reviewers do.
package coarse

import (
	"strconv"
	"strings"
)

// Step is the unit of every number of bytes that a client is told: BigQuery bills at least 10 MiB a
// table.
const Step = 10 << 20

// Bytes rounds up to the next Step; what is not above 0 is 0.
func Bytes(n int64) int64 {
	if n <= 0 {
		return 0
	}
	if n > maxBytes {
		return maxBytes
	}
	return ((n-1)/Step + 1) * Step
}

// maxBytes is the largest multiple of Step.
const maxBytes = (1<<63 - 1) / Step * Step

// Limit rounds a client's own limit on bytes down to a Step: whether a query runs under a limit of
// every byte would tell its size as exactly. A limit below one Step stays, since every query that
// reads anything is above it.
func Limit(n int64) int64 {
	if n < Step {
		return n
	}
	return n / Step * Step
}

// Text writes bytes for people: 1536 is "1.5 KiB".
func Text(n int64) string {
	for _, unit := range []struct {
		suffix string
		bytes  int64
	}{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}} {
		if n >= unit.bytes {
			text := strconv.FormatFloat(float64(n)/float64(unit.bytes), 'f', 1, 64)
			return strings.TrimSuffix(text, ".0") + " " + unit.suffix
		}
	}
	return strconv.FormatInt(n, 10) + " B"
}
