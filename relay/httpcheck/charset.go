package httpcheck

import (
	"bytes"
	"encoding/binary"
	"net/netip"
)

// What is proper in a request, for both who read them: the HTTP server and the event loops. What only one of them let pass
// would be a way around the other.

// charset is a set of ASCII characters.
type charset [2]uint64

func setOf(chars string) (s charset) {
	for _, c := range []byte(chars) {
		s[c>>6] |= 1 << (c & 63)
	}
	return s
}

func (s *charset) has(c byte) bool { return c < 128 && s[c>>6]>>(c&63)&1 != 0 }

const (
	alphanumeric = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	unreserved   = alphanumeric + "-._~"     // RFC 3986, section 2.3
	subDelims    = "!$&'()*+,;="             // RFC 3986, section 2.2
	pathExtra    = ":@/" + "|[]^"            // section 3.3, and what browsers leave as it is there (the URL standard)
	queryExtra   = pathExtra + "?" + "{}`\\" // section 3.4, and the same
)

var (
	tokenChars = setOf(alphanumeric + "!#$%&'*+-.^_`|~") // RFC 9110, section 5.6.2
	hostChars  = setOf(unreserved + subDelims)           // RFC 3986, section 3.2.2
	pathChars  = setOf(unreserved + subDelims + pathExtra)
	queryChars = setOf(unreserved + subDelims + queryExtra + "%") // a bad escape there is the reader's
	hexDigits  = setOf("0123456789abcdefABCDEF")
)

// IsToken reports whether b is a token, such as the name of a header line.
func IsToken(b []byte) bool {
	for _, c := range b {
		if !tokenChars.has(c) {
			return false
		}
	}
	return len(b) > 0
}

// properValue reports whether b may be the value of a header line: no control characters but tabs (RFC 9110, section 5.5).
func properValue(b []byte) bool {
	if IsVisible(b) {
		return true
	}
	for _, c := range b {
		if c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

// properEscapes reports whether b holds but characters of s, and escapes.
func properEscapes(b []byte, s *charset) bool {
	for i := 0; i < len(b); i++ {
		switch {
		case s.has(b[i]):
		case b[i] == '%' && i+2 < len(b) && hexDigits.has(b[i+1]) && hexDigits.has(b[i+2]):
			i += 2
		default:
			return false
		}
	}
	return true
}

// IsHost reports whether b may be the value of Host: a host and perhaps a port (RFC 9110, sections 4.2.1 and 7.2;
// RFC 3986, section 3.2.2). Only the network of its sender can mean a zone, so there is none.
func IsHost(b []byte) bool {
	host, port := b, []byte(nil)
	if len(b) > 0 && b[0] == '[' {
		end := bytes.IndexByte(b, ']')
		if end < 0 {
			return false
		}
		a, err := netip.ParseAddr(string(b[1:end]))
		if err != nil || !a.Is6() || a.Zone() != "" {
			return false
		}
		if port = b[end+1:]; len(port) == 0 {
			return true
		}
		if port[0] != ':' {
			return false
		}
		port = port[1:]
	} else {
		if colon := bytes.IndexByte(b, ':'); colon >= 0 {
			host, port = b[:colon], b[colon+1:]
		}
		if len(host) == 0 || !properEscapes(host, &hostChars) {
			return false
		}
	}
	n := 0
	for _, c := range port {
		if n = 10*n + int(c-'0'); c < '0' || c > '9' || n > 65535 {
			return false
		}
	}
	return true
}

// properTarget reports whether b may be the target of a request here: a path and perhaps a query (RFC 9112, section 3.2.1).
// A fragment never leaves a client.
func properTarget(b []byte) bool {
	path, query, _ := bytes.Cut(b, []byte("?"))
	if len(path) == 0 || path[0] != '/' || !properEscapes(path, &pathChars) {
		return false
	}
	for _, c := range query {
		if !queryChars.has(c) {
			return false
		}
	}
	return true
}

// IsVisible reports whether b holds nothing but printable ASCII, spaces and tabs.
func IsVisible(b []byte) bool {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	for len(b) >= 8 {
		w := binary.LittleEndian.Uint64(b)
		if ((w-ones*' ')|w|(w+ones))&highs != 0 { // below a space, beyond ASCII, or DEL
			break
		}
		b = b[8:]
	}
	for _, c := range b {
		if c < ' ' && c != '\t' || c > '~' {
			return false
		}
	}
	return true
}
