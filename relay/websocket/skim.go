package websocket

import (
	"encoding/json"
	"unicode/utf8"

	"weir/internal/wire"
)

// skim finds the ids of the commands in a message that is too large to be kept, as it passes piece by piece. It knows
// JSON no better than it must: what is none has no ids, or wrong ones, and is answered with an error anyway.
type skim struct {
	ids      [][]byte // of the commands that have ended; nil: it had none
	id       []byte   // of the present command, as far as it has come
	key      []byte   // of the present member
	depth    int
	base     int  // where the members of a command are: 1, or 2 in an array
	inString bool // and what it is part of:
	inKey    bool
	inID     bool // also for a number
	escaped  bool
	wantKey  bool // the next string at base is a key
	blind    bool // the message is compressed: its ids are not known
	late     bool // what came first of the message is among the fragments
	size     int  // bytes that were read
}

// unmasked is the mask of what has none, or none any more.
var unmasked = []byte{0, 0, 0, 0}

// passOver goes on with a message that is passed over, after what came before was handled: what was kept of it is given
// up, and when it is over, the handler is told.
func (r *Reader) passOver() {
	g, m := &r.check, &r.fragments
	k := g.skim
	if k.late {
		k.late, k.blind = false, m.first&rsv1Bit != 0
		k.read(m.payload, unmasked, 0)
		m.payload = nil
	}
	if g.left == 0 && !g.open {
		g.skim = nil
		r.tooLarge(k, g.size)
	}
}

// tooLarge tells the handler of a message that was passed over.
func (r *Reader) tooLarge(k *skim, size int) {
	if len(k.ids) == 0 || k.blind {
		k.ids = [][]byte{nil}
	}
	r.handler.TooLarge(k.ids, size)
}

// Write implements io.Writer, of what is not masked.
func (k *skim) Write(b []byte) (int, error) {
	k.read(b, unmasked, 0)
	return len(b), nil
}

const idKey = "id"

// read takes in the next bytes of the message, which are masked, from an offset of the frame's payload on.
func (k *skim) read(b []byte, mask []byte, offset int) {
	k.size += len(b)
	if k.blind {
		return
	}
	for i, c := range b {
		k.step(c ^ mask[(offset+i)&3])
	}
}

func (k *skim) step(c byte) {
	if k.inString {
		k.inside(c)
		return
	}
	here := k.depth > 0 && k.depth == k.base
	switch c {
	case '"':
		k.inString = true
		k.inKey = here && k.wantKey
		if k.inKey {
			k.key = k.key[:0]
		} else if k.inID = here && string(k.key) == idKey; k.inID {
			k.id = append(k.id[:0], c)
		}
	case '{', '[':
		if k.depth == 0 {
			k.base = 1
			if c == '[' {
				k.base = 2
			}
		}
		k.depth++
		if k.depth == k.base {
			k.id, k.key, k.wantKey = nil, k.key[:0], true
		}
	case '}', ']':
		if here && len(k.ids) < wire.MaxBatch {
			k.ids = append(k.ids, goodID(k.id))
		}
		k.depth, k.inID = k.depth-1, false
	case ':':
		if here {
			k.wantKey = false
			if k.inID = string(k.key) == idKey; k.inID {
				k.id = nil
			}
		}
	case ',':
		if here {
			k.wantKey, k.inID, k.key = true, false, k.key[:0]
		}
	case ' ', '\t', '\n', '\r':
	default:
		if here && k.inID {
			k.keep(c)
		}
	}
}

// inside is a byte of a string.
func (k *skim) inside(c byte) {
	end := c == '"' && !k.escaped
	k.escaped = c == '\\' && !k.escaped
	k.inString = !end
	switch {
	case k.inKey && !end && len(k.key) <= len(idKey):
		k.key = append(k.key, c)
	case k.inID:
		k.keep(c)
		k.inID = !end
	}
}

func (k *skim) keep(c byte) {
	if len(k.id) <= wire.MaxID {
		k.id = append(k.id, c)
	}
}

// goodID is an id as an answer may repeat it, or nil.
func goodID(id []byte) []byte {
	if len(id) == 0 || len(id) > wire.MaxID || id[0] != '"' && id[0] != '-' && (id[0] < '0' || id[0] > '9') || !json.Valid(id) || !utf8.Valid(id) {
		return nil
	}
	return id
}
