package protocol

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"weir/internal/wire"
	"weir/relay/systems/internal/escape"
)

// Kind is what the name of a channel says about it.
type Kind struct {
	Private, Presence, Encrypted, Cache bool
	User                                bool // the channel of a signed-in user
	prefix                              string
}

// kinds are the prefixes in the order in which they are tried.
var kinds = []Kind{
	{prefix: "private-encrypted-cache-", Private: true, Encrypted: true, Cache: true},
	{prefix: "private-encrypted-", Private: true, Encrypted: true},
	{prefix: "private-cache-", Private: true, Cache: true},
	{prefix: "private-", Private: true},
	{prefix: "presence-cache-", Presence: true, Cache: true},
	{prefix: "presence-", Presence: true},
	{prefix: "cache-", Cache: true},
	{prefix: UserPrefix, User: true},
}

// UserPrefix begins the name of the channel of a signed-in user.
const UserPrefix = "#server-to-user-"

// KindOf is what the prefix of a channel's name says.
func KindOf(name string) Kind {
	if name == "" || strings.IndexByte("pc#", name[0]) < 0 {
		return Kind{}
	}
	for _, k := range kinds {
		if strings.HasPrefix(name, k.prefix) {
			return k
		}
	}
	return Kind{}
}

// MaxChannel bounds the name of a channel, in bytes: what SDKs allow.
const MaxChannel = 200

// ValidChannel reports whether a name is one of a channel: letters, digits and _ - = @ , . ;
func ValidChannel(name string) bool {
	if len(name) == 0 || len(name) > MaxChannel {
		return false
	}
	if id, ok := strings.CutPrefix(name, UserPrefix); ok {
		return id != "" && strings.IndexFunc(id, func(r rune) bool { return r < ' ' }) < 0 // of any user
	}
	for i := range len(name) {
		if !inChannel[name[i]] {
			return false
		}
	}
	return true
}

// inChannel are the bytes of a channel's name.
var inChannel = func() (t [256]bool) {
	for _, c := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-=@,.;") {
		t[c] = true
	}
	return t
}()

// ChannelOf is the name that a channel of a namespace has in weir: as it is, but that each byte that weir's names may not hold, and
// "~", is "~" and two hexadecimal digits. Where that is too long, a digest stands behind the prefix and "~~".
func ChannelOf(namespace, name string) string {
	const most = 254
	if len(namespace)+1+len(name) <= most && isPlain(name) {
		return namespace + ":" + name
	}
	b := append(append(make([]byte, 0, len(namespace)+len(name)+16), namespace...), ':')
	b = escape.Append(b, name, plain)
	if len(b) > most {
		prefix := KindOf(name).prefix
		b = append(escape.Append(b[:len(namespace)+1], prefix, plain), digest(name)...)
	}
	return string(b)
}

// digest stands for a name that is too long.
func digest(name string) string {
	sum := sha256.Sum256([]byte(name))
	return longMark + hex.EncodeToString(sum[:])
}

// longMark begins what stands for a name that is too long.
const longMark = "~~"

// plain are the bytes that stand for themselves in names.
var plain = escape.Plain("")

func isPlain(text string) bool {
	for i := range len(text) {
		if !plain[text[i]] {
			return false
		}
	}
	return true
}

// Unescape is the way back. It returns false for a digest.
func Unescape(text string) (string, bool) {
	if strings.Contains(text, longMark) {
		return "", false
	}
	return escape.Undo(text), true
}

// MemberKey is the key of a member's item: the id, escaped. An id that is a string and reads like a number has stringMark before it, so
// that the key says which JSON it was.
func MemberKey(id string, isNumber bool) string {
	b := make([]byte, 0, len(id)+8)
	if !isNumber && isNumeric(id) {
		b = append(b, stringMark...)
	}
	if b = escape.Append(b, id, plain); len(b) > wire.MaxName {
		return digest(id)
	}
	return string(b)
}

// stringMark is no escape of a byte.
const stringMark = "~s"

// IDOfKey is the JSON of a member's id; nil if the key is a digest.
func IDOfKey(key string) []byte {
	rest, isString := strings.CutPrefix(key, stringMark)
	id, ok := Unescape(rest)
	switch {
	case !ok:
		return nil
	case !isString && isNumeric(id):
		return []byte(id)
	}
	return wire.AppendString(nil, id)
}

// isNumeric reports whether text is a number of JSON.
func isNumeric(text string) bool {
	return text != "" && (text[0] == '-' || text[0] >= '0' && text[0] <= '9') && wire.ValidJSON([]byte(text)) == nil
}

// IDText is the text of a user's id, which is a string or a number; false if it is neither, or empty.
func IDText(token []byte) (text string, isNumber, ok bool) {
	if len(token) == 0 {
		return "", false, false
	}
	if token[0] == '"' {
		s, err := wire.Text(token)
		return strings.Clone(s), false, err == nil && s != ""
	}
	return string(token), true, isNumeric(string(token))
}
