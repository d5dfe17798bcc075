package auth

import (
	"slices"
	"strconv"
	"strings"
	"unicode"

	"weir/internal/wire"
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
	seen              uint16  // by index in claimNames
}

// claimNames are the claims that mean something here, none of which may come twice.
var claimNames = [...]string{"sub", "exp", "nbf", "iat", "iss", "aud", "name", "avatar", "roles", "channels"}

// parseClaims reads the claims that mean something here; issuer and audience are compared on the way.
func parseClaims(b []byte, issuer, audience string) (cl claims, err error) {
	err = members(b, func(name string, v []byte) (err error) {
		i := slices.Index(claimNames[:], name)
		if i < 0 {
			return nil
		}
		if cl.seen&(1<<i) != 0 {
			return refuse(ReasonClaims, "a claim is given twice")
		}
		cl.seen |= 1 << i
		if v[0] == 'n' { // null: as if it were not there
			return nil
		}
		switch name {
		case "sub":
			cl.sub, err = claimText("sub", v, maxUser, unicode.IsPrint)
		case "name":
			cl.name, err = claimText("name", v, maxName, notControl)
		case "avatar":
			cl.avatar, err = claimText("avatar", v, maxAvatar, notControl)
		case "roles":
			cl.roles, err = parseRoles(v)
		case "channels":
			cl.grants, err = parseGrants(v)
		case "exp":
			cl.exp, err = parseDate("exp", v)
		case "nbf":
			cl.nbf, err = parseDate("nbf", v)
		case "iat": // it says when and not whether (RFC 7519, section 4.1.6): what is no date is 0
			cl.iat, _ = parseDate("iat", v)
		case "iss":
			cl.issOK, err = matches("iss", v, issuer)
		case "aud":
			cl.audOK, err = parseAudience(v, audience)
		}
		return err
	})
	switch {
	case isSyntax(err):
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
	cl.grants = shared.of(cl.grants)
	return cl, nil
}

func isNumber(v []byte) bool { return v[0] == '-' || v[0] >= '0' && v[0] <= '9' }

// claimText reads the string of a claim, of at most limit bytes in runes that ok accepts.
func claimText(claim string, v []byte, limit int, ok func(rune) bool) (string, error) {
	switch {
	case isNumber(v):
		return "", refuse(ReasonClaims, claim+` is a number: expected a string, such as "42"`)
	case v[0] != '"':
		return "", refuse(ReasonClaims, claim+" is not a string")
	}
	s, err := wire.Text(v)
	if err != nil {
		return "", err
	}
	if len(s) > limit {
		return "", refuse(ReasonClaims, claim+" is longer than "+strconv.Itoa(limit)+" bytes")
	}
	for _, r := range s {
		if !ok(r) {
			return "", refuse(ReasonClaims, claim+" holds characters that cannot be shown")
		}
	}
	return strings.Clone(s), nil
}

// notControl lets through what names are made of in all scripts, joiners in emoji included.
func notControl(r rune) bool { return !unicode.IsControl(r) }

// parseDate reads seconds since 1970, the fraction cut off.
func parseDate(claim string, v []byte) (int64, error) {
	if !isNumber(v) {
		return 0, refuse(ReasonClaims, claim+" is not a number")
	}
	seconds, err := strconv.ParseInt(string(v), 10, 64)
	if err != nil { // a fraction, an exponent, or far too large
		f, err := strconv.ParseFloat(string(v), 64)
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

// matches reads a string and compares it.
func matches(claim string, v []byte, want string) (bool, error) {
	if v[0] != '"' {
		return false, refuse(ReasonClaims, claim+" is not a string")
	}
	s, err := wire.Text(v)
	return s == want, err
}

// parseAudience reads a string or a list of strings, one of which should be want.
func parseAudience(v []byte, want string) (bool, error) {
	if v[0] != '[' {
		return matches("aud", v, want)
	}
	found, n := false, 0
	err := wire.Elements(v, func(v []byte) error {
		if n++; n > maxAud {
			return refuse(ReasonClaims, "aud has too many entries")
		}
		ok, err := matches("aud", v, want)
		found = found || ok
		return err
	})
	return found, err
}

func parseRoles(v []byte) (roles []string, err error) {
	if v[0] != '[' {
		return nil, refuse(ReasonClaims, "roles is not a list")
	}
	err = wire.Elements(v, func(v []byte) error {
		if len(roles) == maxRoles {
			return refuse(ReasonClaims, "roles has more than "+strconv.Itoa(maxRoles)+" entries")
		}
		role, err := claimText("roles", v, maxRole, unicode.IsPrint)
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
