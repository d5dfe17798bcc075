package authz

import (
	"strings"

	"weir/relay/auth"
)

// subject is what a decision is about.
type subject struct {
	user, channel string
	op            auth.Ops
	roles         string // joined by NUL
}

// clone copies the subject: the strings of a command are valid as long as the command only.
func (a subject) clone() subject {
	return subject{strings.Clone(a.user), strings.Clone(a.channel), a.op, a.roles}
}

// of reports whether the subject is about a user and a channel, or about any of the user's channels if channel is "".
func (a subject) of(user, channel string) bool {
	return a.user == user && (channel == "" || a.channel == channel)
}
