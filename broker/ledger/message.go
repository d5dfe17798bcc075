package ledger

import (
	"fmt"
	"hash/crc32"

	"weir/broker/record"
)

// A message of a log is an envelope and a frame. The envelope is a magic with the version, the kind, and the session that it is of. A frame's checksums begin with that of the
// session, and each has the one before.
const (
	magic        = "WLF1"
	sessionSize  = 26 // of rand.Text
	envelopeSize = 4 + 1 + sessionSize
)

// The kinds of messages. Numbers are never used again for something else.
const (
	kindFrame = 'f' // records of the session
	kindFence = 'b' // the session begins, or has only ended the one before
)

// message is what stands in a log.
type message struct {
	kind    byte
	session string
	frame   record.Frame
}

func salt(session string) uint32 { return crc32.Checksum([]byte(session), record.Castagnoli) }

// putEnvelope fills in envelope and header of a message whose records stand behind them, and returns the seal.
func putEnvelope(b []byte, kind byte, session string, number uint64, before uint32) (seal uint32) {
	copy(b, magic)
	b[4] = kind
	copy(b[5:envelopeSize], session)
	return record.PutHeader(b[envelopeSize:], number, before, salt(session))
}

func fence(session string) []byte {
	b := make([]byte, envelopeSize+record.FrameHeader)
	putEnvelope(b, kindFence, session, 0, 0)
	return b
}

// readMessage decodes a message. It aliases b.
func readMessage(b []byte) (m message, err error) {
	if len(b) < envelopeSize || string(b[:3]) != magic[:3] {
		return m, record.ErrCorrupt
	}
	if b[3] != magic[3] {
		return m, fmt.Errorf("%w: a log has format %q, this version reads %q: start the other version, or use another cluster.name", ErrFormat, b[:4], magic)
	}
	m.kind, m.session = b[4], string(b[5:envelopeSize])
	frame, rest, ok := record.CutFrame(b[envelopeSize:], salt(m.session))
	if !ok || len(rest) > 0 || m.kind != kindFrame && m.kind != kindFence {
		return m, record.ErrCorrupt
	}
	m.frame = frame
	return m, nil
}
