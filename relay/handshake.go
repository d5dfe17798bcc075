package relay

import (
	"bytes"
	"crypto/sha1" //nolint:gosec // RFC 6455 asks for it; nothing rests on its strength
	"encoding/base64"
	"net/http"
	"strings"

	"github.com/lxzan/gws"
	"github.com/valyala/fasthttp"
)

// The frame parser only comes with its own handshake, which is laxer than RFC 6455: headers are matched
// as substrings, short keys pass, Origin is not looked at. So the relay does the handshake itself, gives
// the parser a request that it can not refuse and throws its answer away.

const webSocketGUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11" // RFC 6455, section 1.3

// subprotocol is what the relay answers to clients that offer it.
const subprotocol = "weir"

// offer is what a client's upgrade request asks for.
type offer struct {
	key      []byte // Sec-WebSocket-Key
	protocol bool   // it offers the subprotocol
	token    string // carried as a subprotocol; "" none
	deflate  bool   // it offers permessage-deflate with parameters that can be met
}

// readOffer checks an upgrade request as RFC 6455, section 4.2.1 says.
func readOffer(h *fasthttp.RequestHeader) (offer, *fault) {
	var o offer
	if !h.IsGet() {
		return o, faultMethod
	}
	if !hasToken(h.Peek("Upgrade"), "websocket") || !hasToken(h.Peek("Connection"), "upgrade") {
		return o, faultField.with("this address takes WebSocket upgrades: Upgrade: websocket and Connection: Upgrade are missing")
	}
	if string(h.Peek("Sec-WebSocket-Version")) != "13" {
		return o, faultVersion
	}
	o.key = h.Peek("Sec-WebSocket-Key")
	if raw, err := base64.StdEncoding.DecodeString(string(o.key)); err != nil || len(raw) != 16 {
		return o, faultField.with("Sec-WebSocket-Key must be 16 bytes in base64")
	}
	for _, line := range h.PeekAll("Sec-WebSocket-Protocol") {
		for p := range strings.SplitSeq(string(line), ",") {
			p = strings.TrimSpace(p)
			if p == subprotocol {
				o.protocol = true
			}
			if t, ok := strings.CutPrefix(p, "token."); ok {
				o.token = t
			}
		}
	}
	for _, line := range h.PeekAll("Sec-WebSocket-Extensions") {
		o.deflate = o.deflate || offersDeflate(string(line))
	}
	return o, nil
}

// faultVersion asks for the version that is spoken here (RFC 6455, section 4.4).
var faultVersion = &fault{426, "upgrade_required", "Sec-WebSocket-Version must be 13", false}

// hasToken says whether a comma separated header holds a token, whatever its case.
func hasToken(header []byte, token string) bool {
	for part := range bytes.SplitSeq(header, []byte(",")) {
		if strings.EqualFold(string(bytes.TrimSpace(part)), token) {
			return true
		}
	}
	return false
}

// offersDeflate says whether one of the offers in a Sec-WebSocket-Extensions header is permessage-deflate
// with parameters that the relay can meet (RFC 7692, section 7.1). It takes no smaller server window:
// frames are compressed once for all.
func offersDeflate(header string) bool {
	for ext := range strings.SplitSeq(header, ",") {
		params := strings.Split(ext, ";")
		if strings.TrimSpace(params[0]) != "permessage-deflate" {
			continue
		}
		good := true
		for _, p := range params[1:] {
			name, value, _ := strings.Cut(strings.TrimSpace(p), "=")
			switch name {
			case "server_no_context_takeover", "client_no_context_takeover", "client_max_window_bits":
			case "server_max_window_bits":
				good = good && strings.Trim(value, `"`) == "15"
			default:
				good = false
			}
		}
		if good {
			return true
		}
	}
	return false
}

// appendSwitch appends the answer to a good upgrade request.
func (o *offer) appendSwitch(dst []byte, deflate bool) []byte {
	sum := sha1.Sum(append(append(make([]byte, 0, 60), o.key...), webSocketGUID...)) //nolint:gosec // see above
	dst = append(dst, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "...)
	dst = base64.StdEncoding.AppendEncode(dst, sum[:])
	if o.protocol {
		dst = append(dst, "\r\nSec-WebSocket-Protocol: "+subprotocol...)
	}
	if deflate {
		dst = append(dst, "\r\nSec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover"...)
	}
	return append(dst, "\r\n\r\n"...)
}

// parserRequest is the request that the frame parser is shown. It is only read.
func parserRequest(deflate bool) *http.Request {
	h := http.Header{
		"Connection":            {"Upgrade"},
		"Upgrade":               {"websocket"},
		"Sec-Websocket-Version": {"13"},
		"Sec-Websocket-Key":     {"AAAAAAAAAAAAAAAAAAAAAA=="},
	}
	if deflate {
		h["Sec-Websocket-Extensions"] = []string{"permessage-deflate; server_no_context_takeover; client_no_context_takeover"}
	}
	return &http.Request{Method: http.MethodGet, Header: h}
}

// noStorage is the session storage of the parser, which would otherwise make a map for each connection.
type noStorage struct{}

func (noStorage) Len() int                     { return 0 }
func (noStorage) Load(string) (any, bool)      { return nil, false }
func (noStorage) Delete(string)                {}
func (noStorage) Store(string, any)            {}
func (noStorage) Range(func(string, any) bool) {}

// newParser makes the frame parser for a limit on messages.
func newParser(cfg *Config) *gws.Upgrader {
	return gws.NewUpgrader(parserEvents{}, &gws.ServerOption{
		ParallelEnabled:    false, // in parallel, messages of one client overtake each other
		ParallelGolimit:    1,
		CheckUtf8Enabled:   true,
		ReadMaxPayloadSize: int(cfg.Limit.Message),
		ReadBufferSize:     readBuffer,
		NewSession:         func() gws.SessionStorage { return noStorage{} },
		PermessageDeflate:  gws.PermessageDeflate{Enabled: cfg.Compression, PoolSize: 4},
		// Panics are ours to handle: the parser would guard callbacks only.
		Recovery: func(gws.Logger) {},
	})
}

// readBuffer holds what a session reads ahead: few clients send much, all of them pay for it.
const readBuffer = 128
