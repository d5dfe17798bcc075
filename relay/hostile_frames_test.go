package relay

import (
	"bytes"
	"encoding/binary"
	"math"
	"strings"
	"testing"

	"weir/internal/units"
	"weir/internal/wire"
	"weir/relay/config"
)

// framed starts a relay with compression on, and answers how a user connects with and without it.
func framed(t *testing.T, adjust ...func(*config.Config)) (g *rig, connect map[string]func() *wsPeer) {
	t.Helper()
	cfg := openConfig()
	cfg.Compression = true
	for _, f := range adjust {
		f(&cfg)
	}
	g = launch(t, cfg)
	return g, map[string]func() *wsPeer{
		"plain":   func() *wsPeer { return g.ws("u1") },
		"deflate": func() *wsPeer { return g.ws("u1", offerDeflate) },
	}
}

// Broken framing is a protocol error, whether or not compression was negotiated.
func TestBrokenFraming(t *testing.T) {
	t.Parallel()
	g, connect := framed(t)
	hello := []byte(`{"type":"ping"}`)
	begin := clientFrame(wire.OpText, []byte(`{"type":`)) // a first fragment
	unmasked := func(first byte, payload []byte) []byte {
		return append(announce(first, 0, uint64(len(payload))), payload...)
	}
	for _, tt := range []struct {
		name   string
		frames []byte
		code   int
	}{
		{"text unmasked", unmasked(fin|wire.OpText, hello), 1002},
		{"empty text unmasked", unmasked(fin|wire.OpText, nil), 1002},
		{"ping unmasked", unmasked(fin|wire.OpPing, nil), 1002},
		{"close unmasked", unmasked(fin|wire.OpClose, nil), 1002},
		{"RSV2", clientFrame(fin|rsv2|wire.OpText, hello), 1002},
		{"RSV3", clientFrame(fin|rsv3|wire.OpText, hello), 1002},
		{"all RSV", clientFrame(fin|rsv1|rsv2|rsv3|wire.OpText, hello), 1002},
		{"RSV1 on ping", clientFrame(fin|rsv1|wire.OpPing, nil), 1002},
		{"RSV2 on pong", clientFrame(fin|rsv2|wire.OpPong, nil), 1002},
		{"RSV1 on close", clientFrame(fin|rsv1|wire.OpClose, []byte{3, 232}), 1002},
		{"RSV1 on a continuation", append(bytes.Clone(begin), clientFrame(fin|rsv1, []byte(`"ping"}`))...), 1002},
		{"opcode 3", clientFrame(fin|3, hello), 1002},
		{"opcode 4", clientFrame(fin|4, nil), 1002},
		{"opcode 5", clientFrame(fin|5, hello), 1002},
		{"opcode 6", clientFrame(fin|6, hello), 1002},
		{"opcode 7", clientFrame(fin|7, hello), 1002},
		{"opcode 11", clientFrame(fin|11, nil), 1002},
		{"opcode 12", clientFrame(fin|12, hello), 1002},
		{"opcode 13", clientFrame(fin|13, hello), 1002},
		{"opcode 14", clientFrame(fin|14, hello), 1002},
		{"opcode 15", clientFrame(fin|15, hello), 1002},
		{"binary", clientFrame(fin|wire.OpBinary, hello), 1003},
		{"binary in fragments", clientFrame(wire.OpBinary, hello), 1003},
		{"ping of 126 bytes", clientFrame(fin|wire.OpPing, make([]byte, 126)), 1002},
		{"pong of 70 KB", clientFrame(fin|wire.OpPong, make([]byte, 70000)), 1002},
		{"close of 126 bytes", clientFrame(fin|wire.OpClose, append([]byte{3, 232}, make([]byte, 124)...)), 1002},
		{"ping in fragments", clientFrame(wire.OpPing, nil), 1002},
		{"close in fragments", clientFrame(wire.OpClose, []byte{3, 232}), 1002},
		{"continuation of nothing", clientFrame(fin, hello), 1002},
		{"fragment of nothing", clientFrame(0, hello), 1002},
		{"text inside a message", append(bytes.Clone(begin), textFrame(`{}`)...), 1002},
		{"first fragment inside a message", append(bytes.Clone(begin), begin...), 1002},
		{"continuation after the last", append(append(bytes.Clone(begin), clientFrame(fin, []byte(`"ping"}`))...), clientFrame(fin, nil)...), 1002},
		{"HTTP instead of frames", []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), 1002},
		{"TLS instead of frames", []byte{0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3, 1, 2, 3, 4, 5}, 1002},
	} {
		for name, peer := range connect {
			p := peer()
			p.raw(tt.frames)
			if code, reason := p.closed(); code != tt.code {
				t.Errorf("%s, %s: closed with %d %q, want %d", tt.name, name, code, reason, tt.code)
			}
		}
	}
	p := g.ws("u1") // RSV1 is a breach only if compression was not negotiated
	p.raw(clientFrame(fin|rsv1|wire.OpText, deflated(t, hello)))
	p.wantClose(1002)
	p = g.ws("u1", offerDeflate)
	p.raw(clientFrame(fin|rsv1|wire.OpText, deflated(t, hello)))
	p.want("pong")
	p.alive()
}

// What is unusual and allowed must work.
func TestUnusualFraming(t *testing.T) {
	t.Parallel()
	_, connect := framed(t)
	for name, peer := range connect {
		p := peer()
		// Fragments, empty ones among them, with a ping inside the message; the pong comes at once.
		p.raw(clientFrame(wire.OpText, []byte(`{"type":`)), clientFrame(0, nil), clientFrame(fin|wire.OpPing, []byte("now")))
		if first, payload, err := p.frame(); err != nil || first != fin|wire.OpPong || string(payload) != "now" {
			t.Fatalf("%s: %x %q %v, want a pong", name, first, payload, err)
		}
		p.raw(clientFrame(0, []byte(`"ping","id"`)), clientFrame(fin, []byte(`:1}`)))
		if m := p.want("pong"); string(m.ID) != "1" {
			t.Fatalf("%s: %s", name, m.raw)
		}
		// A length in a longer form than needed is not forbidden to clients of old.
		f := []byte{fin | wire.OpText, masked | 127, 0, 0, 0, 0, 0, 0, 0, 15, 0, 0, 0, 0}
		p.raw(append(f, `{"type":"ping"}`...))
		p.want("pong")
		// A byte at a time.
		for _, b := range textFrame(`{"type":"ping","id":2}`) {
			p.raw([]byte{b})
		}
		if m := p.want("pong"); string(m.ID) != "2" {
			t.Fatalf("%s: %s", name, m.raw)
		}
		// Pings of every size that is allowed, and a pong nobody asked for.
		p.raw(clientFrame(fin|wire.OpPong, []byte("unasked")), clientFrame(fin|wire.OpPing, nil))
		if first, payload, err := p.frame(); err != nil || first != fin|wire.OpPong || len(payload) != 0 {
			t.Fatalf("%s: %x %q %v", name, first, payload, err)
		}
		big := bytes.Repeat([]byte("x"), 125)
		p.raw(clientFrame(fin|wire.OpPing, big))
		if _, payload, err := p.frame(); err != nil || !bytes.Equal(payload, big) {
			t.Fatalf("%s: %q %v", name, payload, err)
		}
		p.alive()
	}
}

// One byte more than a message may have is too much: whole, in fragments, and when it inflates to that.
func TestOversize(t *testing.T) {
	t.Parallel()
	const limit = 4096
	_, connect := framed(t, func(c *config.Config) { c.Limit.Message = limit })
	ping := func(n int) []byte {
		return []byte(`{"type":"ping","pad":"` + strings.Repeat("x", n-len(`{"type":"ping","pad":""}`)) + `"}`)
	}
	fragments := func(b []byte, size int) (out []byte) {
		for first := wire.OpText; ; first = 0 {
			if len(b) <= size {
				return append(out, clientFrame(fin|first, b)...)
			}
			out = append(out, clientFrame(first, b[:size])...)
			b = b[size:]
		}
	}
	squeezed := func(b []byte) []byte { return clientFrame(fin|rsv1|wire.OpText, deflated(t, b)) }
	for _, tt := range []struct {
		name      string
		transport []string
		frames    func(b []byte) []byte
	}{
		{"whole", []string{"plain", "deflate"}, func(b []byte) []byte { return clientFrame(fin|wire.OpText, b) }},
		{"in two", []string{"plain", "deflate"}, func(b []byte) []byte { return fragments(b, len(b)-1) }},
		{"in many", []string{"plain", "deflate"}, func(b []byte) []byte { return fragments(b, 100) }},
		{"inflated", []string{"deflate"}, squeezed},
		{"inflated from fragments", []string{"deflate"}, func(b []byte) []byte {
			d := deflated(t, b)
			return append(clientFrame(rsv1|wire.OpText, d[:len(d)/2]), clientFrame(fin, d[len(d)/2:])...)
		}},
	} {
		for _, transport := range tt.transport {
			p := connect[transport]()
			p.raw(tt.frames(ping(limit)))
			p.want("pong")
			p.raw(tt.frames(ping(limit + 1)))
			if m := p.want("error"); m.Code != "too_large" {
				t.Errorf("%s, %s: %s", tt.name, transport, m.raw)
			}
			p.alive()
		}
	}
	// A compressed message that is not DEFLATE is malformed, not too big.
	p := connect["deflate"]()
	p.raw(clientFrame(fin|rsv1|wire.OpText, []byte{0xff, 0xff, 0xff, 0xff}))
	p.wantClose(wire.CloseBadUTF8)
}

// Lengths that no client can mean end the connection at once, and never the process: one beyond 63 bits
// is negative where lengths are ints.
func TestAbsurdLength(t *testing.T) {
	t.Parallel()
	g, connect := framed(t)
	for _, length := range []uint64{16<<20 + 1, 1 << 31, 1<<32 - 1, 1 << 32, 1 << 40, 1<<63 - 1, 1 << 63, 1<<63 + 1, math.MaxUint64 - 14, math.MaxUint64} {
		for _, first := range []byte{fin | wire.OpText, wire.OpText, fin | wire.OpPing, fin | wire.OpClose, fin, 0} {
			for name, peer := range connect {
				p := peer()
				if first&0x0f == 0 {
					p.raw(clientFrame(wire.OpText, []byte("x")))
				}
				p.raw([]byte{first, masked | 127}, binary.BigEndian.AppendUint64(nil, length), []byte{0, 0, 0, 0})
				want := wire.CloseTooBig
				if first&8 != 0 || length>>63 != 0 {
					want = wire.CloseProtocol
				}
				if code, _ := p.closed(); code != want {
					t.Errorf("%s: first byte %x, length %d: closed with %d, want %d", name, first, length, code, want)
				}
			}
		}
	}
	if n := g.metric("weir_panics_total"); n != "0" {
		t.Errorf("%s panics", n)
	}
}

// Empty fragments cost their sender nothing, so a message may have only so many.
func TestFragmentFlood(t *testing.T) {
	t.Parallel()
	g, connect := framed(t)
	empty := clientFrame(0, nil)
	for name, peer := range connect {
		p := peer()
		p.raw(clientFrame(wire.OpText, []byte(`{"type":"ping"`)), bytes.Repeat(empty, 1024), clientFrame(fin, []byte(`}`)))
		p.want("pong")
		var b []byte // each of a byte: as many as the message has
		for i, c := range []byte(`{"type":"ping","pad":"` + strings.Repeat("x", 3*1024) + `"}`) {
			b = append(b, clientFrame(byte(min(i, 1))^wire.OpText, []byte{c})...)
		}
		p.raw(b, clientFrame(fin, nil))
		p.want("pong")
		p.raw(clientFrame(wire.OpText, []byte(`{"type":"ping"`)), bytes.Repeat(empty, 1024), clientFrame(fin, nil))
		if code, reason := p.closed(); code != wire.ClosePolicy {
			t.Errorf("%s: closed with %d %q, want 1008", name, code, reason)
		}
	}
	p := g.ws("u1")
	go func() { p.raw(clientFrame(wire.OpText, nil), bytes.Repeat(empty, 1e6)) }() // ends with the connection
	p.wantClose(wire.ClosePolicy)
}

// A client that sends pings and never reads the pongs is let go before it costs anything.
func TestPingFlood(t *testing.T) {
	t.Parallel()
	cfg := openConfig()
	g := launch(t, cfg)
	for _, op := range []byte{wire.OpPing, wire.OpPong} {
		p := g.ws("u1")
		go func() { p.raw(bytes.Repeat(clientFrame(fin|op, bytes.Repeat([]byte("x"), 125)), 50_000)) }() // ends with the connection
		if reason := p.wantClose(wire.ClosePolicy); !strings.Contains(reason, "ping") {
			t.Errorf("reason %q", reason)
		}
	}
	g.until("the sessions are gone", func() bool { return g.relay.sessions.Len() == 0 })
	// As many as the rate allows are answered.
	cfg.Limit.Pings = units.Rate{} // fill puts the default in its place
	p := launch(t, cfg).ws("u1")
	for range 20 {
		p.raw(clientFrame(fin|wire.OpPing, nil))
	}
	for range 20 {
		if first, _, err := p.frame(); err != nil || first != fin|wire.OpPong {
			t.Fatalf("%x %v, want a pong", first, err)
		}
	}
}

// Too many commands close 4029, whatever they say.
func TestMessageFlood(t *testing.T) {
	t.Parallel()
	g := launch(t, openConfig())
	for name, command := range map[string]string{
		"pings":       `{"type":"ping"}`,
		"nothing":     ``,
		"not JSON":    `}{`,
		"unknown":     `{"type":"x"}`,
		"arrays":      `[` + strings.Repeat(`{"type":"ping"},`, 99) + `{"type":"ping"}]`,
		"heartbeats":  `{"type":"event","topic":"presence.heartbeat"}`,
		"subscribing": `{"type":"subscribe","channel":"a"}`,
	} {
		p := g.ws("u1")
		go func() { p.raw(bytes.Repeat(textFrame(command), 2000)) }() // ends with the connection
		if code, reason := p.closed(); code != wire.CloseRateLimit {
			t.Errorf("%s: closed with %d %q, want 4029", name, code, reason)
		}
	}
	// Arrays beyond what one message may hold are an error, and the connection lives.
	p := g.ws("u2")
	p.say(`[` + strings.Repeat(`{"type":"message"},`, wire.MaxBatch) + `{"type":"message"}]`)
	for range wire.MaxBatch {
		p.wantError("bad_request")
	}
	p.wantError("too_many")
	p.alive()
}

// Text that is not UTF-8 is 1007, wherever it stands and however it is cut.
func TestBadUTF8(t *testing.T) {
	t.Parallel()
	_, connect := framed(t)
	for name, peer := range connect {
		for _, bad := range []string{
			"\xff", "\x80", "\xc3", "\xc0\xaf", "\xe0\x80\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xf8\x88\x80\x80\x80",
			"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited", "\xe4\xbd",
		} {
			text := []byte(`{"type":"ping","pad":"` + bad + `"}`)
			p := peer()
			p.raw(clientFrame(fin|wire.OpText, text))
			if code, _ := p.closed(); code != wire.CloseBadUTF8 {
				t.Errorf("%s: %q closed with %d, want 1007", name, bad, code)
			}
			p = peer()
			cut := len(text) - len(bad)
			p.raw(clientFrame(wire.OpText, text[:cut]), clientFrame(0, text[cut:cut+1]), clientFrame(fin, text[cut+1:]))
			if code, _ := p.closed(); code != wire.CloseBadUTF8 {
				t.Errorf("%s: %q in fragments closed with %d, want 1007", name, bad, code)
			}
			p = peer()
			p.raw(clientFrame(fin|wire.OpClose, append([]byte{3, 232}, bad...)))
			if code, _ := p.closed(); code != wire.CloseBadUTF8 {
				t.Errorf("%s: a close reason %q closed with %d, want 1007", name, bad, code)
			}
		}
		p := peer() // a good rune cut between fragments, and compressed
		p.raw(clientFrame(wire.OpText, []byte("{\"type\":\"ping\",\"pad\":\"\xf0\x9f")), clientFrame(fin, []byte("\x98\x85\"}")))
		p.want("pong")
	}
	p := connect["deflate"]()
	p.raw(clientFrame(fin|rsv1|wire.OpText, deflated(t, []byte("\"\xff\""))))
	p.wantClose(wire.CloseBadUTF8)
}

// What a client's close is answered with.
func TestCloseCodes(t *testing.T) {
	t.Parallel()
	_, connect := framed(t)
	for _, tt := range []struct {
		payload []byte
		want    []int // 0: a close frame without a code
	}{
		{nil, []int{0, 1000}},
		{[]byte{3}, []int{1002}},
		{closePayload(0), []int{1002}},
		{closePayload(999), []int{1002}},
		{closePayload(1000), []int{1000}},
		{closePayload(1001), []int{1000, 1001}},
		{closePayload(1003), []int{1000, 1003}},
		{closePayload(1004), []int{1002}},
		{closePayload(1005), []int{1002}},
		{closePayload(1006), []int{1002}},
		{closePayload(1007), []int{1000, 1007}},
		{closePayload(1011), []int{1000, 1011}},
		{closePayload(1015), []int{1002}},
		{closePayload(1016), []int{1002}},
		{closePayload(2999), []int{1002}},
		{closePayload(3000), []int{3000, 1000}},
		{closePayload(4999), []int{4999, 1000}},
		{closePayload(5000), []int{1002}},
		{closePayload(65535), []int{1002}},
		{append(closePayload(1000), strings.Repeat("r", 123)...), []int{1000}},
	} {
		for name, peer := range connect {
			p := peer()
			p.raw(clientFrame(fin|wire.OpClose, tt.payload))
			code, _ := p.closed()
			ok := false
			for _, w := range tt.want {
				ok = ok || code == w
			}
			if !ok {
				t.Errorf("%s: close %x was answered with %d, want one of %d", name, tt.payload, code, tt.want)
			}
		}
	}
	// Nothing behind a close is looked at.
	p := connect["plain"]()
	p.raw(clientFrame(fin|wire.OpClose, closePayload(1000)), textFrame(`{"type":"ping"}`), []byte("junk"))
	p.wantClose(1000)
}

func closePayload(code uint16) []byte { return binary.BigEndian.AppendUint16(nil, code) }
