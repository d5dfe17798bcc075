package motia

import (
	"strings"

	"weir/internal/wire"
	"weir/relay/systems/internal/escape"
)

// The bytes that stand for themselves, in ids and in names of streams.
var plain, plainStream = escape.Plain(""), escape.Plain(":")

// group names a group of a stream.
type group struct{ stream, id string }

// channelOf is the channel of a group: "stream:{stream}:{group}", in which bytes that weir's names may not hold, "~" and, of the
// stream, ":" are "~" and two hexadecimal digits. It returns false if that is too long, or a name is empty.
func channelOf(g group) (string, bool) {
	b := escape.Append(append(make([]byte, 0, len(Namespace)+len(g.stream)+len(g.id)+16), Namespace+":"...), g.stream, plainStream)
	b = escape.Append(append(b, ':'), g.id, plain)
	return string(b), g.stream != "" && g.id != "" && len(b) <= wire.MaxChannel
}

// groupOf is the way back. It returns false for a channel that is none of a stream's.
func groupOf(channel string) (g group, ok bool) {
	rest, ok := strings.CutPrefix(channel, Namespace+":")
	stream, id, found := strings.Cut(rest, ":")
	return group{escape.Undo(stream), escape.Undo(id)}, ok && found
}

// keyOf is the key of an item, by the same rule. It returns false if the id is empty, or too long.
func keyOf(id string) (string, bool) {
	b := escape.Append(nil, id, plain)
	return string(b), id != "" && len(b) <= wire.MaxName
}
