package wire

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"hash/fnv"
)

// Mark is where a reader stands in one channel.
type Mark struct {
	Channel uint32 // ChannelHash of its name
	Epoch   string // at most 64 bytes
	Seq     uint64
}

// errCursor is returned for a cursor that the relay did not make.
var errCursor = errors.New("not a cursor")

// maxCursor bounds the length of a cursor in bytes.
const maxCursor = 16 << 10

// cursorVersion begins every cursor, so that its form can change.
const cursorVersion = 1

// ChannelHash stands for a channel's name in a cursor: a cursor travels with every event, names may be
// long. Two channels of one stream with the same hash would be mistaken for each other; the epochs,
// which differ, then tell.
func ChannelHash(channel string) uint32 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(channel)) // never fails
	return h.Sum32()
}

// AppendCursor appends the opaque cursor of a reader of several channels. It uses scratch for the
// bytes before encoding and returns it for the next call.
func AppendCursor(dst, scratch []byte, marks []Mark) (cursor, buf []byte) {
	b := append(scratch[:0], cursorVersion)
	for _, m := range marks {
		b = binary.BigEndian.AppendUint32(b, m.Channel)
		b = append(b, byte(len(m.Epoch)))
		b = append(b, m.Epoch...)
		b = binary.AppendUvarint(b, m.Seq)
	}
	return base64.RawURLEncoding.AppendEncode(dst, b), b
}

// ParseCursor reads a cursor. Errors: errCursor.
func ParseCursor(cursor []byte) ([]Mark, error) {
	if len(cursor) > maxCursor {
		return nil, errCursor
	}
	b, err := base64.RawURLEncoding.AppendDecode(nil, cursor)
	if err != nil || len(b) == 0 || b[0] != cursorVersion {
		return nil, errCursor
	}
	var marks []Mark
	for b = b[1:]; len(b) > 0; {
		if len(b) < 5 || b[4] > 64 || len(b) < 5+int(b[4]) {
			return nil, errCursor
		}
		m := Mark{Channel: binary.BigEndian.Uint32(b)}
		end := 5 + int(b[4])
		m.Epoch = string(b[5:end])
		seq, n := binary.Uvarint(b[end:])
		if n <= 0 {
			return nil, errCursor
		}
		m.Seq = seq
		marks = append(marks, m)
		b = b[end+n:]
	}
	return marks, nil
}
