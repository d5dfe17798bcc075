package analytics

import (
	"math"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
	"unsafe"

	"weir/internal/wire"
	"weir/relay/problem"
)

// topics returns the topics that are counted.
func topics() []string { return []string{"api.request", "user.action", "system.event"} }

// maxName bounds the name of a metric, in bytes; maxValue the value of an event, so that sums stay exact.
const (
	maxName  = 64
	maxValue = 1e15
)

// sample is the data of an event.
type sample struct {
	name  string // shares the event's memory
	value float64
}

// parse returns the data of an event. Errors are for clients.
func parse(data []byte) (sample, error) {
	x := sample{value: 1}
	if string(data) == "null" {
		return x, nil
	}
	if data[0] != '{' {
		return x, bad("data must be an object, such as {\"value\":1}")
	}
	err := wire.Members(data, func(key string, v []byte) error {
		switch key {
		case "value":
			return x.setValue(v)
		case "name":
			return x.setName(v)
		}
		return nil
	})
	return x, err
}

func (x *sample) setValue(v []byte) error {
	if string(v) == "null" {
		return nil
	}
	if v[0] == '-' || v[0] >= '0' && v[0] <= '9' {
		f, err := strconv.ParseFloat(unsafe.String(unsafe.SliceData(v), len(v)), 64)
		if err == nil && math.Abs(f) <= maxValue {
			x.value = f
			return nil
		}
	}
	return bad("value must be a number from -1e15 to 1e15")
}

func (x *sample) setName(v []byte) error {
	if string(v) == "null" {
		return nil
	}
	name, err := wire.Text(v)
	if err != nil || !validName(name) {
		return bad("name must be 1 to 64 bytes without control characters and spaces around it")
	}
	x.name = name
	return nil
}

// validName reports whether a text may be the name of a metric.
func validName(s string) bool {
	return s != "" && len(s) <= maxName && utf8.ValidString(s) && strings.TrimSpace(s) == s && strings.IndexFunc(s, unicode.IsControl) < 0
}

func bad(message string) error { return problem.New(400, "bad_request", message, false) }
