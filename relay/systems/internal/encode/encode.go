// Package encode writes JSON on one line, as systems send and store it. It has no state, and allocates nothing but what it
// appends to.
//
// Entry points: [Members] and [Object] for objects whose members are known, [List] for lists, [Line] for everything else.
package encode

import (
	"bytes"
	"encoding/json"
	"math"
	"strconv"

	"weir/internal/wire"
)

// Maybe is a string that is left out, with its name, if it is empty.
type Maybe string

// Members appends names and their values to an object that is not closed; it opens the object if b is empty. Values are
// strings, numbers (see Number), truth values, JSON ([]byte, left out with its name if it is empty), and functions that append
// JSON.
func Members(b []byte, pairs ...any) []byte {
	for ; len(pairs) > 1; pairs = pairs[2:] {
		switch v := pairs[1].(type) {
		case []byte:
			if len(v) == 0 {
				continue
			}
		case Maybe:
			if v == "" {
				continue
			}
		}
		if len(b) == 0 {
			b = append(b, '{')
		} else if b[len(b)-1] != '{' {
			b = append(b, ',')
		}
		b = value(append(wire.AppendString(b, pairs[0].(string)), ':'), pairs[1])
	}
	return b
}

func value(b []byte, v any) []byte {
	switch v := v.(type) {
	case string:
		return wire.AppendString(b, v)
	case Maybe:
		return wire.AppendString(b, string(v))
	case []byte:
		return append(b, v...)
	case bool:
		return strconv.AppendBool(b, v)
	case int:
		return strconv.AppendInt(b, int64(v), 10)
	case int64:
		return strconv.AppendInt(b, v, 10)
	case uint64:
		return strconv.AppendUint(b, v, 10)
	case float64:
		return Number(b, v)
	case func([]byte) []byte:
		return v(b)
	}
	panic("encode: the value of a member has a type that Members does not know")
}

// Number appends a number; null for one that JSON does not have.
func Number(b []byte, x float64) []byte {
	switch {
	case math.IsInf(x, 0) || math.IsNaN(x):
		return append(b, "null"...)
	case math.Abs(x) < 1e15:
		return strconv.AppendFloat(b, x, 'f', -1, 64)
	}
	return strconv.AppendFloat(b, x, 'e', -1, 64)
}

// Object is an object of names and values; see Members.
func Object(pairs ...any) []byte { return append(Members(make([]byte, 0, 128), pairs...), '}') }

// List appends a list. f appends one element.
func List[T any](b []byte, list []T, f func(b []byte, x T) []byte) []byte {
	b = append(b, '[')
	for i, x := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = f(b, x)
	}
	return append(b, ']')
}

// Line is v as JSON, without the escapes for HTML. It panics if there is no JSON for v.
func Line(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic(err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}
