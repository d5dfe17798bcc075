package relay

import (
	"bytes"
	"encoding/binary"
	"strconv"

	"weir/relay/hub"
)

// plain is a publication over HTTP in the one form that backends send: a POST with a length, and with header
// lines that say nothing about how the request is to be read. Everything else is foreign, and the HTTP server's:
// what could be read in two ways never gets here.
type plain struct {
	key  []byte // of Authorization: Bearer; nil: none
	host []byte
	kind []byte // Content-Type
	body []byte
	size int // of the whole request; 0: not known yet
}

// form says what bytes are.
type form int

const (
	whole   form = iota // a plain request, and perhaps more behind it
	partial             // the beginning of what may become one
	foreign
	crowded // a whole one that is answered when its guest has got what it is owed
	absent  // one whose channel is to be loaded first
	later   // one that is answered when its desk owes less
)

// plainStart begins every plain request.
const plainStart = "POST " + publishPath + " HTTP/1.1\r\n"

// maxPlain bounds a plain request. Larger ones would keep the others of their desk waiting.
const maxPlain = 64 << 10

// read reads the request that b begins with. What it finds aliases b.
func (p *plain) read(b []byte) form {
	*p = plain{}
	n := min(len(b), len(plainStart))
	switch {
	case string(b[:n]) != plainStart[:n]:
		return foreign
	case n < len(plainStart):
		return partial
	}
	at, how := p.head(b, n)
	if how != whole {
		return how
	}
	if len(b) < p.size {
		return partial
	}
	p.body = b[at:p.size]
	return whole
}

// The header lines that stand in a plain request at most once.
const (
	hasHost = 1 << iota
	hasLength
	hasType
	hasKey
	hasConnection
)

// head reads the header lines from at on. It answers where the body begins.
func (p *plain) head(b []byte, at int) (int, form) {
	seen, length := 0, 0
	for lines := 0; ; lines++ {
		end := bytes.IndexByte(b[at:], '\n')
		if end < 0 {
			if len(b) >= maxHeaderBytes {
				return 0, foreign
			}
			return 0, partial
		}
		if end == 0 || b[at+end-1] != '\r' {
			return 0, foreign
		}
		line := b[at : at+end-1]
		at += end + 1
		if len(line) == 0 {
			break
		}
		colon := bytes.IndexByte(line, ':')
		if lines == maxHeaderLines || at > maxHeaderBytes || colon <= 0 || !visible(line[colon+1:]) {
			return 0, foreign
		}
		value, bit := bytes.Trim(line[colon+1:], " \t"), 0
		var lower [maxPlainName]byte
		switch string(hub.Lowercase(lower[:], line[:colon])) {
		case "host":
			bit, p.host = hasHost, value
			if !properHost(value) {
				return 0, foreign
			}
		case "content-length":
			var ok bool
			if length, ok = plainLength(value); !ok {
				return 0, foreign
			}
			bit = hasLength
		case "content-type":
			bit, p.kind = hasType, value
		case "authorization":
			bit = hasKey
			p.key = credentials(value)
		case "connection":
			bit = hasConnection
			if !bytes.EqualFold(value, []byte("keep-alive")) {
				return 0, foreign
			}
		case "user-agent", "accept", "accept-encoding", "accept-language", "accept-charset", "cache-control", "pragma", "priority", "dnt",
			"sec-fetch-mode", "sec-fetch-site", "sec-fetch-dest", "traceparent", "tracestate", "baggage", "x-request-id", "x-correlation-id",
			"forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-port", "x-forwarded-proto", "x-real-ip", "via":
		default:
			return 0, foreign
		}
		if seen&bit != 0 {
			return 0, foreign
		}
		seen |= bit
	}
	if seen&hasHost == 0 || seen&hasLength == 0 || at > maxHeaderBytes || at+length > maxPlain {
		return 0, foreign
	}
	p.size = at + length
	return at, whole
}

// maxPlainName is longer than any name of a header line that may stand in a plain request.
const maxPlainName = 24

// plainLength is a Content-Length that can be read in one way only.
func plainLength(value []byte) (int, bool) {
	if len(value) == 0 || len(value) > 6 || len(value) > 1 && value[0] == '0' {
		return 0, false
	}
	for _, c := range value {
		if c < '0' || c > '9' {
			return 0, false
		}
	}
	n, err := strconv.Atoi(string(value))
	return n, err == nil
}

// visible says that b holds nothing but printable ASCII, spaces and tabs.
func visible(b []byte) bool {
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
