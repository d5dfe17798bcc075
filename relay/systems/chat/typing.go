package chat

import (
	"hash/maphash"
	"sync"
	"time"

	"weir/broker"
	"weir/internal/contain"
	"weir/internal/wire"
	"weir/relay/hub"
	"weir/relay/problem"
	"weir/relay/systems/internal/encode"
)

const (
	typingLasts  = 5 * time.Second // after the last start
	typingPause  = 2 * time.Second // between two updates of a user in a room
	typingShards = 16
)

// typing is the users who are typing. A start is published at most once in typingPause; one that comes sooner is published
// when that is over, with what is left of its time. A stop is published at once.
type typing struct {
	// Set once by Start.
	now     func() time.Time
	publish func(room, user string, p *broker.Publication) error
	member  func(room, user string) bool
	contain contain.Hook

	parts [typingShards]typingPart // by user
}

type typingPart struct {
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

func (t *typing) part(user string) *typingPart {
	return &t.parts[maphash.String(roomSeed, user)%typingShards]
}

// start begins that a user is typing. Errors: errNotTyping for users who are not members, and those of publishing.
func (t *typing) start(room, user, connection string) error {
	p := t.part(user)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil
	}
	if !t.member(room, user) { // under the lock: end is called after the end of a membership
		return errNotTyping
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
	now := t.now()
	x.connection, x.started = connection, now
	x.late = true
	var err error
	if now.Sub(x.sent) >= typingPause {
		err = t.publishStart(x, now)
	}
	t.schedule(p, x, now)
	return err
}

// publishStart publishes a start, with what is left of its time.
func (t *typing) publishStart(x *typist, now time.Time) error {
	x.late, x.sent = false, now
	data := encode.Object("userId", x.user, "startedAt", x.started.UnixMilli())
	return t.publish(x.room, x.user, &broker.Publication{Op: broker.Set, Data: data, TTL: typingLasts - now.Sub(x.started)})
}

// schedule sets the timer for what comes next.
func (t *typing) schedule(p *typingPart, x *typist, now time.Time) {
	next := x.sent.Add(typingPause)
	if end := x.started.Add(typingLasts); !x.late && end.After(next) {
		next = end
	}
	wait := max(next.Sub(now), 0)
	if x.timer == nil {
		x.timer = t.contain.After(wait, "typing", func() { t.fire(p, x) }, func() { p.drop(x) })
	} else {
		x.timer.Reset(wait)
	}
}

// fire publishes a start that has waited, and removes a typist who has ended.
func (t *typing) fire(p *typingPart, x *typist) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || p.users[x.user][x.room] != x {
		return
	}
	now := t.now()
	paused := now.Sub(x.sent) < typingPause
	switch {
	case paused:
	case now.Sub(x.started) >= typingLasts:
		p.remove(x)
		return
	case x.late:
		_ = t.publishStart(x, now) // the next start publishes it again
	}
	t.schedule(p, x, now)
}

// drop removes a typist after a panic; what was published of it ends by its time to live.
func (p *typingPart) drop(x *typist) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.users[x.user][x.room] == x {
		p.remove(x)
	}
}

// remove removes a typist.
func (p *typingPart) remove(x *typist) {
	delete(p.users[x.user], x.room)
	if len(p.users[x.user]) == 0 {
		delete(p.users, x.user)
	}
}

// end is called when a user has stopped typing in a room.
func (t *typing) end(room, user string) {
	p := t.part(user)
	p.mu.Lock()
	defer p.mu.Unlock()
	if x := p.users[user][room]; x != nil {
		t.stop(p, x)
	}
}

// stop ends what was published. The typist stays until the pause is over.
func (t *typing) stop(p *typingPart, x *typist) {
	if x.started.IsZero() || p.closed {
		return
	}
	x.started, x.late = time.Time{}, false
	_ = t.publish(x.room, x.user, &broker.Publication{Op: broker.Delete}) // it ends by time, too
	t.schedule(p, x, t.now())
}

// disconnected is called when a connection has ended: what it has started is stopped.
func (t *typing) disconnected(user, connection string) {
	p := t.part(user)
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, x := range p.users[user] {
		if x.connection == connection {
			t.stop(p, x)
		}
	}
}

// count is how many are known.
func (t *typing) count() int {
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

// close stops all timers.
func (t *typing) close() {
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

// errNotTyping is for users who are not members.
var errNotTyping = problem.New(403, "forbidden", errNotMember.Message, false)

// publishTyping changes what a room shows of a user.
func (s *System) publishTyping(room, user string, p *broker.Publication) error {
	p.Group, p.Key, p.Ack = groupTyping, wire.UserKey(user), broker.AckMemory
	_, err := s.host.Submit(liveChannel(room), p)
	return err
}

// onTyping is the topics chat.typing.start and chat.typing.stop. The user is the session's; a backend, which has
// none, names one.
func (s *System) onTyping(e *hub.Event) error {
	var data struct {
		RoomID string `json:"roomId"`
		UserID string `json:"userId"`
	}
	if err := codec.Unmarshal(e.Data, &data); err != nil || !validRoom(data.RoomID) {
		return problem.New(400, "bad_request", "roomId must be the id of a room", false)
	}
	user := data.UserID
	if e.Identity != nil {
		user = e.User
	}
	if user == "" {
		return problem.New(400, "bad_request", "userId is missing", false)
	}
	if e.Topic == topicTypingStop {
		s.typing.end(data.RoomID, user)
		return nil
	}
	s.touch(stateChannel(data.RoomID))
	return s.typing.start(data.RoomID, user, e.Connection)
}
