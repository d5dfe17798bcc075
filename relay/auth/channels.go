package auth

import (
	"strconv"
	"strings"
	"unicode"

	"weir/internal/wire"
)

// parseGrants reads the claim channels: an object of lists by pattern, or a list of objects.
func parseGrants(v []byte) (grants []Grant, err error) {
	var usually [usual]Grant
	list := usually[:0]
	add := func(pattern string, ops Ops) error {
		switch {
		case len(list) == maxGrants:
			return refuse(ReasonClaims, "channels has more than "+strconv.Itoa(maxGrants)+" entries")
		case pattern == "" || len(pattern) > maxChannel:
			return refuse(ReasonClaims, "channels has an entry without a pattern, or one that is too long")
		case ops == 0:
			return refuse(ReasonClaims, "channels has an entry without operations")
		}
		list = append(list, Grant{pattern, ops})
		return nil
	}
	switch v[0] {
	case '{':
		err = wire.Members(v, func(pattern string, v []byte) error {
			ops, err := parseOps(v)
			if err != nil {
				return err
			}
			return add(strings.Clone(pattern), ops)
		})
	case '[':
		err = wire.Elements(v, func(v []byte) error {
			pattern, ops, err := parseGrant(v)
			if err != nil {
				return err
			}
			return add(pattern, ops)
		})
	default:
		err = refuse(ReasonClaims, "channels is neither an object nor a list")
	}
	if len(list) > 0 { // a connection keeps it: there is no room left in it
		grants = make([]Grant, len(list))
		copy(grants, list)
	}
	return grants, err
}

// parseGrant reads {"pattern": "room:*", "ops": ["subscribe"]}. Other members are refused: one that was
// meant to narrow the grant must not be passed over.
func parseGrant(v []byte) (pattern string, ops Ops, err error) {
	if v[0] != '{' {
		return "", 0, refuse(ReasonClaims, "channels has an entry that is not an object")
	}
	var hasPattern, hasOps bool
	err = wire.Members(v, func(name string, v []byte) (err error) {
		switch {
		case name == "pattern" && !hasPattern:
			hasPattern = true
			pattern, err = claimText("pattern", v, maxChannel, unicode.IsPrint)
		case name == "ops" && !hasOps:
			hasOps = true
			ops, err = parseOps(v)
		default:
			err = refuse(ReasonClaims, "channels has an entry with something other than one pattern and one ops")
		}
		return err
	})
	return pattern, ops, err
}

// parseOps reads a list of names of operations.
func parseOps(v []byte) (ops Ops, err error) {
	if v[0] != '[' {
		return 0, refuse(ReasonClaims, "channels has operations that are not a list")
	}
	err = wire.Elements(v, func(v []byte) error {
		if v[0] != '"' {
			return refuse(ReasonClaims, "channels has an operation that is not a string")
		}
		name, err := wire.Text(v)
		if err != nil {
			return err
		}
		op, ok := parseOp(name)
		if !ok {
			return refuse(ReasonClaims, "channels has an operation other than subscribe, publish, history, presence and *")
		}
		ops |= op
		return nil
	})
	return ops, err
}
