package protocol

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"unsafe"

	"github.com/bytedance/sonic/ast"
)

// Path is the way to a value in JSON: names with dots between them, and [n] for the elements of an array, such as
// [4].payload or data.items[0].id. A name with other characters is written as ["a name"]. The empty path is the whole. Where
// a path goes on below a text, the text is read as JSON.
type Path struct {
	text  string
	steps []any // string or int
}

// ParsePath reads a path, with or without a $ at its beginning.
func ParsePath(text string) (Path, error) {
	p := Path{text: text}
	rest := strings.TrimPrefix(text, "$")
	wrong := func() (Path, error) {
		return p, fmt.Errorf("path %q: expected something like data.items[0].id", text)
	}
	for first := true; rest != ""; first = false {
		if rest[0] == '[' {
			inner, after, ok := strings.Cut(rest[1:], "]")
			if !ok {
				return wrong()
			}
			var name string
			if n, err := strconv.Atoi(inner); err == nil && n >= 0 {
				p.steps = append(p.steps, n)
			} else if json.Unmarshal([]byte(inner), &name) == nil {
				p.steps = append(p.steps, name)
			} else {
				return wrong()
			}
			rest = after
			continue
		}
		if rest[0] == '.' {
			rest = rest[1:]
		} else if !first {
			return wrong()
		}
		end := strings.IndexAny(rest, ".[")
		if end < 0 {
			end = len(rest)
		}
		if end == 0 {
			return wrong()
		}
		p.steps = append(p.steps, rest[:end])
		rest = rest[end:]
	}
	return p, nil
}

// String is the path as it is written.
func (p Path) String() string { return p.text }

// Get is the JSON of the value; ok is false when there is none. The slice is a part of msg, or of a text in it.
func (p Path) Get(msg []byte) (value []byte, ok bool) {
	value, ok = lookup(msg, p.steps)
	if ok || len(p.steps) < 2 {
		return value, ok
	}
	for i := len(p.steps) - 1; i > 0; i-- { // the last text on the way holds the rest
		if outer, ok := lookup(msg, p.steps[:i]); ok {
			inner, quoted := Text(outer)
			if !quoted {
				return nil, false
			}
			return Path{steps: p.steps[i:]}.Get(inner)
		}
	}
	return nil, false
}

// lookup finds a value without looking into texts.
func lookup(msg []byte, steps []any) ([]byte, bool) {
	if len(steps) == 0 {
		return msg, true
	}
	s := ast.NewSearcher(unsafe.String(unsafe.SliceData(msg), len(msg)))
	s.ConcurrentRead = false
	s.CopyReturn = false
	node, err := s.GetByPath(steps...)
	if err != nil {
		return nil, false
	}
	raw, err := node.Raw()
	if err != nil {
		return nil, false
	}
	return unsafe.Slice(unsafe.StringData(raw), len(raw)), true
}

// Text is what a JSON text holds; ok is false when raw is none.
func Text(raw []byte) (text []byte, ok bool) {
	if len(raw) < 2 || raw[0] != '"' {
		return raw, false
	}
	var s string
	if json.Unmarshal(raw, &s) != nil {
		return raw, false
	}
	return []byte(s), true
}

// Find looks for a value that is wanted anywhere in JSON, also in texts that hold JSON, and returns the path to it. It is
// for people who do not know the path; ok is false when there is none.
func Find(msg []byte, want func(raw []byte) bool) (path string, ok bool) {
	if want(msg) {
		return "", true
	}
	if text, quoted := Text(msg); quoted {
		return Find(text, want)
	}
	var list []json.RawMessage
	if json.Unmarshal(msg, &list) == nil {
		for i, v := range list {
			if rest, ok := Find(v, want); ok {
				return join("["+strconv.Itoa(i)+"]", rest), true
			}
		}
		return "", false
	}
	var object map[string]json.RawMessage
	if json.Unmarshal(msg, &object) != nil {
		return "", false
	}
	for name, v := range object {
		if rest, ok := Find(v, want); ok {
			if strings.ContainsAny(name, ".[]\"$ ") || name == "" {
				quoted, _ := json.Marshal(name) // a string never fails
				name = "[" + string(quoted) + "]"
			}
			return join(name, rest), true
		}
	}
	return "", false
}

func join(step, rest string) string {
	if rest == "" || rest[0] == '[' {
		return step + rest
	}
	return step + "." + rest
}
