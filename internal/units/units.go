// Package units holds the two quantities that configuration files spell in words: sizes in bytes
// ("64KiB") and rates ("50/s"). Both parse strictly: a value that is not understood is an error that
// says what was expected, never a silent zero. They have no state and no goroutines.
package units

import (
	"encoding"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Both are read from and written to configuration as text.
var (
	_ encoding.TextUnmarshaler = (*Size)(nil)
	_ encoding.TextUnmarshaler = (*Rate)(nil)
	_ encoding.TextMarshaler   = Size(0)
	_ encoding.TextMarshaler   = Rate{}
)

// Size is a number of bytes, 0 or more.
type Size int64

// The binary multiples a Size may be written in.
const (
	Byte Size = 1
	KiB       = 1 << 10 * Byte
	MiB       = 1 << 20 * Byte
	GiB       = 1 << 30 * Byte
)

var suffixes = []struct {
	name string
	unit Size
}{{"GiB", GiB}, {"MiB", MiB}, {"KiB", KiB}, {"B", Byte}, {"", Byte}}

// parseSize reads "64KiB", "1MiB", "2GiB", "512B" or "512".
func parseSize(s string) (Size, error) {
	for _, u := range suffixes {
		digits, ok := strings.CutSuffix(s, u.name)
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(digits), 10, 64)
		if err != nil || n < 0 || n > math.MaxInt64/int64(u.unit) {
			break
		}
		return Size(n) * u.unit, nil
	}
	return 0, fmt.Errorf("%q is not a size: expected a whole number of B, KiB, MiB or GiB, such as 64KiB", s)
}

// String writes the size in the largest unit that divides it.
func (s Size) String() string {
	for _, u := range suffixes {
		if s >= u.unit && s%u.unit == 0 {
			return strconv.FormatInt(int64(s/u.unit), 10) + u.name
		}
	}
	return strconv.FormatInt(int64(s), 10) + "B"
}

// MarshalText and UnmarshalText make Size usable in configuration files and flags.
func (s Size) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads what parseSize reads.
func (s *Size) UnmarshalText(b []byte) (err error) {
	*s, err = parseSize(string(b))
	return err
}

// Rate is a number of events in a span of time; the zero Rate means no limit.
type Rate struct {
	Count int
	Per   time.Duration
}

var spans = map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour}

// parseRate reads "50/s", "600/m" or "1000/h"; "0" and "none" mean no limit.
func parseRate(s string) (Rate, error) {
	if s == "0" || s == "none" {
		return Rate{}, nil
	}
	count, span, _ := strings.Cut(s, "/")
	n, err := strconv.Atoi(strings.TrimSpace(count))
	per, ok := spans[strings.TrimSpace(span)]
	if err != nil || n < 1 || !ok {
		return Rate{}, fmt.Errorf("%q is not a rate: expected a count per s, m or h, such as 50/s, or none", s)
	}
	return Rate{n, per}, nil
}

// PerSecond is the rate in events per second; 0 means no limit.
func (r Rate) PerSecond() float64 {
	if r.Per <= 0 {
		return 0
	}
	return float64(r.Count) / r.Per.Seconds()
}

// String writes the rate as parseRate reads it.
func (r Rate) String() string {
	for name, span := range spans {
		if r.Per == span {
			return strconv.Itoa(r.Count) + "/" + name
		}
	}
	return "none"
}

// MarshalText and UnmarshalText make Rate usable in configuration files and flags.
func (r Rate) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText reads what parseRate reads.
func (r *Rate) UnmarshalText(b []byte) (err error) {
	*r, err = parseRate(string(b))
	return err
}
