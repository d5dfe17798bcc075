package auth

import (
	"fmt"
	"strings"
)

// Ops is a set of things a client may do in a channel. None implies another.
type Ops uint8

// The operations.
const (
	Subscribe Ops = 1 << iota // follow the channel
	Publish                   // add changes
	History                   // read past changes
	Presence                  // see who is here

	AllOps = Subscribe | Publish | History | Presence
)

var opNames = [...]string{"subscribe", "publish", "history", "presence"}

// ParseOps reads a list such as "subscribe,publish"; "*" means all. Spaces around a name are
// ignored; an empty list and unknown names are errors.
func ParseOps(s string) (Ops, error) {
	var ops Ops
	for name := range strings.SplitSeq(s, ",") {
		op, ok := parseOp(strings.TrimSpace(name))
		if !ok {
			return 0, fmt.Errorf("parse operations %.64q: expected subscribe, publish, history, presence or *, separated by commas", s)
		}
		ops |= op
	}
	return ops, nil
}

func parseOp(name string) (Ops, bool) {
	if name == "*" {
		return AllOps, true
	}
	for i, n := range opNames {
		if n == name {
			return 1 << i, true
		}
	}
	return 0, false
}

// String writes the set as ParseOps reads it; the empty set is "none".
func (o Ops) String() string {
	switch {
	case o&AllOps == AllOps:
		return "*"
	case o&AllOps == 0:
		return "none"
	}
	var names []string
	for i, n := range opNames {
		if o&(1<<i) != 0 {
			names = append(names, n)
		}
	}
	return strings.Join(names, ",")
}
