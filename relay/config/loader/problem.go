package loader

import (
	"cmp"
	"slices"
	"strings"
)

// problem is one thing that is wrong with a configuration.
type problem struct {
	Key     string // full key path; "" if it is about a place as a whole
	Message string // what is wrong and what was expected; holds no secret and no line break
	Origin  Origin // where; the zero Origin if the value is a default or missing
}

// String is one line: "weir.yaml:12: limits.queue: ...", "WEIR_LISTEN: ..." or "auth.keys: ...".
func (p problem) String() string {
	switch {
	case p.Origin.Kind == fromDefault:
		return p.Key + ": " + p.Message
	case p.Origin.Kind == fromFile && p.Key != "":
		return p.Origin.place() + ": " + p.Key + ": " + p.Message
	}
	return p.Origin.place() + ": " + p.Message
}

// problems are all the reasons why a configuration is refused. It is the type of Load's error.
type problems []problem

// Error lists the problems, one a line.
func (p problems) Error() string {
	lines := make([]string, len(p))
	for i := range p {
		lines[i] = p[i].String()
	}
	return strings.Join(lines, "\n")
}

// sort orders the problems as a reader looks for them: the file from top to bottom, then variables,
// flags, and what is missing.
func (p problems) sort() {
	rank := func(o Origin) int {
		if o.Kind == fromDefault {
			return int(fromFlag) + 1
		}
		return int(o.Kind)
	}
	slices.SortStableFunc(p, func(a, b problem) int {
		return cmp.Or(cmp.Compare(rank(a.Origin), rank(b.Origin)), cmp.Compare(a.Origin.Line, b.Origin.Line))
	})
}

// about reports whether a problem is already known with the key, within it, or around it.
func (p problems) about(key string) bool {
	return slices.ContainsFunc(p, func(q problem) bool {
		return q.Key != "" && (under(q.Key, key) || under(key, q.Key))
	})
}
