package websocket

import (
	"bufio"
	"bytes"
	"crypto/sha1" //nolint:gosec // RFC 6455 asks for it
	"encoding/base64"
	"net/http"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"
)

// FuzzOffer holds what is made of a handshake against a plain reading of it.
func FuzzOffer(f *testing.F) {
	f.Add("dGhlIHNhbXBsZSBub25jZQ==", "13", "websocket", "Upgrade", "weir, token.x", "permessage-deflate; client_max_window_bits")
	f.Add("AAAAAAAAAAAAAAAAAAAAAA==", "13", "WebSocket", "keep-alive, upgrade", "", "permessage-deflate; server_max_window_bits=10, permessage-deflate;client_no_context_takeover")
	f.Add("c2hvcnQ=", "8", "h2c", "close", "weir", "x-permessage-deflate")
	f.Add("dGhlIHNhbXBsZSBub25jZQ==", "13", "websocket", "Upgrade", "weir", "permessage-deflate; client_max_window_bits=\"15\";;")
	f.Fuzz(func(t *testing.T, key, version, upgrade, connection, protocol, extensions string) {
		var h fasthttp.RequestHeader
		raw := "GET /ws HTTP/1.1\r\nHost: x\r\nSec-WebSocket-Key: " + key + "\r\nSec-WebSocket-Version: " + version + "\r\nUpgrade: " + upgrade +
			"\r\nConnection: " + connection + "\r\nSec-WebSocket-Protocol: " + protocol + "\r\nSec-WebSocket-Extensions: " + extensions + "\r\n\r\n"
		if err := h.Read(bufio.NewReader(strings.NewReader(raw))); err != nil {
			return
		}
		o, bad := ReadOffer(&h)
		if bad != nil {
			if bad.Status < 400 || bad.Status > 426 {
				t.Fatalf("%d", bad.Status)
			}
			return
		}
		nonce, err := base64.StdEncoding.DecodeString(string(o.key))
		if err != nil || len(nonce) != 16 {
			t.Fatalf("key %q is accepted", o.key)
		}
		if o.Deflate && !strings.Contains(extensions, "permessage-deflate") || o.Protocol && !strings.Contains(protocol, "weir") || o.Token != "" && !strings.Contains(protocol, "token."+o.Token) {
			t.Fatalf("%+v of %q and %q", o, protocol, extensions)
		}
		for _, deflate := range []bool{false, true} {
			resp, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(o.AppendSwitch(nil, deflate))), nil)
			if err != nil || resp.StatusCode != 101 {
				t.Fatalf("%v %v", resp, err)
			}
			sum := sha1.Sum([]byte(string(o.key) + webSocketGUID)) //nolint:gosec // see above
			want := http.Header{"Upgrade": {"websocket"}, "Connection": {"Upgrade"}, "Sec-Websocket-Accept": {base64.StdEncoding.EncodeToString(sum[:])}}
			if o.Protocol {
				want["Sec-Websocket-Protocol"] = []string{"weir"}
			}
			if deflate {
				agreed := "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
				if o.window {
					agreed += "; server_max_window_bits=15"
				}
				want["Sec-Websocket-Extensions"] = []string{agreed}
			}
			if len(resp.Header) != len(want) {
				t.Fatalf("%v, want %v", resp.Header, want)
			}
			for name, value := range want {
				if got := resp.Header.Values(name); len(got) != 1 || got[0] != value[0] {
					t.Fatalf("%s: %q, want %q", name, got, value)
				}
			}
		}
	})
}
