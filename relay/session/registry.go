package session

import (
	"hash/maphash"
	"slices"
	"sync"

	"weir/broker"
	"weir/internal/lookup"
	"weir/pool"
	"weir/relay/hub"
)

// registryParts is how many locks the registry has.
const registryParts = 64

// registry finds sessions by connection and by user. Anonymous sessions are found by connection only.
type registry struct {
	seed   maphash.Seed
	report func(s *Session, open bool) // tells other nodes of a user's session that has begun or ended; nil: nobody. Set at start
	parts  [registryParts]registryPart
}

// registryPart is the connections whose ids, and the users whose names, hash to it. Guarded by mu.
type registryPart struct {
	mu       sync.Mutex
	conns    lookup.Table[Session, byID]
	users    lookup.Table[Session, byUser] // the newest of each user; the older ones behind it, by sameUser
	reserved map[string]int                // places of users that are taken by sessions that are not entered
	awaited  *ownChannel                   // what the session has that began to wait last; nil: none has
}

// byID and byUser find sessions.
type (
	byID   struct{}
	byUser struct{}
)

func (byID) Key(s *Session) string   { return s.id }
func (byUser) Key(s *Session) string { return s.user }

func newRegistry() *registry { return &registry{seed: maphash.MakeSeed()} }

// part is the part of a connection or of a user.
func (g *registry) part(key string) *registryPart {
	return &g.parts[maphash.String(g.seed, key)%registryParts]
}

// lock is part, locked.
func (g *registry) lock(key string) *registryPart {
	p := g.part(key)
	p.mu.Lock()
	return p
}

// reserve takes a place for a session of a user before it is entered. It returns false if the user has as
// many as perUser allows (0: no limit).
func (g *registry) reserve(user string, perUser int) bool {
	if user == "" {
		return true
	}
	p := g.lock(user)
	defer p.mu.Unlock()
	places := p.reserved[user]
	if newest := p.users.Find(user); newest != nil {
		places += int(newest.ofUser)
	}
	if perUser > 0 && places >= perUser {
		return false
	}
	if p.reserved == nil {
		p.reserved = make(map[string]int)
	}
	p.reserved[user]++
	return true
}

// unreserve ends that for one. The caller holds the lock.
func (p *registryPart) unreserve(user string) {
	if p.reserved[user] > 1 {
		p.reserved[user]--
	} else {
		delete(p.reserved, user)
	}
}

// enter lets a session that has a place be found, and so be ended by others. It is found by its connection before anybody is told of it: who
// hears that a user has one too many ends it by that.
func (g *registry) enter(s *Session) {
	p := g.lock(s.id)
	p.conns.Put(s)
	p.mu.Unlock()
	if s.user == "" {
		return
	}
	p = g.lock(s.user)
	defer p.mu.Unlock()
	p.unreserve(s.user)
	s.sameUser, s.ofUser = p.users.Find(s.user), 1
	if s.sameUser != nil {
		s.ofUser += s.sameUser.ofUser
	}
	p.users.Put(s)
	if g.report != nil {
		g.report(s, true)
	}
}

// remove takes a session out and gives its place back.
func (g *registry) remove(s *Session) {
	p := g.lock(s.id)
	p.conns.Remove(s.id)
	p.mu.Unlock()
	if s.user == "" {
		return
	}
	p = g.lock(s.user)
	defer p.mu.Unlock()
	newest := p.users.Find(s.user)
	left := newest
	at := &left
	for *at != nil && *at != s {
		at = &(*at).sameUser
	}
	if *at == nil { // it was not entered
		p.unreserve(s.user)
		return
	}
	*at, s.sameUser = s.sameUser, nil
	if left == nil {
		p.users.Remove(s.user)
	} else {
		left.ofUser = newest.ofUser - 1
		p.users.Put(left)
	}
	if g.report != nil {
		g.report(s, false)
	}
}

// await has a session wait for its user's own channel to be made, unless it is there. Then tell is called with the position that holds
// until then; nothing may be sent to the session before that but by the caller.
func (g *registry) await(s *Session, vacant func() (broker.Position, bool), tell func(at broker.Position)) bool {
	p := g.lock(s.user)
	defer p.mu.Unlock()
	at, ok := vacant() // who makes it from now on finds the session
	if !ok {
		return false
	}
	own := p.awaited
	for other := p.users.Find(s.user); other != nil; other = other.sameUser {
		if other.awaitsOwn() {
			own = other.own.Load() // all of them go on from one
			at.Epoch = own.epoch
			break
		}
	}
	if own == nil || own.epoch != at.Epoch { // most begin with the same
		own = &ownChannel{epoch: at.Epoch}
		p.awaited = own
	}
	s.own.Store(own)
	tell(at)
	return true
}

// gather has the sessions join that wait for their user's own channel, with its lock held: see hub.Hub.Awaiting.
func (g *registry) gather(user string, c *broker.Channel, fanout func(epoch string) *hub.Fanout) (n int, epoch string) {
	p := g.lock(user)
	defer p.mu.Unlock()
	for s := p.users.Find(user); s != nil; s = s.sameUser {
		if s.awaitsOwn() {
			epoch = s.own.Load().epoch
			f := fanout(epoch)
			s.conn.Join(f.Topic, f.Ordinal.Load(), nil, nil)
			s.own.Store(&ownChannel{subscription: subscription{channel: c, fanout: f, topic: f.Topic}})
			n++
		}
	}
	return n, epoch
}

// leaveOwn ends the wait of a session for its user's own channel. It returns what came of it and was not taken up; nil: it did not wait.
func (g *registry) leaveOwn(s *Session) *ownChannel {
	if s.own.Load() == nil { // nobody has it wait anew
		return nil
	}
	p := g.lock(s.user)
	defer p.mu.Unlock()
	return s.own.Swap(nil)
}

// byID is the session of a connection, or nil.
func (g *registry) byID(id string) *Session {
	p := g.lock(id)
	defer p.mu.Unlock()
	return p.conns.Find(id)
}

// byUser is the sessions of a user.
func (g *registry) byUser(user string) []*Session {
	p := g.lock(user)
	defer p.mu.Unlock()
	var list []*Session
	for s := p.users.Find(user); s != nil; s = s.sameUser {
		list = append(list, s)
	}
	slices.Reverse(list) // the oldest first
	return list
}

// all is every session there is.
func (g *registry) all() []*Session {
	var out []*Session
	for i := range g.parts {
		p := &g.parts[i]
		p.mu.Lock()
		for s := range p.conns.All() {
			out = append(out, s)
		}
		p.mu.Unlock()
	}
	return out
}

// connection returns an open connection and its encoding; nil if there is none of that id.
func (g *registry) connection(id string) (*pool.Conn, pool.Encoding) {
	if s := g.byID(id); s != nil {
		return &s.conn, s.enc
	}
	return nil, 0
}
