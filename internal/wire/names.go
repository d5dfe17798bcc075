package wire

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"github.com/oklog/ulid/v2"
)

// Longest names, in bytes.
const (
	MaxChannel = 255
	MaxName    = 128 // group or key
	MaxID      = 64  // id of a command, as it stands in the JSON
)

// MaxBatch bounds the commands of one WebSocket message.
const MaxBatch = 128

// UserNamespace holds each user's own channel, "user:{id}".
const UserNamespace = "user"

// PresenceNamespace holds who is in a channel: "presence:{channel}".
const PresenceNamespace = "presence"

// alphabet of channel names, groups and keys. It keeps names safe to put into JSON, headers, logs and
// the subjects of message brokers without escaping.
var alphabet = func() (t [256]bool) {
	for _, c := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-.:/@~=") {
		t[c] = true
	}
	return t
}()

// ValidChannel reports whether s may name a channel: 1 to 255 bytes of the alphabet, not beginning with a dot.
func ValidChannel[T string | []byte](s T) bool {
	return len(s) <= MaxChannel && valid(s) && s[0] != '.'
}

// ValidName reports whether s may name a group or a key: 1 to 128 bytes of the alphabet.
func ValidName[T string | []byte](s T) bool { return len(s) <= MaxName && valid(s) }

func valid[T string | []byte](s T) bool {
	for i := 0; i < len(s); i++ {
		if !alphabet[s[i]] {
			return false
		}
	}
	return len(s) > 0
}

// Namespace is the part of a channel name before the first colon; "" if there is none.
func Namespace(channel string) string {
	if i := strings.IndexByte(channel, ':'); i >= 0 {
		return channel[:i]
	}
	return ""
}

// UserChannel is the name of a user's own channel. Bytes of the id that a channel name may not hold,
// and "=", are written as "=" and two hexadecimal digits, so that no two users share a channel: the user
// "auth0|7" has the channel "user:auth0=7C7". Backends that publish to a user use the same rule.
func UserChannel(id string) string {
	const hex = "0123456789ABCDEF"
	b := make([]byte, 0, len(UserNamespace)+1+len(id))
	b = append(append(b, UserNamespace...), ':')
	for _, c := range []byte(id) {
		if alphabet[c] && c != '=' {
			b = append(b, c)
		} else {
			b = append(b, '=', hex[c>>4], hex[c&15])
		}
	}
	return string(b)
}

// plain reports whether a channel name may hold an id as it is.
func plain(id string) bool {
	for i := range len(id) {
		if !alphabet[id[i]] || id[i] == '=' {
			return false
		}
	}
	return true
}

// UserOf is the user whose own channel has a name; "" if it is nobody's.
func UserOf(channel string) string {
	name, ok := strings.CutPrefix(channel, UserNamespace+":")
	if !ok {
		return ""
	}
	if !strings.Contains(name, "=") {
		return name
	}
	var id []byte
	for i := 0; i < len(name); i++ {
		if name[i] != '=' {
			id = append(id, name[i])
			continue
		}
		c, err := hex.DecodeString(name[i+1 : min(i+3, len(name))])
		if err != nil || len(c) != 1 {
			return ""
		}
		id = append(id, c[0])
		i += 2
	}
	if UserChannel(string(id)) != channel { // written in another way
		return ""
	}
	return string(id)
}

// UserKey names a user among the items of a channel: as UserChannel writes the id, or a digest of it, behind
// "=", where that would be too long for a key.
func UserKey(id string) string {
	if len(id) <= MaxName && plain(id) {
		return id
	}
	key := UserChannel(id)[len(UserNamespace)+1:]
	if len(key) > MaxName {
		sum := sha256.Sum256([]byte(id))
		return "=" + hex.EncodeToString(sum[:])
	}
	return key
}

// NewID is the id of a connection: a ULID, which sorts by the time at which it was made.
func NewID() string {
	var id ulid.ULID
	_ = id.SetTime(ulid.Now()) // fails in the year 10889
	_, _ = rand.Read(id[6:])   // never fails
	var text [ulid.EncodedSize]byte
	_ = id.MarshalTextTo(text[:]) // it has room
	return string(text[:])
}
