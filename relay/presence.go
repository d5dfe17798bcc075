package relay

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"weir/broker"
	"weir/internal/wire"
)

// presenceGrace is how long a user whose last connection broke off stays: a reconnect is no news.
const presenceGrace = 5 * time.Second

// usersGroup holds the users in a presence channel.
const usersGroup = "users"

// presence keeps who is in which channel: a user is there while any of their connections is subscribed.
// Joins, leaves and changes are told as items of the channel's presence channel; that a connection is
// alive is the heartbeat's to find out, and is not told.
type presence struct {
	relay *Relay
	parts [registryParts]presencePart
}

type presencePart struct {
	// Guarded by mu, which is taken before a channel's lock and after a session's.
	mu       sync.Mutex
	closed   bool
	channels map[string]map[string]*present
}

// present is a user in a channel. Guarded by presencePart.mu.
type present struct {
	user, name, avatar string
	joined             time.Time
	connections        int
	grace              *time.Timer // running when connections is 0
}

func (p *presence) part(channel string) *presencePart {
	return &p.parts[p.relay.sessions.part(channel)]
}

// presenceChannel is where the presence of a channel is told; "" if its name would be too long.
func presenceChannel(channel string) string {
	name := wire.PresenceNamespace + ":" + channel
	if !wire.ValidChannel(name) {
		return ""
	}
	return name
}

// join counts a connection in.
func (p *presence) join(channel string, s *session) {
	part := p.part(channel)
	part.mu.Lock()
	defer part.mu.Unlock()
	users := part.channels[channel]
	if users == nil {
		if part.channels == nil {
			part.channels = make(map[string]map[string]*present)
		}
		users = make(map[string]*present, 1)
		part.channels[strings.Clone(channel)] = users // the name of a command does not outlive it
	}
	u := users[s.user]
	if u == nil {
		id := s.identity.Load()
		u = &present{user: s.user, name: id.Name, avatar: id.Avatar, joined: time.Now()}
		users[s.user] = u
		p.tell(channel, &broker.Publication{Op: broker.Set, Group: usersGroup, Key: wire.UserKey(u.user), Data: append(u.append(nil), '}')})
	}
	if u.grace != nil {
		u.grace.Stop()
		u.grace = nil
	}
	u.connections++
}

// leave counts a connection out. The user's last one leaves at once, or after the grace if it broke off.
func (p *presence) leave(channel string, s *session, abrupt bool) {
	part := p.part(channel)
	part.mu.Lock()
	defer part.mu.Unlock()
	u := part.channels[channel][s.user]
	if u == nil {
		return
	}
	if u.connections--; u.connections > 0 {
		return
	}
	if !abrupt || part.closed {
		p.remove(part, channel, u)
		return
	}
	var timer *time.Timer
	timer = time.AfterFunc(presenceGrace, func() { // stopped by join or close
		part.mu.Lock()
		defer part.mu.Unlock()
		if u.grace == timer {
			p.remove(part, channel, u)
		}
	})
	u.grace = timer
}

// remove takes a user out. The caller holds part.mu.
func (p *presence) remove(part *presencePart, channel string, u *present) {
	users := part.channels[channel]
	delete(users, u.user)
	if len(users) == 0 {
		delete(part.channels, channel)
	}
	p.tell(channel, &broker.Publication{Op: broker.Delete, Group: usersGroup, Key: wire.UserKey(u.user)})
}

// tell publishes a change of presence. A presence channel that is full of users is no reason to keep
// them out of the channel itself.
func (p *presence) tell(channel string, pub *broker.Publication) {
	if name := presenceChannel(channel); name != "" {
		_, _ = p.relay.broker.Publish(name, pub)
	}
}

// close stops the timers of users in their grace.
func (p *presence) close() {
	for i := range p.parts {
		part := &p.parts[i]
		part.mu.Lock()
		part.closed = true
		for _, users := range part.channels {
			for _, u := range users {
				if u.grace != nil {
					u.grace.Stop()
					u.grace = nil
				}
			}
		}
		part.mu.Unlock()
	}
}

// append appends the user as JSON, without the last brace.
func (u *present) append(b []byte) []byte {
	b = wire.AppendString(append(b, `{"id":`...), u.user)
	b = wire.AppendString(append(b, `,"name":`...), u.name)
	b = wire.AppendString(append(b, `,"avatar":`...), u.avatar)
	b = append(b, `,"status":"online","joinedAt":`...)
	return strconv.AppendInt(b, u.joined.UnixMilli(), 10)
}

// appendUsers appends the members users, unless only the count is wanted, and count, each after a comma.
func (p *presence) appendUsers(b []byte, channel string, countOnly bool) []byte {
	part := p.part(channel)
	part.mu.Lock()
	defer part.mu.Unlock()
	users := part.channels[channel]
	if !countOnly {
		list := make([]*present, 0, len(users))
		for _, u := range users {
			list = append(list, u)
		}
		slices.SortFunc(list, func(x, y *present) int {
			return cmp.Or(x.joined.Compare(y.joined), cmp.Compare(x.user, y.user))
		})
		b = append(b, `,"users":[`...)
		for i, u := range list {
			if i > 0 {
				b = append(b, ',')
			}
			b = strconv.AppendInt(append(u.append(b), `,"connections":`...), int64(u.connections), 10)
			b = append(b, '}')
		}
		b = append(b, ']')
	}
	return strconv.AppendInt(append(b, `,"count":`...), int64(len(users)), 10)
}
