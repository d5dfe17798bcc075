package presence

import (
	"hash/maphash"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"weir/broker"
	"weir/internal/contain"
	"weir/internal/lookup"
	"weir/internal/wire"
	"weir/relay/auth"
)

// presenceGrace is how long a user whose last connection broke off stays: a reconnect is no news.
const presenceGrace = 5 * time.Second

// usersGroup holds the users in a presence channel.
const usersGroup = "users"

// Presence keeps who is in which channel: a user is there while any of their connections is subscribed, or has
// said so itself (see Attend). Joins, leaves and changes are told as items of the channel's presence channel;
// that a connection is alive is the heartbeat's to find out, and is not told.
type Presence struct {
	// Set at start.
	broker  *broker.Broker
	contain contain.Hook
	start   time.Time
	seed    maphash.Seed
	members []func(channel, user string, joined bool)
	crowd   *crowd // nil: this is the only node, and parts are all there is

	parts [64]presencePart

	// Atomic.
	Users         atomic.Int64 // users, in all channels
	Joins, Leaves atomic.Uint64
}

// New makes the presence of a relay's channels. It is used after Start.
func New(hook contain.Hook) *Presence {
	return &Presence{contain: hook, start: time.Now(), seed: maphash.MakeSeed()}
}

// now is the time on a clock that does not jump.
func (p *Presence) now() time.Duration { return time.Since(p.start) }

// Start has presence be told in the channels of b.
func (p *Presence) Start(b *broker.Broker) { p.broker = b }

type presencePart struct {
	// Guarded by mu, which is taken before a channel's lock and after a session's.
	mu       sync.Mutex
	closed   bool
	channels map[string]*users
	told     map[string]string // where the presence of each of them is told: see Channel
	leaving  []leaving         // users who have broken off, in the order in which they leave
	timer    *time.Timer       // for the first of them; nil until there was one
	room     []byte            // where what is told of a user is put together
}

// users are those of a channel; nil: there are none.
type users = lookup.Table[present, byID]

// byID finds users.
type byID struct{}

func (byID) Key(u *present) string { return u.user }

// leaving is a user of whom nothing was left, and when they leave unless that changes.
type leaving struct {
	at      time.Duration
	channel string
	user    *present
}

func (p *Presence) part(channel string) *presencePart {
	return &p.parts[maphash.String(p.seed, channel)%uint64(len(p.parts))]
}

// Channel is where the presence of a channel is told; "" if its name would be too long.
func Channel(channel string) string {
	name := wire.PresenceNamespace + ":" + channel
	if !wire.ValidChannel(name) {
		return ""
	}
	return name
}

// Refresh takes over what a new token of a user says, in a channel where they are. The caller holds no lock.
func (p *Presence) Refresh(channel string, id *auth.Identity) {
	part := p.part(channel)
	part.mu.Lock()
	defer part.mu.Unlock()
	if u := part.channels[channel].Find(id.User); u != nil && u.names(id) {
		p.changed(part, channel, u, true)
	}
}

// OnMember calls f when a user is in a channel from now on, and when they no longer are, under the lock of the channel's part. At
// start.
func (p *Presence) OnMember(f func(channel, user string, joined bool)) {
	p.members = append(p.members, f)
}

// enter returns a user of a channel, who is made if need be; news says that there is something to tell of them. The
// caller holds part.mu, and tells it. A backend that says no name says nothing of it.
func (p *Presence) enter(part *presencePart, channel, user string, id *auth.Identity) (u *present, news bool) {
	in := part.channels[channel]
	if in == nil {
		if part.channels == nil {
			part.channels, part.told = make(map[string]*users), make(map[string]string)
		}
		in = new(users)
		channel = strings.Clone(channel) // the name of a command does not outlive it
		part.channels[channel], part.told[channel] = in, Channel(channel)
	}
	if u = in.Find(user); u == nil {
		u, news = newPresent(shown{user: user, name: id.Name, avatar: id.Avatar, joined: time.Now().UnixNano()}), true
		in.Put(u)
		p.joined(channel, user)
	}
	if id.Expires != 0 || id.Name != "" || id.Avatar != "" {
		news = u.names(id) || news
	}
	u.grace = 0
	return u, news
}

// joined counts a user of a channel in, unless that is done where all nodes are put together.
func (p *Presence) joined(channel, user string) {
	if p.crowd != nil {
		return
	}
	p.Users.Add(1)
	p.count(channel, user, true)
}

// count notes that a user has come to a channel, or left it.
func (p *Presence) count(channel, user string, joined bool) {
	if joined {
		p.Joins.Add(1)
	} else {
		p.Leaves.Add(1)
	}
	for _, f := range p.members {
		f(channel, user, joined)
	}
}

// Join counts a connection in.
func (p *Presence) Join(channel, connection string, id *auth.Identity) {
	part := p.part(channel)
	part.mu.Lock()
	defer part.mu.Unlock()
	u, news := p.enter(part, channel, id.User, id)
	u.connections++
	u.alone(connection, false)
	p.changed(part, channel, u, news)
}

// Leave counts a connection out. The user's last one leaves at once, or after the grace if it broke off.
func (p *Presence) Leave(channel, connection, user string, abrupt bool) {
	part := p.part(channel)
	part.mu.Lock()
	defer part.mu.Unlock()
	u := part.channels[channel].Find(user)
	if u == nil || u.connections == 0 {
		return
	}
	u.connections--
	u.alone(connection, true)
	u.seen = time.Now().UnixMilli()
	p.settle(part, channel, u, abrupt)
}

// settle lets a user go of whom nothing is left: at once, or after the grace. The caller holds part.mu.
func (p *Presence) settle(part *presencePart, channel string, u *present, abrupt bool) {
	switch {
	case u.here():
		p.changed(part, channel, u, false)
	case !abrupt || part.closed:
		p.remove(part, channel, u)
	default:
		p.expect(part, channel, u)
		p.changed(part, channel, u, false)
	}
}

// expect has a user leave after the grace. The caller holds part.mu.
func (p *Presence) expect(part *presencePart, channel string, u *present) {
	u.grace = p.now() + presenceGrace
	part.leaving = append(part.leaving, leaving{u.grace, channel, u})
	if len(part.leaving) > 1 {
		return
	}
	if part.timer != nil {
		part.timer.Reset(presenceGrace)
		return
	}
	part.timer = p.contain.After(presenceGrace, "presence", func() { p.dismiss(part) }, func() { p.dismiss(part) }) // stopped by Close
}

// dismiss lets the users go whose grace is over, and waits for the next.
func (p *Presence) dismiss(part *presencePart) {
	part.mu.Lock()
	defer part.mu.Unlock()
	now := p.now()
	for !part.closed && len(part.leaving) > 0 {
		l := part.leaving[0]
		if l.at > now {
			part.timer.Reset(l.at - now)
			return
		}
		part.leaving[0] = leaving{}
		part.leaving = part.leaving[1:]
		if l.user.grace == l.at && part.channels[l.channel].Find(l.user.user) == l.user {
			p.remove(part, l.channel, l.user)
		}
	}
	part.leaving = nil
}

// arm has a user looked at after a while, or sooner. The caller holds part.mu.
func (p *Presence) arm(part *presencePart, channel string, u *present, wait time.Duration) {
	if part.closed {
		return
	}
	x := u.extend()
	if x.timer != nil {
		x.timer.Reset(wait)
		return
	}
	channel = strings.Clone(channel)
	x.timer = p.contain.After(wait, "presence", func() { p.due(part, channel, u) }, func() { part.again(u) }) // stopped by remove and close
}

// due ends what has had its time, and with it the user.
func (p *Presence) due(part *presencePart, channel string, u *present) {
	part.mu.Lock()
	defer part.mu.Unlock()
	if !part.closed && part.channels[channel].Find(u.user) == u {
		p.review(part, channel, u, time.Now())
	}
}

// again has a user looked at later that there was a panic over: nobody is to stay for ever.
func (part *presencePart) again(u *present) {
	part.mu.Lock()
	defer part.mu.Unlock()
	if !part.closed {
		u.extra.timer.Reset(presenceGrace)
	}
}

// review is due for who holds part.mu.
func (p *Presence) review(part *presencePart, channel string, u *present, now time.Time) {
	x := u.extend()
	x.attendances = slices.DeleteFunc(x.attendances, func(a attendance) bool { return !a.until.After(now) })
	if !u.here() && u.grace == 0 {
		p.remove(part, channel, u)
		return
	}
	if p.crowd != nil {
		p.changed(part, channel, u, false)
	}
	var next time.Time
	for _, a := range x.attendances {
		if next.IsZero() || a.until.Before(next) {
			next = a.until
		}
	}
	if !next.IsZero() {
		p.arm(part, channel, u, max(next.Sub(now), 0))
	}
}

// remove takes a user out. The caller holds part.mu.
func (p *Presence) remove(part *presencePart, channel string, u *present) {
	if t := u.more().timer; t != nil {
		t.Stop()
	}
	in, told := part.channels[channel], part.told[channel]
	in.Remove(u.user)
	if in.Len() == 0 {
		delete(part.channels, channel)
		delete(part.told, channel)
	}
	if p.crowd != nil {
		if !part.closed { // otherwise the users come back to other nodes
			p.crowd.report(channel, u.user, nil)
		}
		return
	}
	p.Users.Add(-1)
	p.count(channel, u.user, false)
	p.tell(told, &broker.Publication{Op: broker.Delete, Group: usersGroup, Key: wire.UserKey(u.user)})
}

// changed tells how a user is there, if that is news to others; where there are several nodes, the one that puts them together knows. The
// caller holds part.mu.
func (p *Presence) changed(part *presencePart, channel string, u *present, news bool) {
	switch {
	case p.crowd != nil:
		p.crowd.report(channel, u.user, u.report())
	case news:
		p.show(part, channel, u)
	}
}

// show tells that a user is there, and how. The caller holds part.mu.
func (p *Presence) show(part *presencePart, channel string, u *present) {
	part.room = u.AppendTo(part.room[:0]) // the broker copies what it keeps of it
	p.tell(part.told[channel], &broker.Publication{Op: broker.Set, Group: usersGroup, Key: wire.UserKey(u.user), Data: part.room, Form: u.shown})
	if cap(part.room) > maxRoom {
		part.room = nil
	}
}

// maxRoom is how large presencePart.room may stay.
const maxRoom = 4 << 10

// tell publishes a change of presence where that is told. A presence channel that is full of users is no reason to keep
// them out of the channel itself.
func (p *Presence) tell(name string, pub *broker.Publication) {
	if name != "" {
		_, _ = p.broker.Submit(name, pub) // nobody waits for it: a lock is held
	}
}

// Close stops the timers.
func (p *Presence) Close() {
	for i := range p.parts {
		part := &p.parts[i]
		part.mu.Lock()
		part.closed = true
		if part.timer != nil {
			part.timer.Stop()
		}
		for _, in := range part.channels {
			for u := range in.All() {
				if t := u.more().timer; t != nil {
					t.Stop()
				}
			}
		}
		part.mu.Unlock()
	}
	p.crowd.close()
}
