package session

import (
	"strings"
	"time"

	"weir/relay/problem"
)

// aside is the commands of a session that have to wait for something outside: a backend's decision, the disk. They
// are carried out beside the session's turn, which goes on. Those that concern one channel are a line: they keep
// their order. Lines do not wait for each other, nor for anything but room among the Lines that are at work.
//
// A line at work has a goroutine, which goes on with the next line, and ends when there is none. Manager.readers waits
// for it. When the session ends, publications, events and messages of a route of a system are carried out for asideGrace, as
// if the client had left a little later, and what is left then is dropped. What a disconnected user has sent is dropped
// at once.
type aside struct {
	over chan struct{} // closed when nothing is left

	// Guarded by the session's mu.
	lines   map[string]*line
	idle    []*line // with commands, and no room to be at work
	working int
	count   int       // commands that are held or being carried out
	bytes   int       // of those
	failed  time.Time // when a decision has last failed to come
	then    []func()  // called when nothing is left
}

// line is the commands for one channel, in order. Guarded by the session's mu.
type line struct {
	key  string
	held []Held
}

// Held is one message.
type Held struct {
	Message []byte // its own; nil: the subscription to the line's channel is to be held against the session's token
	Binary  bool
	Named   bool // the address of the WebSocket names its channel: an error is told of that
	Since   time.Time
}

const (
	Lines         = 16       // at work for one session
	asideCommands = 1024     // of one session
	asideBytes    = 1 << 20  // of one session
	asideTotal    = 64 << 20 // bytes of all sessions
	asideGrace    = 2 * time.Second
	heldCost      = 128 // bytes, besides the message
)

// Waits reports whether others of its line are waiting, so that a command waits behind them.
func (s *Session) Waits(key string) bool {
	if s.aside.Load() == nil || key == "" {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.aside.Load()
	return a != nil && a.lines[key] != nil
}

// Hold puts a command at the end of a line. Errors: as many as may are waiting.
func (s *Session) Hold(key string, h Held) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return nil // nobody is there for an answer
	}
	a := s.aside.Load()
	if a == nil {
		a = &aside{over: make(chan struct{}), lines: make(map[string]*line)}
	}
	size := len(h.Message) + heldCost
	switch {
	case h.Message == nil: // there are no more of these than subscriptions
		s.manager.held.Add(int64(size))
	case a.count >= asideCommands, a.bytes+size > asideBytes && a.count > 0:
		return problem.TooMany.With("limit reached: too many commands of this connection wait for a response")
	case s.manager.held.Add(int64(size)) > asideTotal:
		s.manager.held.Add(int64(-size))
		s.manager.hub.Counters.Shed.Of("waiting").Inc()
		return problem.Overloaded
	}
	s.aside.Store(a)
	a.count++
	a.bytes += size
	if l := a.lines[key]; l != nil {
		l.held = append(l.held, h)
		return nil
	}
	l := &line{strings.Clone(key), []Held{h}}
	a.lines[l.key] = l
	if a.working == Lines {
		a.idle = append(a.idle, l)
		return nil
	}
	a.working++
	s.manager.readers.Add(1)        // the session itself is one of them until it has ended
	work := func() { s.work(a, l) } // ends with the lines; Manager.readers waits for it
	s.manager.Work("commands beside a turn", work, work)
	return nil
}

// first takes the first command of a line.
func (s *Session) first(a *aside, l *line) (h Held, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(l.held) == 0 {
		return Held{}, false
	}
	h = l.held[0]
	l.held[0] = Held{}
	l.held = l.held[1:]
	return h, true
}

// done counts a command out.
func (s *Session) done(a *aside, h *Held) {
	size := len(h.Message) + heldCost
	s.manager.held.Add(int64(-size))
	s.mu.Lock()
	defer s.mu.Unlock()
	a.count--
	a.bytes -= size
}

// nextLine leaves a line that is empty, and answers the next one that has waited for its turn; nil if there is none.
// If more has come for the line, it is that line.
func (s *Session) nextLine(a *aside, l *line) *line {
	s.mu.Lock()
	if len(l.held) > 0 {
		s.mu.Unlock()
		return l
	}
	delete(a.lines, l.key)
	if len(a.idle) > 0 {
		l = a.idle[0]
		a.idle = a.idle[1:]
		s.mu.Unlock()
		return l
	}
	a.working--
	var then []func()
	if a.working == 0 {
		s.aside.Store(nil)
		close(a.over)
		then = a.then
	}
	s.mu.Unlock()
	for _, f := range then {
		f()
	}
	return nil
}

// finishAside has f called when nothing is left that was held; at once if nothing is.
func (s *Session) finishAside(f func()) {
	s.mu.Lock()
	a := s.aside.Load()
	if a != nil {
		a.then = append(a.then, f)
	}
	s.mu.Unlock()
	if a == nil {
		f()
	}
}

// awaitAside waits until nothing is left that was held. The session has ended.
func (s *Session) awaitAside() {
	if a := s.aside.Load(); a != nil {
		<-a.over
	}
}
