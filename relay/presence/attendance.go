package presence

import (
	"slices"
	"strings"
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

// Expel ends all attendances of a user.
func (p *Presence) Expel(channel, user string) {
	p.end(channel, user, false, func(attendance) bool { return true })
}

// end ends attendances of a user.
func (p *Presence) end(channel, user string, abrupt bool, which func(a attendance) bool) {
	part := p.part(channel)
	part.mu.Lock()
	defer part.mu.Unlock()
	u := part.channels[channel].Find(user)
	if u == nil || !slices.ContainsFunc(u.more().attendances, which) {
		return
	}
	u.extra.attendances = slices.DeleteFunc(u.extra.attendances, which)
	p.settle(part, strings.Clone(channel), u, abrupt)
}

// attended is the index of a connection's attendance, or -1.
func (u *present) attended(connection string) int {
	return slices.IndexFunc(u.more().attendances, func(a attendance) bool { return a.connection == connection })
}

// alone notes whether a connection that attends is subscribed besides.
func (u *present) alone(connection string, alone bool) {
	if i := u.attended(connection); i >= 0 {
		u.extra.attendances[i].alone = alone
	}
}

// unsubscribed is how many connections attend that are not subscribed.
func (u *present) unsubscribed() int {
	n := 0
	for _, a := range u.more().attendances {
		if a.alone {
			n++
		}
	}
	return n
}

// Attend puts a user into a channel at the word of a client or a backend; alone says that the connection is not subscribed besides.
func (p *Presence) Attend(channel, connection string, id *auth.Identity, a Attendance, alone bool) error {
	if Channel(channel) == "" {
		return problem.BadChannel.With("the channel's name is too long for presence")
	}
	part := p.part(channel)
	part.mu.Lock()
	defer part.mu.Unlock()
	if part.closed {
		return problem.Draining
	}
	u, news := p.enter(part, channel, id.User, id)
	x := u.extend()
	now := time.Now()
	news = u.says(a.Status, a.Metadata, now) || news
	u.seen = now.UnixMilli()
	if i := u.attended(connection); i >= 0 {
		x.attendances[i].until = now.Add(attendanceLasts)
	} else {
		x.attendances = append(x.attendances, attendance{connection, now.Add(attendanceLasts), alone})
		p.review(part, channel, u, now)
	}
	p.changed(part, channel, u, news)
	return nil
}

// Heartbeat notes a sign of life of an attendance. It returns false if there is none.
func (p *Presence) Heartbeat(channel, connection, user string) bool {
	part := p.part(channel)
	part.mu.Lock()
	defer part.mu.Unlock()
	u := part.channels[channel].Find(user)
	if u == nil {
		return false
	}
	i := u.attended(connection)
	if i < 0 {
		return false
	}
	now := time.Now()
	u.seen = now.UnixMilli()
	u.extra.attendances[i].until = now.Add(attendanceLasts)
	p.changed(part, channel, u, false)
	return true
}

// Detach ends the attendance of a connection, at once or, if the client may come back, after the grace.
func (p *Presence) Detach(channel, connection, user string, abrupt bool) {
	p.end(channel, user, abrupt, func(a attendance) bool { return a.connection == connection })
}
