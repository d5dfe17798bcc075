package relay

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/flate"

	"weir/internal/wire"
)

// wsPeer is a WebSocket client that can send anything.
type wsPeer struct {
	testing.TB
	nc    net.Conn
	r     *bufio.Reader
	hello message // connected
	mute  bool    // it does not answer pings
}

// upgrade is a handshake request. Lines replace those with the same name; "Name:" alone takes one away.
func upgrade(host, target string, lines ...string) string {
	b := "GET " + target + " HTTP/1.1\r\n"
	for _, def := range []string{"Host: " + host, "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="} {
		name, _, _ := strings.Cut(def, ":")
		replaced := false
		for _, l := range lines {
			n, _, _ := strings.Cut(l, ":")
			replaced = replaced || strings.EqualFold(n, name)
		}
		if !replaced {
			b += def + "\r\n"
		}
	}
	for _, l := range lines {
		if !strings.HasSuffix(l, ":") {
			b += l + "\r\n"
		}
	}
	return b + "\r\n"
}

// offerDeflate is the header line that asks for compression.
const offerDeflate = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"

// ws connects a user and reads the first message.
func (g *rig) ws(user string, lines ...string) *wsPeer {
	g.Helper()
	return g.wsOn(g.dial(), "/ws", append(lines, "Authorization: Bearer "+mint(g, user))...)
}

// wsOn connects on a connection, with the token wherever target and lines have it.
func (g *rig) wsOn(nc net.Conn, target string, lines ...string) *wsPeer {
	g.Helper()
	if _, err := io.WriteString(nc, upgrade(g.public, target, lines...)); err != nil {
		g.Fatal(err)
	}
	p := newPeer(g.TB, nc)
	p.shaken()
	return p
}

func newPeer(t testing.TB, nc net.Conn) *wsPeer {
	return &wsPeer{TB: t, nc: nc, r: bufio.NewReader(nc)}
}

// shaken reads the answer to a handshake and the first message.
func (p *wsPeer) shaken() {
	p.Helper()
	a, err := readAnswer(p.r)
	if err != nil {
		p.Fatalf("handshake: %v", err)
	}
	if a.StatusCode != http.StatusSwitchingProtocols {
		p.Fatalf("handshake: %d %s", a.StatusCode, a.body)
	}
	if p.hello = p.next(); p.hello.Type != "connected" {
		p.Fatalf("the first message is %s", p.hello.raw)
	}
}

// shake is the status of the answer to a handshake.
func (g *rig) shake(target string, lines ...string) answered {
	g.Helper()
	nc := g.dial()
	defer nc.Close()
	if _, err := io.WriteString(nc, upgrade(g.public, target, lines...)); err != nil {
		g.Fatal(err)
	}
	a, err := readAnswer(bufio.NewReader(nc))
	if err != nil {
		g.Fatalf("handshake with %q: %v", lines, err)
	}
	return a
}

// The bits of a frame's first two bytes.
const (
	fin    = 0x80
	rsv1   = 0x40
	rsv2   = 0x20
	rsv3   = 0x10
	masked = 0x80
)

// clientFrame is a masked frame; first is its first byte.
func clientFrame(first byte, payload []byte) []byte {
	b := announce(first, masked, uint64(len(payload)))
	at := len(b)
	b = append(b, payload...)
	for i := range payload {
		b[at+i] ^= b[at-4+i%4]
	}
	return b
}

// announce is the header of a frame, in the shortest form, with a mask if the bit is set.
func announce(first, mask byte, length uint64) []byte {
	b := []byte{first}
	switch {
	case length < 126:
		b = append(b, mask|byte(length))
	case length < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, mask|126), uint16(length))
	default:
		b = binary.BigEndian.AppendUint64(append(b, mask|127), length)
	}
	if mask != 0 {
		b = append(b, 0x12, 0x34, 0x56, 0x78)
	}
	return b
}

func textFrame(s string) []byte { return clientFrame(fin|wire.OpText, []byte(s)) }

// deflated is a payload as permessage-deflate wants it.
func deflated(t testing.TB, payload []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = w.Write(payload)
	_ = w.Flush()
	return bytes.TrimSuffix(b.Bytes(), []byte{0, 0, 0xff, 0xff})
}

// raw sends bytes as they are. The relay may have closed already: that is for the test to find out.
func (p *wsPeer) raw(b ...[]byte) {
	for _, x := range b {
		_, _ = p.nc.Write(x)
	}
}

// say sends commands, one a frame.
func (p *wsPeer) say(commands ...string) {
	for _, c := range commands {
		p.raw(textFrame(c))
	}
}

// frame reads the next frame that is no ping. Pings, which may come at any time, are answered.
func (p *wsPeer) frame() (first byte, payload []byte, err error) {
	for {
		first, payload, err = p.anyFrame()
		if err != nil || first&0x0f != wire.OpPing {
			return first, payload, err
		}
		if !p.mute {
			p.raw(clientFrame(fin|wire.OpPong, payload))
		}
	}
}

// anyFrame reads one frame, which must be as RFC 6455 wants it of a server.
func (p *wsPeer) anyFrame() (first byte, payload []byte, err error) {
	var head [2]byte
	if _, err := io.ReadFull(p.r, head[:]); err != nil {
		return 0, nil, err
	}
	length := uint64(head[1])
	switch {
	case length&masked != 0:
		return 0, nil, fmt.Errorf("a masked frame from the server")
	case length == 126:
		var b [2]byte
		_, err = io.ReadFull(p.r, b[:])
		length = uint64(binary.BigEndian.Uint16(b[:]))
	case length == 127:
		var b [8]byte
		_, err = io.ReadFull(p.r, b[:])
		length = binary.BigEndian.Uint64(b[:])
	}
	if err != nil {
		return 0, nil, err
	}
	payload = make([]byte, length)
	if _, err := io.ReadFull(p.r, payload); err != nil {
		return 0, nil, err
	}
	if head[0]&rsv1 != 0 {
		payload, err = io.ReadAll(flate.NewReader(io.MultiReader(bytes.NewReader(payload), strings.NewReader("\x00\x00\xff\xff\x01\x00\x00\xff\xff"))))
	}
	return head[0], payload, err
}

// next reads the next text message; pongs are passed over.
func (p *wsPeer) next() message {
	p.Helper()
	for {
		first, payload, err := p.frame()
		switch {
		case err != nil:
			p.Fatalf("reading a message: %v", err)
		case first&0x0f == wire.OpClose:
			p.Fatalf("closed: %q", payload)
		case first&0x0f == wire.OpText:
			return parseMessage(p, payload)
		}
	}
}

// want reads until a message of a type.
func (p *wsPeer) want(kind string) message {
	p.Helper()
	for {
		if m := p.next(); m.Type == kind {
			return m
		}
	}
}

// wantError reads until an error, which must have a code.
func (p *wsPeer) wantError(code string) message {
	p.Helper()
	m := p.want("error")
	if m.Code != code {
		p.Fatalf("error %s, want %s", m.raw, code)
	}
	return m
}

// alive demands that the connection still works.
func (p *wsPeer) alive() {
	p.Helper()
	p.say(`{"type":"ping","id":"alive"}`)
	if m := p.want("pong"); string(m.ID) != `"alive"` {
		p.Fatalf("pong %s", m.raw)
	}
}

// closed reads up to the close frame, and demands that nothing comes after it.
func (p *wsPeer) closed() (code int, reason string) {
	p.Helper()
	for {
		first, payload, err := p.frame()
		switch {
		case err != nil:
			p.Fatalf("waiting for a close frame: %v", err)
		case first&0x0f != wire.OpClose:
			continue
		case len(payload) >= 2:
			code, reason = int(binary.BigEndian.Uint16(payload)), string(payload[2:])
		}
		if n, err := p.r.Read(make([]byte, 1)); n > 0 || err != io.EOF && !isReset(err) {
			p.Fatalf("after the close frame: %d bytes, %v", n, err)
		}
		_ = p.nc.Close()
		return code, reason
	}
}

// isReset says that the relay closed without reading what was still on its way: a client that goes on
// sending after a breach may see that.
func isReset(err error) bool {
	return err != nil && (strings.Contains(err.Error(), "reset") || strings.Contains(err.Error(), "broken pipe"))
}

// wantClose demands a close code.
func (p *wsPeer) wantClose(code int) string {
	p.Helper()
	got, reason := p.closed()
	if got != code {
		p.Fatalf("closed with %d %q, want %d", got, reason, code)
	}
	return reason
}

// noReply is how a client waits for a while in which nothing may come: it asks something else and looks
// what comes first.
func (p *wsPeer) noReply() {
	p.Helper()
	p.say(`{"type":"ping","id":"nothing"}`)
	if m := p.next(); m.Type != "pong" {
		p.Fatalf("unexpected: %s", m.raw)
	}
}

// deadline gives the connection another while.
func (p *wsPeer) deadline(d time.Duration) { _ = p.nc.SetDeadline(time.Now().Add(d)) }
