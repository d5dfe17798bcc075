package auth

import (
	"errors"
	"strconv"
	"unicode"
	"unicode/utf8"
)

// What a token may carry: bytes of a string, and entries of a list.
const (
	maxUser   = 128
	maxName   = 256
	maxAvatar = 2048
	maxRole   = 128
	maxRoles  = 64
	maxGrants = 64
	maxAud    = 64

	usual = 4 // roles or grants that a list has room for from the start
)

// maxDate is the last second of the year 9999.
const maxDate = 253402300799

// claims is the second part of a token, after its signature was found good.
type claims struct {
	sub, name, avatar string
	roles             []string
	grants            []Grant // patterns as written, before {user} is replaced
	exp, nbf, iat     int64   // seconds since 1970
	issOK, audOK      bool    // match what was asked for
	seen              claimBit
}

// claimBit marks a claim as seen, so that a second one is refused.
type claimBit uint16

const (
	sawSub claimBit = 1 << iota
	sawName
	sawAvatar
	sawRoles
	sawChannels
	sawExp
	sawNbf
	sawIat
	sawIss
	sawAud
)

func claimOf(name []byte) claimBit {
	switch string(name) {
	case "sub":
		return sawSub
	case "name":
		return sawName
	case "avatar":
		return sawAvatar
	case "roles":
		return sawRoles
	case "channels":
		return sawChannels
	case "exp":
		return sawExp
	case "nbf":
		return sawNbf
	case "iat":
		return sawIat
	case "iss":
		return sawIss
	case "aud":
		return sawAud
	}
	return 0
}

// parseClaims reads the claims that mean something here; issuer and audience are compared on the way.
func parseClaims(text []byte, issuer, audience string) (cl claims, err error) {
	c, err := newCursor(text)
	if err != nil {
		return cl, refuse(ReasonMalformed, "claims are not JSON")
	}
	err = c.object(func(name []byte) (err error) {
		bit := claimOf(name)
		if bit == 0 {
			return c.skip(1)
		}
		if cl.seen&bit != 0 {
			return refuse(ReasonClaims, "a claim is given twice")
		}
		cl.seen |= bit
		if c.peek() == 'n' { // null: as if it were not there
			return c.literal("null")
		}
		switch bit {
		case sawSub:
			cl.sub, err = c.claimText("sub", maxUser, printable)
		case sawName:
			cl.name, err = c.claimText("name", maxName, noControls)
		case sawAvatar:
			cl.avatar, err = c.claimText("avatar", maxAvatar, noControls)
		case sawRoles:
			cl.roles, err = c.roles()
		case sawChannels:
			cl.grants, err = c.channels()
		case sawExp:
			cl.exp, err = c.date("exp")
		case sawNbf:
			cl.nbf, err = c.date("nbf")
		case sawIat:
			cl.iat, err = c.issued()
		case sawIss:
			cl.issOK, err = c.is("iss", issuer)
		case sawAud:
			cl.audOK, err = c.audience(audience)
		}
		return err
	})
	switch {
	case errors.Is(err, errSyntax), err == nil && !c.end():
		return cl, refuse(ReasonMalformed, "claims are not JSON")
	case err != nil:
		return cl, err
	case cl.sub == "":
		return cl, refuse(ReasonClaims, "sub is missing or empty")
	case cl.exp == 0:
		return cl, refuse(ReasonClaims, "exp is missing or zero")
	}
	for i := range cl.grants {
		g := &cl.grants[i]
		if g.Pattern, err = expandPattern(g.Pattern, cl.sub); err != nil {
			return cl, refuse(ReasonClaims, "channels: "+err.Error())
		}
	}
	return cl, nil
}

// claimText reads the string of a claim, of at most limit bytes that ok accepts.
func (c *cursor) claimText(claim string, limit int, ok func([]byte) bool) (string, error) {
	switch b := c.peek(); {
	case b == '-' || b >= '0' && b <= '9':
		return "", refuse(ReasonClaims, claim+` is a number: expected a string, such as "42"`)
	case b != '"':
		return "", refuse(ReasonClaims, claim+" is not a string")
	}
	text, err := c.text()
	if err != nil {
		return "", err
	}
	if len(text) > limit {
		return "", refuse(ReasonClaims, claim+" is longer than "+strconv.Itoa(limit)+" bytes")
	}
	if !ok(text) {
		return "", refuse(ReasonClaims, claim+" holds characters that cannot be shown")
	}
	return string(text), nil
}

func printable(text []byte) bool {
	for i := 0; i < len(text); {
		r, n := utf8.DecodeRune(text[i:])
		if !unicode.IsPrint(r) {
			return false
		}
		i += n
	}
	return true
}

// noControls lets through what names are made of in all scripts, joiners in emoji included.
func noControls(text []byte) bool {
	for i := 0; i < len(text); {
		r, n := utf8.DecodeRune(text[i:])
		if unicode.IsControl(r) {
			return false
		}
		i += n
	}
	return true
}

// date reads seconds since 1970, the fraction cut off.
func (c *cursor) date(claim string) (int64, error) {
	if b := c.peek(); b != '-' && (b < '0' || b > '9') {
		return 0, refuse(ReasonClaims, claim+" is not a number")
	}
	text, err := c.number()
	if err != nil {
		return 0, err
	}
	seconds, err := strconv.ParseInt(string(text), 10, 64)
	if err != nil { // a fraction, an exponent, or far too large
		f, err := strconv.ParseFloat(string(text), 64)
		if err != nil || f < 0 || f > maxDate {
			return 0, refuse(ReasonClaims, claim+" is not a date up to the year 9999")
		}
		seconds = int64(f)
	}
	if seconds < 0 || seconds > maxDate {
		return 0, refuse(ReasonClaims, claim+" is not a date up to the year 9999")
	}
	return seconds, nil
}

// issued reads iat, which says when and not whether (RFC 7519, section 4.1.6): what is no date is 0.
func (c *cursor) issued() (int64, error) {
	if b := c.peek(); b != '-' && (b < '0' || b > '9') {
		return 0, c.skip(1)
	}
	seconds, err := c.date("iat")
	if ReasonOf(err) != "" {
		return 0, nil
	}
	return seconds, err
}

// is reads a string and compares it.
func (c *cursor) is(claim, want string) (bool, error) {
	if c.peek() != '"' {
		return false, refuse(ReasonClaims, claim+" is not a string")
	}
	text, err := c.text()
	return string(text) == want, err
}

// audience reads a string or a list of strings, one of which should be want.
func (c *cursor) audience(want string) (bool, error) {
	if c.peek() != '[' {
		return c.is("aud", want)
	}
	found, n := false, 0
	err := c.array(func() error {
		if n++; n > maxAud {
			return refuse(ReasonClaims, "aud has too many entries")
		}
		ok, err := c.is("aud", want)
		found = found || ok
		return err
	})
	return found, err
}

func (c *cursor) roles() (roles []string, err error) {
	if c.peek() != '[' {
		return nil, refuse(ReasonClaims, "roles is not a list")
	}
	err = c.array(func() error {
		if len(roles) == maxRoles {
			return refuse(ReasonClaims, "roles has more than "+strconv.Itoa(maxRoles)+" entries")
		}
		role, err := c.claimText("roles", maxRole, printable)
		if err == nil && role == "" {
			return refuse(ReasonClaims, "roles has an empty entry")
		}
		if roles == nil {
			roles = make([]string, 0, usual)
		}
		roles = append(roles, role)
		return err
	})
	return roles, err
}
