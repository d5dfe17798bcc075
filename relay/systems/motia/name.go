package motia

import (
	"strconv"
	"strings"

	"weir/internal/wire"
)

// group names a group of a stream.
type group struct{ stream, id string }

// channelOf is the channel of a group: "stream:{stream}:{group}", in which bytes that weir's names may not hold, "~" and, of the
// stream, ":" are "~" and two hexadecimal digits. It returns false if that is too long, or a name is empty.
func channelOf(g group) (string, bool) {
	b := escape(append(make([]byte, 0, len(Namespace)+len(g.stream)+len(g.id)+16), Namespace+":"...), g.stream, ':')
	b = escape(append(b, ':'), g.id, '~')
	return string(b), g.stream != "" && g.id != "" && len(b) <= wire.MaxChannel
}

// groupOf is the way back. It returns false for a channel that is none of a stream's.
func groupOf(channel string) (g group, ok bool) {
	rest, ok := strings.CutPrefix(channel, Namespace+":")
	stream, id, found := strings.Cut(rest, ":")
	return group{unescape(stream), unescape(id)}, ok && found
}

// keyOf is the key of an item, by the same rule. It returns false if the id is empty, or too long.
func keyOf(id string) (string, bool) {
	b := escape(nil, id, '~')
	return string(b), id != "" && len(b) <= wire.MaxName
}

// escape appends text with "~", other and what weir's names may not hold escaped.
func escape(dst []byte, text string, other byte) []byte {
	const digits = "0123456789ABCDEF"
	for i := range len(text) {
		if c := text[i]; c == '~' || c == other || !wire.ValidName(text[i:i+1]) {
			dst = append(dst, '~', digits[c>>4], digits[c&15])
		} else {
			dst = append(dst, c)
		}
	}
	return dst
}

// unescape is the way back. What is no escape stands for itself.
func unescape(text string) string {
	if strings.IndexByte(text, '~') < 0 {
		return text
	}
	b := make([]byte, 0, len(text))
	for i := 0; i < len(text); i++ {
		if text[i] == '~' && i+2 < len(text) {
			if n, err := strconv.ParseUint(text[i+1:i+3], 16, 8); err == nil {
				b = append(b, byte(n))
				i += 2
				continue
			}
		}
		b = append(b, text[i])
	}
	return string(b)
}
