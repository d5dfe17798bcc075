package auth

import "strconv"

// channels reads the grants of a token: an object of lists by pattern, or a list of objects.
func (c *cursor) channels() (grants []Grant, err error) {
	add := func(pattern string, ops Ops) error {
		switch {
		case len(grants) == maxGrants:
			return refuse(ReasonClaims, "channels has more than "+strconv.Itoa(maxGrants)+" entries")
		case pattern == "" || len(pattern) > maxChannel:
			return refuse(ReasonClaims, "channels has an entry without a pattern, or one that is too long")
		case ops == 0:
			return refuse(ReasonClaims, "channels has an entry without operations")
		}
		if grants == nil {
			grants = make([]Grant, 0, usual)
		}
		grants = append(grants, Grant{pattern, ops})
		return nil
	}
	switch c.peek() {
	case '{':
		err = c.object(func(name []byte) error {
			pattern := string(name)
			ops, err := c.ops()
			if err != nil {
				return err
			}
			return add(pattern, ops)
		})
	case '[':
		err = c.array(func() error {
			pattern, ops, err := c.grant()
			if err != nil {
				return err
			}
			return add(pattern, ops)
		})
	default:
		err = refuse(ReasonClaims, "channels is neither an object nor a list")
	}
	return grants, err
}

// grant reads {"pattern": "room:*", "ops": ["subscribe"]}. Other members are refused: one that was
// meant to narrow the grant must not be passed over.
func (c *cursor) grant() (pattern string, ops Ops, err error) {
	if c.peek() != '{' {
		return "", 0, refuse(ReasonClaims, "channels has an entry that is not an object")
	}
	var hasPattern, hasOps bool
	err = c.object(func(name []byte) (err error) {
		switch {
		case string(name) == "pattern" && !hasPattern:
			hasPattern = true
			pattern, err = c.claimText("pattern", maxChannel, printable)
		case string(name) == "ops" && !hasOps:
			hasOps = true
			ops, err = c.ops()
		default:
			err = refuse(ReasonClaims, "channels has an entry with something other than one pattern and one ops")
		}
		return err
	})
	return pattern, ops, err
}

// ops reads a list of names of operations.
func (c *cursor) ops() (ops Ops, err error) {
	if c.peek() != '[' {
		return 0, refuse(ReasonClaims, "channels has operations that are not a list")
	}
	err = c.array(func() error {
		if c.peek() != '"' {
			return refuse(ReasonClaims, "channels has an operation that is not a string")
		}
		name, err := c.text()
		if err != nil {
			return err
		}
		op, ok := parseOp(string(name))
		if !ok {
			return refuse(ReasonClaims, "channels has an operation other than subscribe, publish, history, presence and *")
		}
		ops |= op
		return nil
	})
	return ops, err
}
