package wire

import (
	"encoding/binary"
	"strings"
)

// Opcodes of RFC 6455, section 5.2.
const (
	OpContinuation byte = 0
	OpText         byte = 1
	OpBinary       byte = 2
	OpClose        byte = 8
	OpPing         byte = 9
	OpPong         byte = 10
)

// bits of a frame's first byte.
const (
	finBit  = 0x80
	rsv1Bit = 0x40 // permessage-deflate: the message is compressed (RFC 7692, section 6)
)

// MaxHeader is the length of the longest header that a server sends.
const MaxHeader = 10

// AppendHeader appends the header of an unmasked, final frame.
func AppendHeader(dst []byte, opcode byte, compressed bool, length int) []byte {
	first := finBit | opcode
	if compressed {
		first |= rsv1Bit
	}
	switch {
	case length < 126:
		return append(dst, first, byte(length))
	case length < 1<<16:
		return append(dst, first, 126, byte(length>>8), byte(length))
	default:
		return binary.BigEndian.AppendUint64(append(dst, first, 127), uint64(length))
	}
}

// AppendFrame appends a whole unmasked frame.
func AppendFrame(dst []byte, opcode byte, payload []byte) []byte {
	return append(AppendHeader(dst, opcode, false, len(payload)), payload...)
}

// TextFrame is payload as a text frame of its own.
func TextFrame(payload []byte) []byte {
	return AppendFrame(make([]byte, 0, len(payload)+MaxHeader), OpText, payload)
}

// usualHeader is the length of the header of most messages that are told once: 126 to 65,535 bytes.
const usualHeader = 4

// BeginText makes room for the header of a text frame. The payload is appended behind it, and then the frame is ended with EndText.
func BeginText(dst []byte) []byte { return append(dst, 0, 0, 0, 0) }

// EndText gives the text frame that BeginText has begun at an offset of b its header.
func EndText(b []byte, from int) []byte { return putHeader(b, from, usualHeader) }

// IntoText makes a text frame of a payload, in the payload's own memory if that has room for MaxHeader more.
func IntoText(payload []byte) []byte { return putHeader(payload, 0, 0) }

// putHeader gives the text frame at an offset of b, which has room for a header of so many bytes, its header.
func putHeader(b []byte, from, room int) []byte {
	length := len(b) - from - room
	var header [MaxHeader]byte
	h := AppendHeader(header[:0], OpText, false, length)
	if more := len(h) - room; more != 0 {
		b = append(b, make([]byte, max(more, 0))...)
		copy(b[from+len(h):], b[from+room:from+room+length])
		b = b[:from+len(h)+length]
	}
	copy(b[from:], h)
	return b
}

// CloseFrame is a close frame. The reason is cut to what a control frame holds, and stays UTF-8.
func CloseFrame(code int, reason string) []byte {
	reason = strings.ToValidUTF8(reason[:min(len(reason), 123)], "")
	p := binary.BigEndian.AppendUint16(make([]byte, 0, 2+len(reason)), uint16(code))
	return AppendFrame(nil, OpClose, append(p, reason...))
}

// Close codes: those of RFC 6455, and the relay's own.
const (
	CloseNormal       = 1000
	CloseGoingAway    = 1001
	CloseProtocol     = 1002
	CloseUnsupported  = 1003
	CloseBadUTF8      = 1007
	ClosePolicy       = 1008
	CloseTooBig       = 1009
	CloseInternal     = 1011
	CloseOverloaded   = 1013
	CloseUnauthorized = 4001
	CloseForbidden    = 4003
	CloseSlow         = 4008
	CloseNoPong       = 4009
	CloseRateLimit    = 4029
	CloseDraining     = 4100
)
