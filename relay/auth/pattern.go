package auth

import (
	"errors"
	"strings"
)

const (
	maxChannel = 255      // bytes of a channel name or pattern
	userMark   = "{user}" // replaced by the subject of the token
)

// MatchPattern reports whether pattern covers channel. A pattern is one of
//
//   - a channel name: covers exactly that channel ("room:42"), byte for byte;
//   - a channel name whose last segment, and no other, is "*": covers every channel that begins with
//     what stands before the star and goes on ("room:*" covers "room:42" and "room:42:typing", but
//     not "room:", "room" or "roommate:1"). Segments are separated by ":" and nothing else;
//   - "*": covers every channel, those of other users and of presence included.
//
// Anything else with a star in it ("ro*", "room:*:x", "**") covers nothing, and nothing covers "".
// The time taken is linear in the shorter of the two; nothing is allocated.
func MatchPattern(pattern, channel string) bool {
	star := strings.IndexByte(pattern, '*')
	if star < 0 {
		return pattern == channel && pattern != ""
	}
	prefix := pattern[:star]
	if star != len(pattern)-1 || (prefix != "" && prefix[star-1] != ':') {
		return false
	}
	return len(channel) > len(prefix) && strings.HasPrefix(channel, prefix)
}

var (
	errPattern = errors.New("a pattern is a channel name whose last segment may be *")
	errUser    = errors.New("a subject in place of {user} must be letters, digits and _ . - / @ ~ =")
)

// expandPattern checks a pattern as it stands in a token and puts user in place of "{user}". A user
// that holds a separator or a star could widen the pattern beyond one segment, so it is refused.
func expandPattern(pattern, user string) (string, error) {
	if strings.Contains(pattern, userMark) {
		for i := range len(user) {
			if user[i] == ':' || !channelByte(user[i]) {
				return "", errUser
			}
		}
		if len(pattern) > maxChannel {
			return "", errPattern
		}
		pattern = strings.ReplaceAll(pattern, userMark, user)
	}
	if pattern == "" || len(pattern) > maxChannel || pattern[0] == '.' {
		return "", errPattern
	}
	name := pattern
	if name == "*" {
		return pattern, nil
	}
	if strings.HasSuffix(name, ":*") {
		name = name[:len(name)-1]
	}
	for i := range len(name) {
		if !channelByte(name[i]) {
			return "", errPattern
		}
	}
	return pattern, nil
}

// channelByte reports whether c may stand in the name of a channel.
func channelByte(c byte) bool {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		return true
	}
	return strings.IndexByte("_.-:/@~=", c) >= 0
}
