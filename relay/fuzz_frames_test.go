package relay

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"io"
	"testing"
	"unicode/utf8"

	"weir/internal/wire"
)

// hostileFrames are what fuzzing begins with.
func hostileFrames(add func(b []byte)) {
	add(nil)
	add(textFrame(`{"type":"ping","id":1}`))
	add(append(clientFrame(wire.OpText, []byte(`{"type":`)), clientFrame(fin, []byte(`"ping"}`))...))
	add(append(clientFrame(wire.OpText, []byte(`[`)), clientFrame(fin|wire.OpPing, []byte("x"))...))
	add(clientFrame(fin|wire.OpClose, closePayload(1000)))
	add(clientFrame(fin|wire.OpClose, []byte{3}))
	add(clientFrame(fin|rsv1|wire.OpText, []byte{0xaa, 0x56, 0x2a, 0xa9, 0x2c, 0x48, 0x55, 0xb2, 0x52, 0x2a, 0xc8, 0xcc, 0x4b, 0x57, 0xaa, 0x05, 0x00}))
	add(clientFrame(fin|wire.OpBinary, []byte("x")))
	add(clientFrame(fin|wire.OpText, []byte("\xff")))
	add([]byte{fin | wire.OpText, masked | 127, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xf1, 0, 0, 0, 0})
	add([]byte{fin | wire.OpText, masked | 127, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 'x'})
	add([]byte{fin | wire.OpText, masked | 126, 0, 5, 0, 0, 0, 0, 'h', 'e', 'l', 'l', 'o'})
	add([]byte{0x81, 0x05, 'h', 'e', 'l', 'l', 'o'})
	add([]byte("GET / HTTP/1.1\r\n\r\n"))
	add(bytes.Repeat(clientFrame(0, nil), 5))
	add(textFrame(`[{"type":"subscribe","channel":"a","position":{"epoch":"e","seq":3}},{"type":"publish","channel":"a","data":{"x":[1,2]}},{"type":"history","id":1,"channel":"a"}]`))
	add(textFrame(`{"type":"publish","channel":"a","group":"g","key":"k","data":"x","ttl":5,"idempotencyKey":"i","op":"set"}`))
	add(textFrame(`{"type":"refresh","id":"r","token":"a.b.c"}`))
}

// FuzzSession sends bytes to a session behind a handshake. Whatever they are, the relay answers with proper
// frames, of which a close is the last, and with proper JSON, and does not panic.
func FuzzSession(f *testing.F) {
	hostileFrames(func(b []byte) { f.Add(b, false); f.Add(b, true) })
	cfg := openConfig()
	cfg.Compression = true
	cfg.Limit.PerUser = 1 << 20
	g := launch(f, cfg)
	token := "Authorization: Bearer " + mint(f, "u1")
	f.Fuzz(func(t *testing.T, b []byte, deflate bool) {
		x := &rig{TB: t, relay: g.relay, public: g.public}
		lines := []string{token}
		if deflate {
			lines = append(lines, offerDeflate)
		}
		nc := x.dial()
		p := x.wsOn(nc, "/ws", lines...)
		go func() { // ends with the connection
			_, _ = nc.Write(b)
			_ = nc.(interface{ CloseWrite() error }).CloseWrite()
		}()
		for {
			first, payload, err := p.frame()
			if err == io.EOF || isReset(err) {
				break
			}
			if err != nil {
				t.Fatalf("%v", err)
			}
			switch first & 0x0f {
			case wire.OpText:
				if !json.Valid(payload) {
					t.Fatalf("not JSON: %q", payload)
				}
			case wire.OpPing, wire.OpPong:
			case wire.OpClose:
				if len(payload) == 1 || !utf8.Valid(payload[min(2, len(payload)):]) {
					t.Fatalf("close %q", payload)
				}
				if len(payload) > 1 && !properClose(int(binary.BigEndian.Uint16(payload))) {
					t.Fatalf("close %d %q", binary.BigEndian.Uint16(payload), payload[2:])
				}
				if n, err := p.r.Read(make([]byte, 1)); n > 0 || err != io.EOF && !isReset(err) {
					t.Fatalf("after a close: %d %v", n, err)
				}
			default:
				t.Fatalf("a frame that begins with %x", first)
			}
			if first&0x0f == wire.OpClose {
				break
			}
		}
		_ = nc.Close()
		if n := g.relay.hub.Counters.Panics.Get(); n != 0 {
			t.Fatalf("%d panics: %s", n, g.logs)
		}
	})
	g.until("all sessions have ended", func() bool { return g.relay.sessions.Len() == 0 })
}

// properClose reports whether the relay may close with a code because of what a client sends.
func properClose(code int) bool {
	switch code {
	case 1000, 1002, 1003, 1007, 1008, 1009, wire.CloseRateLimit, wire.CloseSlow:
		return true
	}
	return code >= 3000 && code < 5000 // a client's own, echoed
}
