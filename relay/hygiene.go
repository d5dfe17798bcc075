package relay

import (
	"bytes"

	"github.com/valyala/fasthttp"
)

// maxHeaderLines and maxURI bound a request beside the size of the server's read buffer.
const (
	maxHeaderBytes = 8 << 10
	maxHeaderLines = 64
	maxURI         = 4 << 10
)

// hygiene refuses requests that two HTTP implementations might read differently, which the server's
// parser lets pass: RFC 9112, sections 2.2, 3.2, 5.1, 5.2 and 6.1. A request that is refused here also
// closes its connection, so that nothing smuggled behind it is read as the next.
func hygiene(ctx *fasthttp.RequestCtx) *fault {
	h := &ctx.Request.Header
	modern := string(h.Protocol()) == "HTTP/1.1"
	if !modern && string(h.Protocol()) != "HTTP/1.0" {
		return faultRequest.with("only HTTP/1.1 and HTTP/1.0 are spoken here")
	}
	if len(h.RequestURI()) > maxURI {
		return faultURI
	}
	if len(h.RequestURI()) == 0 || h.RequestURI()[0] != '/' {
		return faultRequest.with("only paths are requested here") // and Host alone says where
	}
	var lines, hosts, lengths, codings int
	var upgrade, body bool
	raw := h.RawHeaders()
	for len(raw) > 0 {
		end := bytes.IndexByte(raw, '\n')
		if end < 0 {
			end = len(raw) // the last line may come without its end
		} else if end == 0 || raw[end-1] != '\r' {
			return faultRequest.with("a line does not end in CR LF")
		}
		line := raw[:end]
		raw = raw[min(end+1, len(raw)):]
		if len(bytes.TrimRight(line, "\r")) == 0 {
			continue
		}
		if line[0] == ' ' || line[0] == '\t' {
			return faultRequest.with("folded header lines are not accepted")
		}
		if lines++; lines > maxHeaderLines {
			return faultHeaders
		}
		colon := bytes.IndexByte(line, ':')
		if colon <= 0 || bytes.IndexByte(line[:colon], ' ') >= 0 { // the parser refuses what else is no token
			return faultRequest.with("a header line has no proper name")
		}
		switch name := line[:colon]; {
		case colon == 4 && bytes.EqualFold(name, []byte("host")):
			hosts++
			if bytes.ContainsAny(line[colon:], "@/") {
				return faultRequest.with("Host is not a host")
			}
		case colon == 14 && bytes.EqualFold(name, []byte("content-length")):
			lengths++
			body = body || string(bytes.TrimSpace(line[colon+1:])) != "0"
		case colon == 17 && bytes.EqualFold(name, []byte("transfer-encoding")):
			codings++
			if !modern || !bytes.EqualFold(bytes.TrimSpace(line[colon+1:]), []byte("chunked")) {
				return faultRequest.with("this Transfer-Encoding is not accepted")
			}
			body = true
			// The parser is lax about what stands between chunks and behind the last one, so nothing behind
			// a chunked body is read as a request.
			ctx.SetConnectionClose()
		case colon == 7 && bytes.EqualFold(name, []byte("upgrade")):
			upgrade = upgrade || hasToken(line[colon+1:], "websocket")
		}
	}
	switch {
	case modern && hosts != 1 || hosts > 1:
		return faultRequest.with("exactly one Host is needed")
	case lengths+codings > 1:
		return faultRequest.with("more than one length of the body is given")
	case upgrade && (body || !modern):
		return faultRequest.with("an upgrade has no body and is asked for in HTTP/1.1")
	}
	return nil
}

var faultRequest = &fault{400, "bad_request", "the request is not proper HTTP", "", false}
