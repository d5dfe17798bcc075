package httpcheck

import (
	"bytes"

	"github.com/valyala/fasthttp"

	"weir/relay/problem"
	"weir/relay/websocket"
)

// MaxHeaderLines and MaxURI bound a request beside the size of the server's read buffer.
const (
	MaxHeaderBytes = 8 << 10
	MaxHeaderLines = 64
	MaxURI         = 4 << 10
)

// Request refuses requests that are improper, or that two HTTP implementations might read differently, which the server's
// parser lets pass: RFC 9112, sections 2.2, 3.2, 5.1, 5.2 and 6.1; RFC 9110, sections 5.5 and 7.2. With last, nothing
// behind the request may be read as the next: it was refused, or it has chunks, and the parser is lax about what stands
// between those and behind the last one.
func Request(ctx *fasthttp.RequestCtx) (last bool, bad *problem.Error) {
	chunked, bad := inspect(&ctx.Request.Header)
	return chunked || bad != nil, bad
}

func inspect(h *fasthttp.RequestHeader) (chunked bool, bad *problem.Error) {
	modern := string(h.Protocol()) == "HTTP/1.1"
	if !modern && string(h.Protocol()) != "HTTP/1.0" {
		return false, problem.BadRequest.With("only HTTP/1.1 and HTTP/1.0 are supported")
	}
	target := h.RequestURI()
	if len(target) > MaxURI {
		return false, problem.URITooLong
	}
	if len(target) == 0 || target[0] != '/' {
		return false, problem.BadRequest.With("the request target must be a path") // and Host alone says where
	}
	if !properTarget(target) {
		return false, problem.BadRequest.With("the address has a character that must be percent-encoded, a fragment, or a bad escape in its path")
	}
	var x lines
	raw := h.RawHeaders()
	for len(raw) > 0 {
		end := bytes.IndexByte(raw, '\n')
		if end < 0 {
			end = len(raw) // the last line may come without its end
		} else if end == 0 || raw[end-1] != '\r' {
			return false, problem.BadRequest.With("a line does not end in CR LF")
		}
		line := bytes.TrimSuffix(raw[:end], []byte("\r"))
		raw = raw[min(end+1, len(raw)):]
		if len(line) == 0 {
			continue
		}
		if bad := x.take(line); bad != nil {
			return false, bad
		}
	}
	chunked = x.codings > 0
	switch {
	case modern && x.hosts != 1 || x.hosts > 1:
		return chunked, problem.BadRequest.With("exactly one Host is required")
	case x.lengths+x.codings > 1:
		return chunked, problem.BadRequest.With("more than one length of the body is given")
	case chunked && !modern:
		return chunked, problem.BadRequest.With("Transfer-Encoding is not for HTTP/1.0")
	case x.keys > 1 || x.types > 1:
		return chunked, problem.BadRequest.With("duplicate header Authorization or Content-Type")
	case x.upgrade && (x.body || !modern):
		return chunked, problem.BadRequest.With("an upgrade must be an HTTP/1.1 request without a body")
	}
	return chunked, nil
}

// lines is what the header lines of a request say.
type lines struct {
	count, hosts, lengths, codings, keys, types int
	upgrade, body                               bool
}

// take looks at one line.
func (x *lines) take(line []byte) *problem.Error {
	if line[0] == ' ' || line[0] == '\t' {
		return problem.BadRequest.With("folded header lines are not accepted")
	}
	if x.count++; x.count > MaxHeaderLines {
		return problem.HeadersTooLarge
	}
	colon := bytes.IndexByte(line, ':')
	if colon < 0 || !IsToken(line[:colon]) {
		return problem.BadRequest.With("a header line has an invalid name")
	}
	if !properValue(line[colon+1:]) {
		return problem.BadRequest.With("a header line has a control character")
	}
	value := bytes.Trim(line[colon+1:], " \t")
	switch name := line[:colon]; {
	case colon == 4 && bytes.EqualFold(name, []byte("host")):
		if x.hosts++; !IsHost(value) {
			return problem.BadRequest.With("Host is not a valid host")
		}
	case colon == 12 && bytes.EqualFold(name, []byte("content-type")):
		x.types++
	case colon == 13 && bytes.EqualFold(name, []byte("authorization")):
		x.keys++
	case colon == 14 && bytes.EqualFold(name, []byte("content-length")):
		x.lengths++
		x.body = x.body || string(value) != "0"
	case colon == 17 && bytes.EqualFold(name, []byte("transfer-encoding")):
		if x.codings++; !bytes.EqualFold(value, []byte("chunked")) {
			return problem.BadRequest.With("this Transfer-Encoding is not accepted")
		}
		x.body = true
	case colon == 7 && bytes.EqualFold(name, []byte("upgrade")):
		x.upgrade = x.upgrade || websocket.HasToken(value, "websocket")
	}
	return nil
}
