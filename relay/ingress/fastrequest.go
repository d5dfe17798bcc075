package ingress

import (
	"bytes"
	"strconv"

	"weir/relay/httpcheck"
	"weir/relay/hub"
)

// fastRequest is a publication over HTTP, or a request of a FastRoute, in the one form that backends send: a POST with a length, and with
// header lines that say nothing about how the request is to be read. Everything else is not eligible, and the HTTP server's:
// what could be read in two ways never gets here.
type fastRequest struct {
	key   []byte // of Authorization: Bearer; nil: none
	host  []byte
	kind  []byte // Content-Type
	trace []byte // traceparent; nil: none
	body  []byte
	size  int // of the whole request; 0: not known yet

	brief bool // of lines, only errors are answered

	routes []FastRoute // set once
	route  *FastRoute  // whose request it is; nil: a publication
	target []byte      // its address
}

// FastRoute is what a system has served at event loops beside publications: POST requests to addresses that begin with Prefix.
type FastRoute struct {
	Prefix string

	// Serve answers a request with JSON, as the same request is answered by the HTTP server. It is called on an event loop, so that it
	// must be quick and wait for nothing, and keeps nothing of its arguments. Requests for which it returns false are served by the HTTP
	// server instead: it has done nothing then. Those of a cluster's nodes all are.
	Serve func(target, body []byte) (status int, out []byte, ok bool)
}

// form says what bytes are.
type form int

const (
	complete   form = iota // a fast request, and perhaps more behind it
	incomplete             // the beginning of what may become one
	notEligible
	tooManyPending // a whole one that is answered when its connection has got what it is owed
	needsLoad      // one whose channel is to be loaded first
	retryLater     // one that is answered when its event loop owes less
)

// A fast request begins with one of these.
const (
	fastStart  = "POST " + PublishPath + " HTTP/1.1\r\n"
	briefStart = "POST " + PublishPath + "?" + hub.AnswersErrors + " HTTP/1.1\r\n"
)

// startOf reads the line that b begins with, and returns how long it is.
func (p *fastRequest) startOf(b []byte) (int, form) {
	start := fastStart
	if at := len("POST " + PublishPath); len(b) > at && b[at] == '?' {
		start, p.brief = briefStart, true
	}
	n := min(len(b), len(start))
	switch {
	case string(b[:n]) != start[:n]:
		return p.routeOf(b)
	case n < len(start):
		return 0, incomplete
	}
	return n, complete
}

// routeOf is startOf for what is no publication.
func (p *fastRequest) routeOf(b []byte) (int, form) {
	const method, version = "POST ", " HTTP/1.1\r\n"
	if n := min(len(b), len(method)); string(b[:n]) != method[:n] {
		return 0, notEligible
	}
	for i := range p.routes {
		have, prefix := b[min(len(b), len(method)):], p.routes[i].Prefix
		switch n := min(len(have), len(prefix)); {
		case string(have[:n]) != prefix[:n]:
			continue
		case n < len(prefix):
			return 0, incomplete
		}
		end := bytes.IndexByte(have, '\n')
		if end < 0 && len(b) < httpcheck.MaxHeaderBytes {
			return 0, incomplete
		}
		target, ok := bytes.CutSuffix(have[:end+1], []byte(version))
		if !ok || !httpcheck.IsVisible(target) || bytes.ContainsAny(target, " \t#") {
			return 0, notEligible
		}
		p.route, p.target = &p.routes[i], target
		return len(method) + end + 1, complete
	}
	return 0, notEligible
}

// maxFast bounds a fast request. Larger ones would keep the others of their event loop waiting.
const maxFast = 64 << 10

// read reads the request that b begins with. What it finds aliases b.
func (p *fastRequest) read(b []byte) form {
	*p = fastRequest{routes: p.routes}
	n, how := p.startOf(b)
	if how != complete {
		return how
	}
	at, how := p.head(b, n)
	if how != complete {
		return how
	}
	if len(b) < p.size {
		return incomplete
	}
	p.body = b[at:p.size]
	return complete
}

// The header lines that stand in a fast request at most once.
const (
	hasHost = 1 << iota
	hasLength
	hasType
	hasKey
	hasConnection
)

// head reads the header lines from at on. It returns where the body begins.
func (p *fastRequest) head(b []byte, at int) (int, form) {
	seen, length := 0, 0
	for lines := 0; ; lines++ {
		end := bytes.IndexByte(b[at:], '\n')
		if end < 0 {
			if len(b) >= httpcheck.MaxHeaderBytes {
				return 0, notEligible
			}
			return 0, incomplete
		}
		if end == 0 || b[at+end-1] != '\r' {
			return 0, notEligible
		}
		line := b[at : at+end-1]
		at += end + 1
		if len(line) == 0 {
			break
		}
		colon := bytes.IndexByte(line, ':')
		if lines == httpcheck.MaxHeaderLines || at > httpcheck.MaxHeaderBytes || colon <= 0 || !httpcheck.IsVisible(line[colon+1:]) {
			return 0, notEligible
		}
		value, bit := bytes.Trim(line[colon+1:], " \t"), 0
		var lower [maxFastName]byte
		switch string(hub.Lowercase(lower[:], line[:colon])) {
		case "host":
			bit, p.host = hasHost, value
			if !httpcheck.IsHost(value) {
				return 0, notEligible
			}
		case "content-length":
			var ok bool
			if length, ok = strictLength(value); !ok {
				return 0, notEligible
			}
			bit = hasLength
		case "content-type":
			bit, p.kind = hasType, value
		case "authorization":
			bit = hasKey
			p.key = Credentials(value)
		case "traceparent":
			p.trace = value
		case "connection":
			bit = hasConnection
			if !bytes.EqualFold(value, []byte("keep-alive")) {
				return 0, notEligible
			}
		case "user-agent", "accept", "accept-encoding", "accept-language", "accept-charset", "cache-control", "pragma", "priority", "dnt",
			"sec-fetch-mode", "sec-fetch-site", "sec-fetch-dest", "tracestate", "baggage", "x-pusher-library", "x-request-id", "x-correlation-id",
			"forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-port", "x-forwarded-proto", "x-real-ip", "via":
		default:
			return 0, notEligible
		}
		if seen&bit != 0 {
			return 0, notEligible
		}
		seen |= bit
	}
	if seen&hasHost == 0 || seen&hasLength == 0 || at > httpcheck.MaxHeaderBytes || at+length > maxFast {
		return 0, notEligible
	}
	p.size = at + length
	return at, complete
}

// maxFastName is longer than any name of a header line that may stand in a fast request.
const maxFastName = 24

// strictLength is a Content-Length that can be read in one way only.
func strictLength(value []byte) (int, bool) {
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
