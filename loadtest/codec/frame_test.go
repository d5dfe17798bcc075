package codec

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// serverFrame is a frame as a server sends it.
func serverFrame(first byte, payload []byte) []byte {
	b := []byte{first}
	switch n := len(payload); {
	case n < 126:
		b = append(b, byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, 126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 127), uint64(n))
	}
	return append(b, payload...)
}

// traffic is a stream of messages and control frames, with what must come out of it.
type traffic struct {
	bytes    []byte
	messages []string
	control  []string
	small    []string // payloads of data frames that Skim shows
	frames   uint64
	payload  uint64
	cuts     []int // sizes it arrives in
}

func anyTraffic(t *rapid.T) (tr traffic) {
	text := func(n int) []byte { return bytes.Repeat([]byte{'a' + byte(n%26)}, n) }
	for range rapid.IntRange(0, 12).Draw(t, "units") {
		size := rapid.OneOf(rapid.IntRange(0, 200), rapid.SampledFrom([]int{125, 126, 127, 4096, 65535, 65536, 100_000})).Draw(t, "size")
		data := func(first byte, p []byte) {
			tr.bytes = append(tr.bytes, serverFrame(first, p)...)
			tr.frames++
			tr.payload += uint64(len(p))
			if len(p) <= SmallFrame {
				tr.small = append(tr.small, string(p))
			}
		}
		switch rapid.IntRange(0, 3).Draw(t, "kind") {
		case 0:
			p := text(size % 126)
			tr.bytes = append(tr.bytes, serverFrame(0x80|OpPing, p)...)
			tr.control = append(tr.control, string(p))
		case 1:
			p := text(size)
			half := size / 2
			data(OpText, p[:half])
			tr.bytes = append(tr.bytes, serverFrame(0x80|OpPong, nil)...)
			tr.control = append(tr.control, "")
			data(0x80|OpContinuation, p[half:])
			tr.messages = append(tr.messages, string(p))
		default:
			p := text(size)
			data(0x80|OpText, p)
			tr.messages = append(tr.messages, string(p))
		}
	}
	for left := len(tr.bytes); left > 0; {
		n := min(left, rapid.OneOf(rapid.IntRange(1, 20), rapid.IntRange(1, 100_000)).Draw(t, "cut"))
		tr.cuts = append(tr.cuts, n)
		left -= n
	}
	return tr
}

// However the bytes are cut, the same messages come out, and Skim counts what Messages counts whether
// payloads are read or thrown away.
func TestFramesInAnyPieces(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tr := anyTraffic(t)
		var messages, control, skimmed, small []string
		m := Messages{Control: func(_ byte, p []byte) error { control = append(control, string(p)); return nil }}
		s := Skim{
			Control: func(_ byte, p []byte) error { skimmed = append(skimmed, string(p)); return nil },
			Small:   func(p []byte) error { small = append(small, string(p)); return nil },
		}
		throw := rapid.Bool().Draw(t, "throw away")
		rest := tr.bytes
		for _, n := range tr.cuts {
			piece := slices.Clone(rest[:n]) // what is fed may be overwritten afterwards
			rest = rest[n:]
			if err := m.Feed(piece, func(p []byte) error { messages = append(messages, string(p)); return nil }); err != nil {
				t.Fatal(err)
			}
			for len(piece) > 0 {
				if k := min(s.Skip(), len(piece)); throw && k > 0 {
					s.Discarded(k)
					piece = piece[k:]
					continue
				}
				k := len(piece)
				if throw {
					k = min(k, 3)
				}
				if err := s.Feed(piece[:k]); err != nil {
					t.Fatal(err)
				}
				piece = piece[k:]
			}
		}
		if !slices.Equal(messages, tr.messages) || !slices.Equal(control, tr.control) || m.Received != tr.frames || m.Payload != tr.payload {
			t.Fatalf("%d messages of %d, %d control of %d", len(messages), len(tr.messages), len(control), len(tr.control))
		}
		if s.Frames != m.Received || s.Payload != m.Payload || s.Order != m.Order || !slices.Equal(skimmed, tr.control) || !slices.Equal(small, tr.small) {
			t.Fatalf("skimmed %d frames of %d, %d bytes of %d, %d small of %d", s.Frames, m.Received, s.Payload, m.Payload, len(small), len(tr.small))
		}
	})
}

func TestFramesThatAClientMustRefuse(t *testing.T) {
	tests := map[string][]byte{
		"reserved bits":            {0xC1, 0},
		"masked":                   {0x81, 0x80, 0, 0, 0, 0},
		"long control":             serverFrame(0x80|OpPing, make([]byte, 126)),
		"fragmented control":       {OpPing, 0},
		"absurd length":            {0x82, 127, 0x80, 0, 0, 0, 0, 0, 0, 0},
		"too long":                 binary.BigEndian.AppendUint64([]byte{0x82, 127}, maxMessage+1),
		"continuation of nothing":  {0x80, 0},
		"message within a message": {OpText, 0, 0x80 | OpText, 0},
	}
	for name, b := range tests {
		m := Messages{}
		if err := m.Feed(b, func([]byte) error { return nil }); !errors.Is(err, ErrProtocol) {
			t.Errorf("%s: %v", name, err)
		}
	}
	m, part := Messages{}, serverFrame(OpContinuation, make([]byte, 1<<20))
	err := m.Feed(serverFrame(OpText, nil), nil)
	for range 20 {
		if err == nil {
			err = m.Feed(part, nil)
		}
	}
	if !errors.Is(err, ErrProtocol) {
		t.Errorf("endless fragments: %v", err)
	}
}

func TestClientFramesAreMasked(t *testing.T) {
	for _, n := range []int{0, 125, 126, 65535, 65536} {
		b := AppendFrame(nil, OpText, bytes.Repeat([]byte("x"), n))
		if b[1]&0x80 == 0 || b[0] != 0x81 || !bytes.HasSuffix(b, bytes.Repeat([]byte("x"), n)) {
			t.Errorf("%d bytes: % x", n, b[:2])
		}
	}
}

func FuzzFrames(f *testing.F) {
	f.Add([]byte{0x81, 2, 'h', 'i', 0x89, 0}, 3)
	f.Add(serverFrame(0x81, make([]byte, 300)), 7)
	f.Fuzz(func(t *testing.T, b []byte, size int) {
		size = max(size%50, 1)
		var m Messages
		var s Skim
		for piece := range slices.Chunk(b, size) {
			errM := m.Feed(piece, func([]byte) error { return nil })
			if errS := s.Feed(piece); errM != nil || errS != nil {
				return // Messages also refuses fragments out of order
			}
		}
		if s.Payload < m.Payload || s.Frames != m.Received && s.Skip() == 0 && len(s.partial) == 0 {
			t.Fatal(fmt.Sprint(m.Received, m.Payload, s.Frames, s.Payload))
		}
	})
}

func BenchmarkSkim(b *testing.B) {
	frame := serverFrame(0x81, make([]byte, 30_000))
	var s Skim
	b.ReportAllocs()
	for b.Loop() {
		_ = s.Feed(frame[:4096])
		s.Discarded(s.Skip())
	}
}
