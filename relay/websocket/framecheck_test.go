package websocket

import (
	"bytes"
	"encoding/binary"
	"testing"

	"weir/internal/units"
	"weir/internal/wire"
)

// The bits of a frame's first two bytes.
const (
	fin, rsv1, rsv2, rsv3 = 0x80, 0x40, 0x20, 0x10
	masked                = 0x80
)

// clientFrame is a short frame as clients send it.
func clientFrame(first byte, payload string) []byte {
	b := append([]byte{first, masked | byte(len(payload)), 1, 2, 3, 4}, payload...)
	for i := range payload {
		b[6+i] ^= b[2+i%4]
	}
	return b
}

// seeds are what fuzzing begins with.
func seeds(add func(b []byte)) {
	add(nil)
	add(clientFrame(fin|wire.OpText, `{"type":"ping","id":1}`))
	add(append(clientFrame(wire.OpText, `{"type":`), clientFrame(fin, `"ping"}`)...))
	add(append(clientFrame(wire.OpText, "["), clientFrame(fin|wire.OpPing, "x")...))
	add(clientFrame(fin|wire.OpClose, "\x03\xe8"))
	add(clientFrame(fin|rsv1|wire.OpText, "\xaa\x56\x2a"))
	add(clientFrame(fin|wire.OpBinary, "x"))
	add([]byte{fin | wire.OpText, masked | 127, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xf1, 0, 0, 0, 0})
	add([]byte{fin | wire.OpText, masked | 127, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 'x'})
	add([]byte{fin | wire.OpText, masked | 126, 0, 5, 0, 0, 0, 0, 'h', 'e', 'l', 'l', 'o'})
	add([]byte{0x81, 0x05, 'h', 'e', 'l', 'l', 'o'})
	add([]byte("GET / HTTP/1.1\r\n\r\n"))
	add(bytes.Repeat(clientFrame(0, ""), 5))
}

// FuzzFrameCheck holds the frame check against a plain reading of RFC 6455, frame by frame, however the bytes are cut.
func FuzzFrameCheck(f *testing.F) {
	seeds(func(b []byte) { f.Add(b, uint16(100), false, uint8(1)); f.Add(b, uint16(3), true, uint8(7)) })
	f.Fuzz(func(t *testing.T, b []byte, limit uint16, deflate bool, cut uint8) {
		var whole, pieces frameCheck
		g, w, _, bad := whole.feed(b, int(limit), deflate, units.Rate{})
		if w > g || g > len(b) {
			t.Fatalf("good %d, whole %d of %d", g, w, len(b))
		}
		good, last := 0, 0
		var v *protocolError
		for at := 0; at < len(b) && v == nil; {
			n := min(int(cut)+1, len(b)-at)
			var pg, pw int
			pg, pw, _, v = pieces.feed(b[at:at+n], int(limit), deflate, units.Rate{})
			if pw > 0 {
				last = at + pw
			}
			good = at + pg
			if at += n; pieces.over && pieces.left == 0 {
				break
			}
		}
		if (v == nil) != (bad == nil) || v != nil && v.code != bad.code || last != w || v == nil && !whole.over && good != g {
			t.Fatalf("in one: %d %d %v; in pieces of %d: %d %d %v", g, w, bad, cut+1, good, last, v)
		}
		if want, code := plainReading(b, int(limit), deflate); want != w || (code == 0) != (bad == nil) || bad != nil && bad.code != code {
			t.Fatalf("whole %d, %v; a plain reading has %d and %d", w, bad, want, code)
		}
	})
}

// plainReading is how far whole frames go, and the close code of the first breach, 0 if there is none.
func plainReading(b []byte, limit int, deflate bool) (whole, code int) {
	size, empty, open := 0, 0, false
	for at := 0; ; whole = at {
		rest := b[at:]
		if len(rest) < 2 {
			return whole, 0
		}
		first, length, head := rest[0], uint64(rest[1]&0x7f), 2
		switch {
		case length == 126 && len(rest) >= 4:
			length, head = uint64(binary.BigEndian.Uint16(rest[2:])), 4
		case length == 127 && len(rest) >= 10:
			length, head = binary.BigEndian.Uint64(rest[2:]), 10
		case length >= 126:
			return whole, 0
		}
		isMasked := rest[1]&masked != 0
		if isMasked {
			head += 4
		}
		if len(rest) < head {
			return whole, 0
		}
		op, last := first&0x0f, first&fin != 0
		control := op >= 8
		switch {
		case !isMasked, first&(rsv2|rsv3) != 0, first&rsv1 != 0 && (!deflate || op != wire.OpText && op != wire.OpBinary):
			return whole, 1002
		case op > 10, op > 2 && op < 8, control && (!last || length > 125):
			return whole, 1002
		case op == wire.OpBinary:
			return whole, 1003
		case !control && (op == 0) != open, !control && length>>63 != 0:
			return whole, 1002
		}
		if !control {
			if !open {
				size, empty = 0, 0
			}
			if length > uint64(limit) || size+int(length) > limit {
				return whole, 1009
			}
			size += int(length)
			if length == 0 {
				if empty++; empty > 1024 {
					return whole, 1008
				}
			}
			open = !last
		}
		if length > uint64(len(rest)-head) {
			return whole, 0
		}
		at += head + int(length)
		if op == wire.OpClose {
			return at, 0
		}
	}
}
