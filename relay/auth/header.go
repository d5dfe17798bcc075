package auth

import (
	"strings"

	"weir/internal/wire"
)

// maxHeader and maxKeyID bound a token's header and the key id in it, in bytes.
const (
	maxHeader = 1024
	maxKeyID  = 128
)

// header is the first part of a token, believed only as far as finding the key goes.
type header struct {
	alg string // one of the constants in key.go
	kid string // aliases the text that was parsed; "" without one
}

// parseHeader reads what it must and refuses every header that tries to choose its own key or asks for
// something we do not do. Others are ignored, as RFC 7515 wants.
func parseHeader(b []byte) (h header, err error) {
	if len(b) > maxHeader {
		return h, refuse(ReasonMalformed, "header is too long")
	}
	var seenAlg, seenKid, seenTyp bool
	// once returns the string of a member, which must not come twice.
	once := func(seen *bool, name string, v []byte, r Reason) (string, error) {
		if *seen {
			return "", refuse(ReasonMalformed, "the header has a member twice")
		}
		*seen = true
		if v[0] != '"' {
			return "", refuse(r, name+" is not a string")
		}
		return wire.Text(v)
	}
	err = members(b, func(name string, v []byte) error {
		switch name {
		case "alg":
			value, err := once(&seenAlg, "alg", v, ReasonAlgorithm)
			h.alg = algorithm(value)
			return err
		case "kid":
			value, err := once(&seenKid, "kid", v, ReasonKey)
			if err == nil && !ValidKeyID(value) {
				return refuse(ReasonKey, "kid is not an identifier")
			}
			h.kid = value
			return err
		case "typ":
			value, err := once(&seenTyp, "typ", v, ReasonMalformed)
			if err == nil && !accessType(value) {
				return refuse(ReasonMalformed, "typ is neither JWT nor at+jwt")
			}
			return err
		case "jku", "jwk", "x5u", "x5c":
			return refuse(ReasonKey, "the header must not have a key of its own (jku, jwk, x5u, x5c)")
		case "crit", "b64", "zip", "enc":
			return refuse(ReasonMalformed, "the header must not have crit, b64, zip or enc")
		}
		return nil
	})
	switch {
	case isSyntax(err):
		return h, refuse(ReasonMalformed, "header is not JSON")
	case err != nil:
		return h, err
	case h.alg == "":
		return h, refuse(ReasonAlgorithm, "alg is none of HS256, RS256, ES256 and EdDSA")
	}
	return h, nil
}

// KeyIDs is what ValidKeyID wants, in words.
const KeyIDs = `at most 128 printable ASCII characters without spaces, quotes, backslashes and ".."`

// ValidKeyID bounds what is looked up and what may ask for a fetch of the key set: printable ASCII
// without quotes, backslashes and "..". An id is only ever looked up in memory; that none looks like a
// way out of a directory is for those who read it in a log. A slash alone is part of base64.
func ValidKeyID(id string) bool {
	if len(id) == 0 || len(id) > maxKeyID {
		return false
	}
	for i := range len(id) {
		switch b := id[i]; {
		case b <= ' ', b > '~', b == '"', b == '\\':
			return false
		case b == '.' && i > 0 && id[i-1] == '.':
			return false
		}
	}
	return true
}

// accessType keeps out signed tokens that mean something else (logout, proof of possession).
func accessType(typ string) bool {
	const prefix = "application/"
	if len(typ) > len(prefix) && strings.EqualFold(typ[:len(prefix)], prefix) {
		typ = typ[len(prefix):]
	}
	return strings.EqualFold(typ, "JWT") || strings.EqualFold(typ, "at+jwt")
}

// KeyOf returns, for people, which key has signed a token that was verified.
func KeyOf(token string) string {
	head, _, _ := strings.Cut(token, ".")
	b, err := strict.DecodeString(head)
	if err != nil {
		return "no key"
	}
	h, err := parseHeader(b)
	switch {
	case err != nil:
		return "no key"
	case h.kid == "":
		return "a key for " + h.alg
	}
	return "the key " + h.kid + " for " + h.alg
}
