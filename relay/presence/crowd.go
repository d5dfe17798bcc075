package presence

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"slices"
	"strings"
	"sync"
	"time"

	"weir/broker"
	"weir/internal/wire"
	"weir/relay/auth"
	"weir/relay/cluster"
)

// Kind is the kind of the parts of presence, each a user of a channel as one node has them, and of questions about them.
const Kind = "presence"

// crowd is who is in the channels that this node owns, as all nodes together say. A user is there while any node has them. What
// there is to tell is told here, and nowhere else: once. It implements cluster.Merger.
type crowd struct {
	presence *Presence
	cluster  *cluster.Cluster
	parts    [64]crowdPart
}

type crowdPart struct {
	// Guarded by mu, which is taken after presencePart.mu and before a channel's lock.
	mu       sync.Mutex
	closed   bool
	channels map[string]map[string]*attendee
}

// attendee is a user in a channel. Guarded by crowdPart.mu.
type attendee struct {
	present
	here  bool        // a node has them
	until time.Time   // when a user leaves whom no node has
	told  *shown      // as was told; nil: that is still to be done
	timer *time.Timer // for until, or to tell again what could not be told; nil until there is one
}

// presentPart is what one node says of a user in a channel. Times are Unix nanoseconds, by that node's clock.
type presentPart struct {
	Name        string          `json:"name,omitempty"`
	Avatar      string          `json:"avatar,omitempty"`
	Issued      int64           `json:"issued,omitempty"`
	Joined      int64           `json:"joined"`
	Seen        int64           `json:"seen,omitempty"` // Unix milliseconds
	Connections int             `json:"connections,omitempty"`
	Alone       int             `json:"alone,omitempty"` // connections that attend and are not subscribed
	Status      string          `json:"status,omitempty"`
	StatusAt    int64           `json:"statusAt,omitempty"`
	Metadata    json.RawMessage `json:"metadata,omitempty"`
	MetadataAt  int64           `json:"metadataAt,omitempty"`
}

// Share has presence be put together of what all nodes of c say: for that they report, and ask, under the name Kind. At start.
func (p *Presence) Share(c *cluster.Cluster) (cluster.Merger, cluster.Handler) {
	p.crowd = &crowd{presence: p, cluster: c}
	return p.crowd, func(body []byte) ([]byte, error) {
		var q presentQuery
		if err := json.Unmarshal(body, &q); err != nil {
			return nil, fmt.Errorf("request for presence: %w", err)
		}
		if c.Elsewhere(q.Channel) {
			return nil, cluster.ErrNoOwner
		}
		return p.AppendUsers(nil, q.Channel, q.CountOnly), nil
	}
}

// presentQuery asks who is in a channel.
type presentQuery struct {
	Channel   string `json:"channel"`
	CountOnly bool   `json:"countOnly"`
}

// AskUsers is AppendUsers for a channel that another node owns: it is asked. Errors: it is not reached.
func (p *Presence) AskUsers(b []byte, channel string, countOnly bool) ([]byte, error) {
	body, err := json.Marshal(presentQuery{channel, countOnly})
	if err == nil {
		body, err = p.crowd.cluster.Call(context.Background(), channel, Kind, body)
	}
	return append(b, body...), err
}

// report is the part of this node. The caller holds presencePart.mu.
func (u *present) report() []byte {
	w := u.words()
	b, err := json.Marshal(presentPart{u.name, u.avatar, int64(u.issued) * int64(time.Microsecond), u.joined, u.seen, u.connections, u.unsubscribed(), w.status, w.statusAt, w.metadata, w.metadataAt})
	if err != nil { // of metadata, which was checked
		b = []byte(`{}`)
	}
	return b
}

// report tells the owner of a channel of a user; nil: this node has them no more. The caller holds presencePart.mu.
func (c *crowd) report(channel, user string, part []byte) {
	c.cluster.Report(Kind, channel, user, part, false)
}

// Each implements cluster.Merger.
func (c *crowd) Each(of func(key string) bool, tell func(key, name string, since time.Time, value []byte)) {
	for i := range c.presence.parts {
		part := &c.presence.parts[i]
		part.mu.Lock()
		for channel, users := range part.channels {
			if part.closed || !of(channel) {
				continue
			}
			for u := range users.All() {
				tell(channel, u.user, time.Unix(0, u.joined), u.report())
			}
		}
		part.mu.Unlock()
	}
}

func (c *crowd) part(channel string) *crowdPart {
	return &c.parts[maphash.String(c.presence.seed, channel)%uint64(len(c.parts))]
}

// Opened implements cluster.Merger: whom the presence channels show stays for a while, until some node says that they are there.
func (c *crowd) Opened(of func(key string) bool) {
	b := c.presence.broker
	b.Names(func(name string) bool {
		channel, ok := strings.CutPrefix(name, wire.PresenceNamespace+":")
		if !ok || !of(name) {
			return true
		}
		r, _ := b.Read(name, []string{usersGroup})
		var state map[string]map[string]json.RawMessage
		if json.Unmarshal(r.State, &state) != nil {
			return true
		}
		part := c.part(channel)
		part.mu.Lock()
		defer part.mu.Unlock()
		for _, item := range state[usersGroup] {
			var u struct {
				ID       string          `json:"id"`
				Name     string          `json:"name"`
				Avatar   string          `json:"avatar"`
				Status   string          `json:"status"`
				JoinedAt int64           `json:"joinedAt"`
				Metadata json.RawMessage `json:"metadata"`
			}
			if json.Unmarshal(item, &u) != nil || u.ID == "" {
				continue
			}
			a := c.enter(part, channel, u.ID)
			a.told = &shown{u.ID, u.Name, u.Avatar, u.JoinedAt * int64(time.Millisecond), &said{status: u.Status, metadata: u.Metadata}}
			a.shown, a.extra = a.told, nil
			c.expect(part, channel, a)
		}
		return true
	})
}

// Lost implements cluster.Merger.
func (c *crowd) Lost(of func(key string) bool) {
	for i := range c.parts {
		part := &c.parts[i]
		part.mu.Lock()
		for channel, users := range part.channels {
			if !of(channel) {
				continue
			}
			for _, a := range users {
				a.halt()
			}
			c.presence.Users.Add(-int64(len(users)))
			delete(part.channels, channel)
		}
		part.mu.Unlock()
	}
}

// enter returns a user of a channel, who is made if need be. The caller holds part.mu.
func (c *crowd) enter(part *crowdPart, channel, user string) *attendee {
	users := part.channels[channel]
	if users == nil {
		if part.channels == nil {
			part.channels = make(map[string]map[string]*attendee)
		}
		users = make(map[string]*attendee, 1)
		part.channels[channel] = users
	}
	a := users[user]
	if a == nil {
		a = &attendee{present: present{shown: &shown{user: user}}}
		users[user] = a
		c.presence.Users.Add(1)
	}
	return a
}

// Merge implements cluster.Merger.
func (c *crowd) Merge(channel, user string, parts []cluster.Part, why cluster.Why) {
	part := c.part(channel)
	part.mu.Lock()
	defer part.mu.Unlock()
	if part.closed {
		return
	}
	a := part.channels[channel][user]
	if len(parts) == 0 {
		switch {
		case a == nil || !a.here:
		case why.Abrupt:
			c.expect(part, channel, a)
		default:
			a.here, a.until = false, time.Time{}
			c.review(part, channel, a)
		}
		return
	}
	news := a == nil && !why.Known
	if a == nil {
		a = c.enter(part, channel, user)
	}
	a.here = true
	a.put(parts)
	if news {
		c.presence.count(channel, user, true)
	}
	c.review(part, channel, a)
}

// put puts together what nodes say of a user.
func (a *attendee) put(parts []cluster.Part) {
	var newest presentPart
	a.connections, a.seen = 0, 0
	alone := 0
	now, words := *a.shown, *a.words()
	for i, p := range parts {
		var u presentPart
		if json.Unmarshal(p.Value, &u) != nil {
			continue
		}
		if cmp.Or(cmp.Compare(u.Issued, newest.Issued), cmp.Compare(u.Joined, newest.Joined)) > 0 || i == 0 {
			newest = u
		}
		if now.joined == 0 || u.Joined < now.joined {
			now.joined = u.Joined
		}
		if u.StatusAt > words.statusAt {
			words.status, words.statusAt = u.Status, u.StatusAt
		}
		if u.MetadataAt > words.metadataAt {
			words.metadata, words.metadataAt = u.Metadata, u.MetadataAt
		}
		a.connections += u.Connections
		a.seen = max(a.seen, u.Seen)
		alone += u.Alone
	}
	now.name, now.avatar, a.issued = newest.Name, newest.Avatar, auth.Moment(newest.Issued/int64(time.Microsecond))
	if now.said != nil || words.statusAt != 0 || words.metadataAt != 0 {
		now.said = &words
	}
	a.shown = &now
	a.extend().attendances = slices.Repeat([]attendance{{alone: true}}, alone)
}

// expect has a user leave whom no node has any more, unless one has them again in time. The caller holds part.mu.
func (c *crowd) expect(part *crowdPart, channel string, a *attendee) {
	a.here, a.until = false, time.Now().Add(presenceGrace)
	c.arm(part, channel, a, presenceGrace)
}

// arm has a user looked at after a while. The caller holds part.mu.
func (c *crowd) arm(part *crowdPart, channel string, a *attendee, wait time.Duration) {
	if part.closed {
		return
	}
	if a.timer != nil {
		a.timer.Reset(wait)
		return
	}
	look := func() {
		part.mu.Lock()
		defer part.mu.Unlock()
		if !part.closed && part.channels[channel][a.user] == a {
			c.review(part, channel, a)
		}
	}
	a.timer = c.presence.contain.After(wait, "presence", look, func() { // stopped by halt
		part.mu.Lock()
		defer part.mu.Unlock()
		if !part.closed {
			a.timer.Reset(presenceGrace)
		}
	})
}

func (a *attendee) halt() {
	if a.timer != nil {
		a.timer.Stop()
	}
}

// review tells what is new of a user, and that they have left when it is time. The caller holds part.mu.
func (c *crowd) review(part *crowdPart, channel string, a *attendee) {
	switch left := time.Until(a.until); {
	case a.here:
		a.halt()
		if !a.same(a.told) {
			if c.tell(part, channel, a, &broker.Publication{Op: broker.Set, Group: usersGroup, Key: wire.UserKey(a.user), Data: a.AppendTo(nil), Form: a.shown}) {
				a.told = a.shown
			}
		}
	case left > 0:
		c.arm(part, channel, a, left)
	case c.tell(part, channel, a, &broker.Publication{Op: broker.Delete, Group: usersGroup, Key: wire.UserKey(a.user)}):
		a.halt()
		users := part.channels[channel]
		delete(users, a.user)
		if len(users) == 0 {
			delete(part.channels, channel)
		}
		c.presence.Users.Add(-1)
		c.presence.count(channel, a.user, false)
	}
}

// tell publishes a change of presence. While this node is cut off that cannot be done, and is tried again a little later. The caller holds
// part.mu.
func (c *crowd) tell(part *crowdPart, channel string, a *attendee, p *broker.Publication) bool {
	name := Channel(channel)
	if name == "" {
		return true
	}
	if _, err := c.presence.broker.Submit(name, p); errors.Is(err, cluster.ErrNoOwner) { // nobody waits for it: a lock is held
		c.arm(part, channel, a, time.Second)
		return false
	}
	return true
}

// close stops the timers.
func (c *crowd) close() {
	if c == nil {
		return
	}
	for i := range c.parts {
		part := &c.parts[i]
		part.mu.Lock()
		part.closed = true
		for _, users := range part.channels {
			for _, a := range users {
				a.halt()
			}
		}
		part.mu.Unlock()
	}
}

// count is how many users a channel has.
func (c *crowd) count(channel string) int {
	part := c.part(channel)
	part.mu.Lock()
	defer part.mu.Unlock()
	return len(part.channels[channel])
}

// list are copies of a channel's users.
func (c *crowd) list(channel string) []present {
	part := c.part(channel)
	part.mu.Lock()
	defer part.mu.Unlock()
	list := make([]present, 0, len(part.channels[channel]))
	for _, a := range part.channels[channel] {
		u := a.present
		x := *u.more()
		u.extra = &x
		list = append(list, u)
	}
	return list
}
