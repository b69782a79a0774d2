package limits

import (
	"fmt"
	"strconv"
	"strings"
)

// Size is a number of bytes, written as policies write it: "64GiB".
type Size int64

var units = []struct {
	name string
	size Size
}{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"B", 1}}

// UnmarshalText reads a size.
func (s *Size) UnmarshalText(text []byte) error {
	for _, u := range units {
		number, ok := strings.CutSuffix(string(text), u.name)
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(number, 10, 64)
		if err != nil || n < 0 || n > int64(mostPerHour/u.size) {
			break
		}
		*s = Size(n) * u.size
		return nil
	}
	return fmt.Errorf("%q is no size: write a whole number of bytes with its unit, such as 64GiB", text)
}

// MarshalText writes a size.
func (s Size) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// String is the size in the largest unit in which it is a whole number.
func (s Size) String() string {
	for _, u := range units {
		if s >= u.size && s%u.size == 0 {
			return strconv.FormatInt(int64(s/u.size), 10) + u.name
		}
	}
	return strconv.FormatInt(int64(s), 10) + "B"
}
