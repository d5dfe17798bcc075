package auth

import "errors"

// maxHeader and maxKeyID bound a token's header and the key id in it, in bytes.
const (
	maxHeader = 1024
	maxKeyID  = 128
)

// header is the first part of a token, believed only as far as finding the key goes.
type header struct {
	alg string // one of the constants in key.go
	kid []byte // part of the text that was parsed; nil without one
}

// parseHeader reads what it must and refuses every header that tries to choose its own key or asks for
// something we do not do. Others are ignored, as RFC 7515 wants.
func parseHeader(text []byte) (h header, err error) {
	if len(text) > maxHeader {
		return h, refuse(ReasonMalformed, "header is too long")
	}
	c, err := newCursor(text)
	if err != nil {
		return h, refuse(ReasonMalformed, "header is not JSON")
	}
	var hasAlg, hasKid, hasTyp bool
	err = c.object(func(name []byte) error {
		switch string(name) {
		case "alg":
			if hasAlg {
				return refuse(ReasonMalformed, "header is ambiguous")
			}
			hasAlg = true
			if c.peek() != '"' {
				return refuse(ReasonAlgorithm, "alg is not a string")
			}
			value, err := c.text()
			h.alg = algorithm(value)
			return err
		case "kid":
			if hasKid {
				return refuse(ReasonMalformed, "header is ambiguous")
			}
			hasKid = true
			if c.peek() != '"' {
				return refuse(ReasonKey, "kid is not a string")
			}
			value, err := c.text()
			if err == nil && !validKeyID(value) {
				return refuse(ReasonKey, "kid is not an identifier")
			}
			h.kid = value
			return err
		case "typ":
			if hasTyp {
				return refuse(ReasonMalformed, "header is ambiguous")
			}
			hasTyp = true
			if c.peek() != '"' {
				return refuse(ReasonMalformed, "typ is not a string")
			}
			value, err := c.text()
			if err == nil && !accessType(value) {
				return refuse(ReasonMalformed, "typ is neither JWT nor at+jwt")
			}
			return err
		case "jku", "jwk", "x5u", "x5c":
			return refuse(ReasonKey, "the header brings its own key")
		case "crit", "b64", "zip", "enc":
			return refuse(ReasonMalformed, "the header asks for an extension")
		}
		return c.skip(1)
	})
	switch {
	case errors.Is(err, errSyntax), err == nil && !c.end():
		return h, refuse(ReasonMalformed, "header is not JSON")
	case err != nil:
		return h, err
	case h.alg == "":
		return h, refuse(ReasonAlgorithm, "alg is none of HS256, RS256, ES256 and EdDSA")
	}
	return h, nil
}

// validKeyID bounds what is looked up and what may ask for a fetch of the key set: printable ASCII
// without quotes, backslashes and "..". An id is only ever looked up in memory; that none looks like a
// way out of a directory is for whoever reads it in a log. A slash alone is part of base64.
func validKeyID[T string | []byte](id T) bool {
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
func accessType(typ []byte) bool {
	const prefix = "application/"
	if len(typ) > len(prefix) && equalFold(typ[:len(prefix)], prefix) {
		typ = typ[len(prefix):]
	}
	return equalFold(typ, "JWT") || equalFold(typ, "at+jwt")
}

// equalFold compares ASCII without regard to case.
func equalFold(a []byte, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if lower(a[i]) != lower(b[i]) {
			return false
		}
	}
	return true
}

func lower(b byte) byte {
	if 'A' <= b && b <= 'Z' {
		return b + 'a' - 'A'
	}
	return b
}
