package codec

import (
	"encoding/binary"
	"fmt"
)

// The WebSocket opcodes.
const (
	OpContinuation = 0x0
	OpText         = 0x1
	OpBinary       = 0x2
	OpClose        = 0x8
	OpPing         = 0x9
	OpPong         = 0xA
)

// AppendFrame appends a whole client frame. Clients must mask; the mask is zero, which every server
// has to accept and which leaves the payload as it is.
func AppendFrame(dst []byte, op byte, payload []byte) []byte {
	dst = append(dst, 0x80|op)
	switch n := len(payload); {
	case n < 126:
		dst = append(dst, 0x80|byte(n))
	case n < 1<<16:
		dst = append(dst, 0x80|126)
		dst = binary.BigEndian.AppendUint16(dst, uint16(n))
	default:
		dst = append(dst, 0x80|127)
		dst = binary.BigEndian.AppendUint64(dst, uint64(n))
	}
	dst = append(dst, 0, 0, 0, 0)
	return append(dst, payload...)
}

// header is the head of one server frame.
type header struct {
	op   byte
	fin  bool
	size int // of the head itself
	len  int // of the payload
}

// parseHeader reads a frame head. ok is false when b is too short to tell.
func parseHeader(b []byte) (h header, ok bool, err error) {
	if len(b) < 2 {
		return h, false, nil
	}
	h.op, h.fin, h.size, h.len = b[0]&15, b[0]&0x80 != 0, 2, int(b[1]&0x7f)
	switch {
	case b[0]&0x70 != 0:
		return h, false, fmt.Errorf("websocket frame with reserved bits: %w", ErrProtocol)
	case b[1]&0x80 != 0:
		return h, false, fmt.Errorf("masked websocket frame from a server: %w", ErrProtocol)
	case h.op >= OpClose && (h.len > 125 || !h.fin):
		return h, false, fmt.Errorf("websocket control frame of %d bytes: %w", h.len, ErrProtocol)
	}
	switch h.len {
	case 126:
		if h.size = 4; len(b) < 4 {
			return h, false, nil
		}
		h.len = int(binary.BigEndian.Uint16(b[2:]))
	case 127:
		if h.size = 10; len(b) < 10 {
			return h, false, nil
		}
		n := binary.BigEndian.Uint64(b[2:])
		if n > maxMessage {
			return h, false, fmt.Errorf("websocket frame of %d bytes: %w", n, ErrProtocol)
		}
		h.len = int(n)
	}
	return h, true, nil
}

// Messages turns a server's byte stream into whole messages. The zero value is ready.
type Messages struct {
	rest     []byte // bytes of an incomplete frame
	parts    []byte // payload of an unfinished fragmented message
	partsOp  byte
	Control  func(op byte, payload []byte) error // ping, pong, close; nil ignores them
	Received uint64                              // data frames
	Payload  uint64                              // bytes of their payloads
	Order    uint64                              // hash over their sizes, in order, as Skim has it
	Beyond   int                                 // only data frames longer than this are counted; 0: all
}

// Feed takes the bytes that arrived and calls each for every message that is now whole. payload is
// valid during the call only. Feed may be called again from within neither callback.
func (m *Messages) Feed(b []byte, each func(payload []byte) error) error {
	if len(m.rest) > 0 {
		m.rest = append(m.rest, b...)
		b = m.rest
	}
	n, err := m.walk(b, each)
	if err != nil {
		return err
	}
	m.rest = append(m.rest[:0], b[n:]...)
	return nil
}

// walk handles the whole frames in b and says how many bytes they took.
func (m *Messages) walk(b []byte, each func([]byte) error) (n int, err error) {
	for {
		h, ok, err := parseHeader(b[n:])
		if err != nil {
			return n, err
		}
		if !ok || len(b)-n-h.size < h.len {
			return n, nil
		}
		payload := b[n+h.size : n+h.size+h.len]
		n += h.size + h.len
		if err := m.frame(h, payload, each); err != nil {
			return n, err
		}
	}
}

func (m *Messages) frame(h header, payload []byte, each func([]byte) error) error {
	if h.op >= OpClose {
		if m.Control == nil {
			return nil
		}
		return m.Control(h.op, payload)
	}
	if m.Beyond == 0 || len(payload) > m.Beyond {
		m.Received++
		m.Payload += uint64(len(payload))
		m.Order = mix(m.Order, len(payload))
	}
	switch {
	case h.op == OpContinuation && m.partsOp == 0, h.op != OpContinuation && m.partsOp != 0:
		return fmt.Errorf("websocket fragments out of order: %w", ErrProtocol)
	case h.fin && m.partsOp == 0:
		return each(payload)
	case len(m.parts)+len(payload) > maxMessage:
		return fmt.Errorf("websocket message over %d bytes: %w", maxMessage, ErrProtocol)
	}
	if m.partsOp == 0 {
		m.partsOp = h.op
	}
	m.parts = append(m.parts, payload...)
	if !h.fin {
		return nil
	}
	whole := m.parts
	m.parts, m.partsOp = m.parts[:0], 0
	return each(whole)
}

// Rest hands over the bytes of an unfinished frame, which are not kept.
func (m *Messages) Rest() []byte {
	rest := m.rest
	m.rest = nil
	return rest
}

// CutFrame is the payload of the first of frames that AppendFrame has made, and the frames after it.
func CutFrame(frames []byte) (payload, rest []byte) {
	size, head := int(frames[1]&0x7f), 2
	switch size {
	case 126:
		size, head = int(binary.BigEndian.Uint16(frames[2:])), 4
	case 127:
		size, head = int(binary.BigEndian.Uint64(frames[2:])), 10
	}
	head += 4 // the mask, which is none
	return frames[head : head+size], frames[head+size:]
}
