package typing

import (
	"hash/maphash"
	"sync"
	"time"

	"weir/broker"
	"weir/internal/contain"
	"weir/relay/systems/internal/encode"
)

const (
	lasts  = 5 * time.Second // after the last start
	pause  = 2 * time.Second // between two updates of a user in a room
	shards = 16
)

// State is the users who are typing in rooms of this node. A start is published at most once in pause; one that comes sooner is published
// when that is over, with what is left of its time. A stop is published at once.
type State struct {
	// Set before it is used.
	Now     func() time.Time
	Publish func(room, user string, p *broker.Publication) error
	Member  func(room, user string) bool
	Refused error // for who is no member
	Contain contain.Hook

	parts [shards]part // by user
}

// part is some of the users.
type part struct {
	// Guarded by mu, which is held while a start or a stop is published.
	mu     sync.Mutex
	closed bool
	users  map[string]map[string]*typist // by user and room
}

// typist is a user who types in a room, or has just done so. Guarded by the part's mu.
type typist struct {
	room, user string
	connection string      // that sent the last start
	started    time.Time   // the last start; zero after a stop
	sent       time.Time   // when a start was last published
	late       bool        // a start waits for the pause to end
	timer      *time.Timer // for what comes next; stopped by close
}

var seed = maphash.MakeSeed()

func (t *State) of(user string) *part {
	return &t.parts[maphash.String(seed, user)%shards]
}

// Start begins that a user is typing. Errors: Refused for users who are not members, and those of publishing.
func (t *State) Start(room, user, connection string) error {
	p := t.of(user)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil
	}
	if !t.Member(room, user) { // under the lock: end is called after the end of a membership
		return t.Refused
	}
	x := p.users[user][room]
	if x == nil {
		x = &typist{room: room, user: user}
		if p.users == nil {
			p.users = make(map[string]map[string]*typist)
		}
		if p.users[user] == nil {
			p.users[user] = make(map[string]*typist)
		}
		p.users[user][room] = x
	}
	now := t.Now()
	x.connection, x.started = connection, now
	x.late = true
	var err error
	if now.Sub(x.sent) >= pause {
		err = t.publishStart(x, now)
	}
	t.schedule(p, x, now)
	return err
}

// publishStart publishes a start, with what is left of its time.
func (t *State) publishStart(x *typist, now time.Time) error {
	x.late, x.sent = false, now
	data := encode.Object("userId", x.user, "startedAt", x.started.UnixMilli())
	return t.Publish(x.room, x.user, &broker.Publication{Op: broker.Set, Data: data, TTL: lasts - now.Sub(x.started)})
}

// schedule sets the timer for what comes next.
func (t *State) schedule(p *part, x *typist, now time.Time) {
	next := x.sent.Add(pause)
	if end := x.started.Add(lasts); !x.late && end.After(next) {
		next = end
	}
	wait := max(next.Sub(now), 0)
	if x.timer == nil {
		x.timer = t.Contain.After(wait, "typing", func() { t.fire(p, x) }, func() { p.drop(x) })
	} else {
		x.timer.Reset(wait)
	}
}

// fire publishes a start that has waited, and removes a typist who has ended.
func (t *State) fire(p *part, x *typist) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || p.users[x.user][x.room] != x {
		return
	}
	now := t.Now()
	paused := now.Sub(x.sent) < pause
	switch {
	case paused:
	case now.Sub(x.started) >= lasts:
		p.remove(x)
		return
	case x.late:
		_ = t.publishStart(x, now) // the next start publishes it again
	}
	t.schedule(p, x, now)
}

// drop removes a typist after a panic; what was published of it ends by its time to live.
func (p *part) drop(x *typist) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.users[x.user][x.room] == x {
		p.remove(x)
	}
}

// remove removes a typist.
func (p *part) remove(x *typist) {
	delete(p.users[x.user], x.room)
	if len(p.users[x.user]) == 0 {
		delete(p.users, x.user)
	}
}

// End is called when a user has stopped typing in a room.
func (t *State) End(room, user string) {
	p := t.of(user)
	p.mu.Lock()
	defer p.mu.Unlock()
	if x := p.users[user][room]; x != nil {
		t.stop(p, x)
	}
}

// stop ends what was published. The typist stays until the pause is over.
func (t *State) stop(p *part, x *typist) {
	if x.started.IsZero() || p.closed {
		return
	}
	x.started, x.late = time.Time{}, false
	_ = t.Publish(x.room, x.user, &broker.Publication{Op: broker.Delete}) // it ends by time, too
	t.schedule(p, x, t.Now())
}

// Disconnected is called when a connection has ended: what it has started in a room is stopped; "": in all.
func (t *State) Disconnected(user, connection, room string) {
	p := t.of(user)
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, x := range p.users[user] {
		if x.connection == connection && (room == "" || x.room == room) {
			t.stop(p, x)
		}
	}
}

// Drop forgets who types in rooms that another node may own. What was published ends by its time.
func (t *State) Drop(of func(room string) bool) {
	for i := range t.parts {
		p := &t.parts[i]
		p.mu.Lock()
		for _, rooms := range p.users {
			for _, x := range rooms {
				if of(x.room) {
					x.timer.Stop()
					p.remove(x)
				}
			}
		}
		p.mu.Unlock()
	}
}

// Count is how many are known.
func (t *State) Count() int {
	n := 0
	for i := range t.parts {
		p := &t.parts[i]
		p.mu.Lock()
		for _, rooms := range p.users {
			n += len(rooms)
		}
		p.mu.Unlock()
	}
	return n
}

// Close stops all timers.
func (t *State) Close() {
	for i := range t.parts {
		p := &t.parts[i]
		p.mu.Lock()
		p.closed = true
		for _, rooms := range p.users {
			for _, x := range rooms {
				x.timer.Stop()
			}
		}
		p.mu.Unlock()
	}
}
