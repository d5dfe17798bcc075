package presence

import (
	"cmp"
	"strconv"
	"time"

	"weir/internal/wire"
	"weir/relay/auth"
)

// present is a user in a channel. Guarded by presencePart.mu.
type present struct {
	user, name, avatar string        // as the user's newest token says
	issued             int64         // when that token was, in Unix nanoseconds; 0: it does not say
	joined             int64         // Unix nanoseconds
	seen               int64         // the last sign of life, where there is no subscription; Unix milliseconds
	connections        int           // subscribed
	grace              time.Duration // when a user of whom nothing is left leaves, by Presence.now; 0: there is something
	extra              *presentMore  // what few users have; nil: none of it. Read through more, written through extend
}

// presentMore is what is known of a user who has said so. Guarded by presencePart.mu.
type presentMore struct {
	status      string // "" is online
	metadata    []byte // a JSON object that is never written to; nil: none
	attendances []attendance
	statusAt    int64       // when it was said, in Unix nanoseconds
	metadataAt  int64       // as well
	timer       *time.Timer // for the end of an attendance; nil until there is one
}

var noMore presentMore // never written to

// more is what is known besides.
func (u *present) more() *presentMore {
	if u.extra == nil {
		return &noMore
	}
	return u.extra
}

// extend is more, to be written to.
func (u *present) extend() *presentMore {
	if u.extra == nil {
		u.extra = new(presentMore)
	}
	return u.extra
}

// here reports whether anything keeps the user in the channel.
func (u *present) here() bool { return u.connections > 0 || len(u.more().attendances) > 0 }

// names takes over what a token says of the user, unless it is older than the one before; of two that do not both say
// when they were issued, the one that is shown later is the newer. It returns whether that is news.
func (u *present) names(id *auth.Identity) bool {
	issued := int64(0)
	if !id.Issued.IsZero() {
		if issued = id.Issued.UnixNano(); issued < u.issued {
			return false
		}
	}
	u.issued = issued
	if u.name == id.Name && u.avatar == id.Avatar {
		return false
	}
	u.name, u.avatar = id.Name, id.Avatar
	return true
}

// append appends the user as JSON, without the last brace.
func (u *present) append(b []byte) []byte {
	b = wire.AppendString(append(b, `{"id":`...), u.user)
	b = wire.AppendString(append(b, `,"name":`...), u.name)
	b = wire.AppendString(append(b, `,"avatar":`...), u.avatar)
	b = wire.AppendString(append(b, `,"status":`...), cmp.Or(u.more().status, "online"))
	b = strconv.AppendInt(append(b, `,"joinedAt":`...), u.joined/int64(time.Millisecond), 10)
	if m := u.more().metadata; m != nil {
		b = append(append(b, `,"metadata":`...), m...)
	}
	return b
}
