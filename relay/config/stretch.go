package config

import (
	"fmt"
	"strconv"

	"weir/batch"
)

// Stretch is how much longer the windows of a namespace become when the node has too much to do. Its zero value is
// "true" in a configuration.
type Stretch float64

// The values of a Stretch that are words. All others say how many times as long a window becomes at most, from 1.5 to
// batch.MostStretch.
const (
	byItself Stretch = 0 // "true": as far as it is of use
	never    Stretch = 1 // "false"
)

// byDefault is how many times as long windows become by themselves.
const byDefault = 4

// leastStretch is the least that makes a difference.
const leastStretch = 1.5

// Most is how many times as long a window becomes at most.
func (s Stretch) Most() float64 {
	if s == byItself {
		return byDefault
	}
	return float64(s)
}

// String spells s as UnmarshalText reads it.
func (s Stretch) String() string {
	switch s {
	case byItself:
		return "true"
	case never:
		return "false"
	}
	return strconv.FormatFloat(float64(s), 'g', -1, 64)
}

// UnmarshalText reads true, false, or a number.
func (s *Stretch) UnmarshalText(b []byte) error {
	switch text := string(b); text {
	case "true":
		*s = byItself
	case "false":
		*s = never
	default:
		x, err := strconv.ParseFloat(text, 64)
		if err != nil || !(x >= leastStretch && x <= batch.MostStretch) {
			return fmt.Errorf("%s is not true, false, or a number from %v to %d", Quote(text), leastStretch, batch.MostStretch)
		}
		*s = Stretch(x)
	}
	return nil
}
