package session

import (
	"hash/maphash"
	"slices"
	"sync"

	"weir/broker"
	"weir/pool"
	"weir/relay/hub"
)

// registryParts is how many locks the registry has.
const registryParts = 64

// registry finds sessions by connection and by user. Anonymous sessions are found by connection only.
type registry struct {
	seed   maphash.Seed
	report func(s *Session, open bool) // tells other nodes of a user's session that has begun or ended; nil: nobody. Set at start
	parts  [registryParts]struct {
		mu    sync.Mutex
		conns map[string]*Session // by connection id
		users map[string]userSessions
	}
}

// userSessions are those of a user, linked by Session.sameUser, the newest first. Guarded by the lock of the user's part.
type userSessions struct {
	newest *Session
	places int    // taken: by those, and by some that are not entered yet
	epoch  string // of the position that those were told that wait for the user's own channel; "": none does
}

func newRegistry() *registry { return &registry{seed: maphash.MakeSeed()} }

func (g *registry) part(key string) int { return int(maphash.String(g.seed, key) % registryParts) }

// reserve takes a place for a session of a user before it is entered. It returns false if the user has as
// many as perUser allows (0: no limit).
func (g *registry) reserve(user string, perUser int) bool {
	if user == "" {
		return true
	}
	p := &g.parts[g.part(user)]
	p.mu.Lock()
	defer p.mu.Unlock()
	u := p.users[user]
	if perUser > 0 && u.places >= perUser {
		return false
	}
	if p.users == nil {
		p.users = make(map[string]userSessions)
	}
	u.places++
	p.users[user] = u
	return true
}

// enter lets a session that has a place be found, and so be ended by others. It is found by its connection before anybody is told of it: who
// hears that a user has one too many ends it by that.
func (g *registry) enter(s *Session) {
	p := &g.parts[g.part(s.id)]
	p.mu.Lock()
	if p.conns == nil {
		p.conns = make(map[string]*Session)
	}
	p.conns[s.id] = s
	p.mu.Unlock()
	if s.user == "" {
		return
	}
	p = &g.parts[g.part(s.user)]
	p.mu.Lock()
	defer p.mu.Unlock()
	u := p.users[s.user] // it has a place
	s.sameUser, u.newest = u.newest, s
	p.users[s.user] = u
	if g.report != nil {
		g.report(s, true)
	}
}

// remove takes a session out and gives its place back.
func (g *registry) remove(s *Session) {
	p := &g.parts[g.part(s.id)]
	p.mu.Lock()
	delete(p.conns, s.id)
	p.mu.Unlock()
	if s.user == "" {
		return
	}
	p = &g.parts[g.part(s.user)]
	p.mu.Lock()
	defer p.mu.Unlock()
	u := p.users[s.user]
	for at := &u.newest; *at != nil; at = &(*at).sameUser {
		if *at == s {
			*at, s.sameUser = s.sameUser, nil
			if g.report != nil {
				g.report(s, false)
			}
			break
		}
	}
	if u.places--; u.places == 0 {
		delete(p.users, s.user)
		return
	}
	p.users[s.user] = u
}

// await has a session wait for its user's own channel to be made, unless it is there. Then tell is called with the position that holds
// until then; nothing may be sent to the session before that but by the caller.
func (g *registry) await(s *Session, vacant func() (broker.Position, bool), tell func(at broker.Position)) bool {
	p := &g.parts[g.part(s.user)]
	p.mu.Lock()
	defer p.mu.Unlock()
	at, ok := vacant() // who makes it from now on finds the session
	if !ok {
		return false
	}
	u := p.users[s.user] // it is entered
	if u.epoch != "" {
		at.Epoch = u.epoch // all of them go on from one
	}
	u.epoch = at.Epoch
	p.users[s.user] = u
	s.own.Store(unmade)
	tell(at)
	return true
}

// gather has the sessions join that wait for their user's own channel, with its lock held: see hub.Hub.Awaiting.
func (g *registry) gather(user string, c *broker.Channel, fanout func(epoch string) *hub.Fanout) (n int, epoch string) {
	p := &g.parts[g.part(user)]
	p.mu.Lock()
	defer p.mu.Unlock()
	u, ok := p.users[user]
	if !ok || u.epoch == "" {
		return 0, ""
	}
	epoch, u.epoch = u.epoch, ""
	p.users[user] = u
	for s := u.newest; s != nil; s = s.sameUser {
		if s.own.Load() == unmade {
			f := fanout(epoch)
			s.conn.Join(f.Topic, f.Ordinal.Load(), nil, nil)
			s.own.Store(&subscription{channel: c, fanout: f, topic: f.Topic})
			n++
		}
	}
	return n, epoch
}

// leaveOwn ends the wait of a session for its user's own channel. It returns the subscription that came of it and was not taken up,
// or unmade; nil: neither.
func (g *registry) leaveOwn(s *Session) *subscription {
	if s.own.Load() == nil { // nobody has it wait anew
		return nil
	}
	p := &g.parts[g.part(s.user)]
	p.mu.Lock()
	defer p.mu.Unlock()
	return s.own.Swap(nil)
}

// byID is the session of a connection, or nil.
func (g *registry) byID(id string) *Session {
	p := &g.parts[g.part(id)]
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.conns[id]
}

// byUser is the sessions of a user.
func (g *registry) byUser(user string) []*Session {
	p := &g.parts[g.part(user)]
	p.mu.Lock()
	defer p.mu.Unlock()
	var list []*Session
	for s := p.users[user].newest; s != nil; s = s.sameUser {
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
		for _, s := range p.conns {
			out = append(out, s)
		}
		p.mu.Unlock()
	}
	return out
}

// connection returns an open connection and its encoding; nil if there is none of that id.
func (g *registry) connection(id string) (*pool.Conn, pool.Encoding) {
	if s := g.byID(id); s != nil {
		return s.conn, s.enc
	}
	return nil, 0
}
