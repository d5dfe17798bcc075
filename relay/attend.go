package relay

import (
	"bytes"
	"cmp"
	"slices"
	"time"

	"weir/relay/auth"
	"weir/relay/problem"
)

// attendanceLasts is how long a client that has said it is in a channel stays there without a further word.
const attendanceLasts = 60 * time.Second

// attendance is what a client has said itself about being in a channel, whether it is subscribed or not.
// Guarded by presencePart.mu.
type attendance struct {
	connection string // "": a backend has said so for the user
	until      time.Time
	alone      bool // the connection is not subscribed besides, and counts for itself
}

// Attendance is how a client is in a channel. What is empty stays as it was.
type Attendance struct {
	Status   string // "online" at first
	Metadata []byte // a JSON object on one line; not changed any more
}

// Attend has a user in a channel because their client says so; connection is "" if a backend does. It ends 60
// seconds after the last Attend or Seen, or with Absent, or 5 seconds after Departed. The user is there once,
// whatever else keeps them there, and only what is new about them is told.
func (c *Core) Attend(channel, connection string, id *auth.Identity, a Attendance) error {
	if presenceChannel(channel) == "" {
		return problem.BadChannel.With("the channel's name is too long for presence")
	}
	alone := true
	if s := c.relay.sessions.byID(connection); s != nil {
		s.mu.Lock()
		at := s.find(channel)
		alone = at < 0 || !s.subs[at].present
		s.mu.Unlock()
	}
	p := c.relay.presence
	part := p.part(channel)
	part.mu.Lock()
	defer part.mu.Unlock()
	if part.closed {
		return problem.Draining
	}
	u, news := p.enter(part, channel, id.User, id)
	if a.Status != "" && a.Status != cmp.Or(u.status, "online") {
		u.status, news = a.Status, true
	}
	if a.Metadata != nil && !bytes.Equal(a.Metadata, u.metadata) {
		u.metadata, news = a.Metadata, true
	}
	now := time.Now()
	u.seen = now
	if i := u.attended(connection); i >= 0 {
		u.attendances[i].until = now.Add(attendanceLasts)
	} else {
		u.attendances = append(u.attendances, attendance{connection, now.Add(attendanceLasts), alone})
		p.review(part, channel, u, now)
	}
	if news {
		p.show(channel, u)
	}
	return nil
}

// Seen is a sign of life of a client that attends a channel; nobody is told. It answers false if it does not
// attend, or no longer.
func (c *Core) Seen(channel, connection, user string) bool {
	part := c.relay.presence.part(channel)
	part.mu.Lock()
	defer part.mu.Unlock()
	u := part.channels[channel][user]
	if u == nil {
		return false
	}
	i := u.attended(connection)
	if i < 0 {
		return false
	}
	u.seen = time.Now()
	u.attendances[i].until = u.seen.Add(attendanceLasts)
	return true
}

// Absent ends an attendance because the client says so.
func (c *Core) Absent(channel, connection, user string) {
	c.relay.presence.end(channel, user, false, func(a attendance) bool { return a.connection == connection })
}

// Departed ends an attendance because the connection has ended: the user has a while to come back.
func (c *Core) Departed(channel, connection, user string) {
	c.relay.presence.end(channel, user, true, func(a attendance) bool { return a.connection == connection })
}

// expel ends all attendances of a user.
func (p *presence) expel(channel, user string) {
	p.end(channel, user, false, func(attendance) bool { return true })
}

// end ends attendances of a user.
func (p *presence) end(channel, user string, abrupt bool, which func(a attendance) bool) {
	part := p.part(channel)
	part.mu.Lock()
	defer part.mu.Unlock()
	u := part.channels[channel][user]
	if u == nil || !slices.ContainsFunc(u.attendances, which) {
		return
	}
	u.attendances = slices.DeleteFunc(u.attendances, which)
	p.settle(part, channel, u, abrupt)
}

// attended is the index of a connection's attendance, or -1.
func (u *present) attended(connection string) int {
	return slices.IndexFunc(u.attendances, func(a attendance) bool { return a.connection == connection })
}

// alone notes whether a connection that attends is subscribed besides.
func (u *present) alone(connection string, alone bool) {
	if i := u.attended(connection); i >= 0 {
		u.attendances[i].alone = alone
	}
}

// unsubscribed is how many connections attend that are not subscribed.
func (u *present) unsubscribed() int {
	n := 0
	for _, a := range u.attendances {
		if a.alone {
			n++
		}
	}
	return n
}
