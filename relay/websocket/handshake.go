package websocket

import (
	"bytes"
	"crypto/sha1" //nolint:gosec // RFC 6455 asks for it; nothing rests on its strength
	"encoding/base64"
	"slices"
	"strings"

	"weir/relay/problem"

	"github.com/valyala/fasthttp"
)

const webSocketGUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11" // RFC 6455, section 1.3

// subprotocol is what is answered to clients that offer it.
const subprotocol = "weir"

// Offer is what a client's upgrade request asks for.
type Offer struct {
	Protocol bool   // it offers the subprotocol
	Token    string // carried as a subprotocol; "" none
	Deflate  bool   // it offers permessage-deflate with parameters that can be met
	Select   string // a subprotocol to answer, in the place of the relay's own, which was offered; "" none

	key    []byte // Sec-WebSocket-Key; valid as long as the request
	window bool   // with Deflate: wants to be told the size of the server's window
}

// ReadOffer checks an upgrade request as RFC 6455, section 4.2.1 says. Errors are told as they are.
func ReadOffer(h *fasthttp.RequestHeader) (Offer, *problem.Error) {
	var o Offer
	if !h.IsGet() && !h.IsHead() {
		return o, problem.MethodNotAllowed
	}
	if h.IsHead() || !anyToken(h.PeekAll("Upgrade"), "websocket") || !anyToken(h.PeekAll("Connection"), "upgrade") {
		return o, problem.BadField.With("this address is for WebSockets: the headers Upgrade: websocket and Connection: Upgrade are required")
	}
	// Of a line that is there twice, a proxy may have gone by the other one. (PeekAll reuses what it returns.)
	versions := h.PeekAll("Sec-WebSocket-Version")
	if len(versions) == 0 || len(versions) == 1 && string(versions[0]) != "13" {
		return o, problem.UpgradeRequired
	}
	many := len(versions) > 1
	keys := h.PeekAll("Sec-WebSocket-Key")
	if many || len(keys) > 1 {
		return o, problem.BadField.With("duplicate header Sec-WebSocket-Key or Sec-WebSocket-Version")
	}
	if len(keys) == 1 {
		o.key = keys[0]
	}
	var raw [18]byte
	if n, err := base64.StdEncoding.Decode(raw[:], o.key[:min(len(o.key), 24)]); err != nil || n != 16 || len(o.key) != 24 {
		return o, problem.BadField.With("Sec-WebSocket-Key must be 16 bytes in base64")
	}
	for _, line := range h.PeekAll("Sec-WebSocket-Protocol") {
		for p := range bytes.SplitSeq(line, []byte(",")) {
			p = bytes.TrimSpace(p)
			if string(p) == subprotocol {
				o.Protocol = true
			}
			if t, ok := bytes.CutPrefix(p, []byte("token.")); ok {
				o.Token = string(t)
			}
		}
	}
	for _, line := range h.PeekAll("Sec-WebSocket-Extensions") {
		if !o.Deflate {
			o.Deflate, o.window = offersDeflate(string(line))
		}
	}
	return o, nil
}

// anyToken is HasToken for a header that may stand on several lines (RFC 9110, section 5.3).
func anyToken(lines [][]byte, token string) bool {
	return slices.ContainsFunc(lines, func(line []byte) bool { return HasToken(line, token) })
}

// HasToken reports whether a comma separated header holds a token, whatever its case.
func HasToken(header []byte, token string) bool {
	for part := range bytes.SplitSeq(header, []byte(",")) {
		if strings.EqualFold(string(bytes.TrimSpace(part)), token) {
			return true
		}
	}
	return false
}

// offersDeflate reports whether one of the offers in a Sec-WebSocket-Extensions header is permessage-deflate
// with parameters that can be met here (RFC 7692, section 7.1), and whether the first such names the server's window.
// An offer that wants a smaller one than the largest is declined: frames are compressed once, for all who get them.
func offersDeflate(header string) (offered, window bool) {
	for ext := range strings.SplitSeq(header, ",") {
		name, params, _ := strings.Cut(ext, ";")
		if strings.TrimSpace(name) == "permessage-deflate" && goodParams(params) {
			return true, strings.Contains(params, "server_max_window_bits")
		}
	}
	return false, false
}

// goodParams reports whether the parameters of an offer are what RFC 7692, section 7.1, allows and the relay
// can meet; others must be declined.
func goodParams(params string) bool {
	if strings.TrimSpace(params) == "" {
		return true
	}
	seen := make([]string, 0, 4) // each of the four once
	for p := range strings.SplitSeq(params, ";") {
		name, value, valued := strings.Cut(strings.TrimSpace(p), "=")
		if slices.Contains(seen, name) {
			return false
		}
		switch name {
		case "server_no_context_takeover", "client_no_context_takeover":
			if valued {
				return false
			}
		case "server_max_window_bits":
			if strings.Trim(value, `"`) != largestWindow {
				return false
			}
		case "client_max_window_bits":
			if bits := strings.Trim(value, `"`); valued && !slices.Contains(windowBits, bits) {
				return false
			}
		default:
			return false
		}
		seen = append(seen, name)
	}
	return true
}

// windowBits are the sizes of a window that an offer may name. The relay's own is the largest.
var windowBits = []string{"8", "9", "10", "11", "12", "13", "14", largestWindow}

const largestWindow = "15"

// AppendSwitch appends the answer to a good upgrade request, with permessage-deflate if deflate is true.
func (o *Offer) AppendSwitch(dst []byte, deflate bool) []byte {
	sum := sha1.Sum(append(append(make([]byte, 0, 60), o.key...), webSocketGUID...)) //nolint:gosec // see above
	dst = append(dst, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "...)
	dst = base64.StdEncoding.AppendEncode(dst, sum[:])
	switch {
	case o.Select != "":
		dst = append(append(dst, "\r\nSec-WebSocket-Protocol: "...), o.Select...)
	case o.Protocol:
		dst = append(dst, "\r\nSec-WebSocket-Protocol: "+subprotocol...)
	}
	if deflate {
		dst = append(dst, "\r\nSec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover"...)
		if o.window {
			dst = append(dst, "; server_max_window_bits="+largestWindow...)
		}
	}
	return append(dst, "\r\n\r\n"...)
}
