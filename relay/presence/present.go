package presence

import (
	"bytes"
	"cmp"
	"strconv"
	"time"

	"weir/internal/wire"
	"weir/relay/auth"
)

// present is a user in a channel. Guarded by presencePart.mu. It is one object with what is told at first.
type present struct {
	*shown                    // as they are now
	issued      auth.Moment   // when the newest token was; 0: it does not say
	seen        int64         // the last sign of life, where there is no subscription; Unix milliseconds
	grace       time.Duration // when a user of whom nothing is left leaves, by Presence.now; 0: there is something
	connections int           // subscribed
	extra       *presentMore  // what few users have; nil: none of it. Read through more, written through extend
	first       shown         // what shown points to, until there is something new
}

// shown is what is told of a user in a channel. It is never written to: what was told is kept as it, and is made JSON on demand. It implements
// broker.Form.
type shown struct {
	user, name, avatar string // as the user's newest token says
	joined             int64  // Unix nanoseconds
	said               *said  // by the user, or a backend; nil: nothing
}

// said is what a user has said of themselves. It is never written to.
type said struct {
	status     string // "" is online
	metadata   []byte // a JSON object; nil: none
	statusAt   int64  // when it was said, in Unix nanoseconds
	metadataAt int64  // as well
}

// presentMore is what else keeps a user. Guarded by presencePart.mu.
type presentMore struct {
	attendances []attendance
	timer       *time.Timer // for the end of an attendance; nil until there is one
}

var (
	noMore presentMore // never written to
	silent said
)

// newPresent is a user who has just come.
func newPresent(s shown) *present {
	u := &present{first: s}
	u.shown = &u.first
	return u
}

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
	if id.Issued != 0 && id.Issued < u.issued {
		return false
	}
	u.issued = id.Issued
	if u.name == id.Name && u.avatar == id.Avatar {
		return false
	}
	now := *u.shown
	now.name, now.avatar = id.Name, id.Avatar
	u.shown = &now
	return true
}

// says takes over what a user says of themselves. It returns whether that is news.
func (u *present) says(status string, metadata []byte, at time.Time) bool {
	now, news := *u.words(), false
	if status != "" && status != cmp.Or(now.status, "online") {
		now.status, now.statusAt, news = status, at.UnixNano(), true
	}
	if metadata != nil && !bytes.Equal(metadata, now.metadata) {
		now.metadata, now.metadataAt, news = metadata, at.UnixNano(), true
	}
	if news {
		next := *u.shown
		next.said = &now
		u.shown = &next
	}
	return news
}

// words are what was said, if anything was.
func (s *shown) words() *said {
	if s.said == nil {
		return &silent
	}
	return s.said
}

// same reports whether o would be told as s is; o may be nil.
func (s *shown) same(o *shown) bool {
	if o == nil {
		return false
	}
	a, b := s.words(), o.words()
	return s.user == o.user && s.name == o.name && s.avatar == o.avatar && s.joined/int64(time.Millisecond) == o.joined/int64(time.Millisecond) &&
		cmp.Or(a.status, "online") == cmp.Or(b.status, "online") && bytes.Equal(a.metadata, b.metadata)
}

// AppendTo implements broker.Form.
func (s *shown) AppendTo(b []byte) []byte { return append(s.open(b), '}') }

// open appends the user as JSON, without the last brace.
func (s *shown) open(b []byte) []byte {
	b = wire.AppendString(append(b, `{"id":`...), s.user)
	b = wire.AppendString(append(b, `,"name":`...), s.name)
	b = wire.AppendString(append(b, `,"avatar":`...), s.avatar)
	w := s.words()
	b = wire.AppendString(append(b, `,"status":`...), cmp.Or(w.status, "online"))
	b = strconv.AppendInt(append(b, `,"joinedAt":`...), s.joined/int64(time.Millisecond), 10)
	if w.metadata != nil {
		b = append(append(b, `,"metadata":`...), w.metadata...)
	}
	return b
}
