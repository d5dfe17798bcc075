package loadtest_test

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"weir/internal/memnet"
)

// fakeConfig is how a fakeRelay behaves. The zero value is a correct server that delivers at once.
type fakeConfig struct {
	Window time.Duration // messages of a channel wait for each other this long; 0: none waits
	Key    string        // what publishers must say; "": anything
	Token  string        // prefix of the tokens that are let in; "": anything
	Most   int           // connections that are let in; 0: all
	Idle   time.Duration // a connection that rested so long is closed under the next request; 0: never
	Ping   time.Duration // clients are pinged this often, and cut when they have not answered the last; 0: never

	// Fault decides what becomes of delivery n (from 1) to subscriber conn (from 0, in order of
	// subscribing); nil: all is well. It is called under the server's mutex.
	Fault func(conn, n int) fault
	// Refuse reports whether the server refuses publish n (from 1); nil: never.
	Refuse func(n int) bool
}

// fault is what goes wrong with one delivery.
type fault uint8

// The faults.
const (
	noFault fault = iota
	lose          // it never comes
	repeat        // it comes twice
	swap          // it comes after the next one
	corrupt       // a character of its payload is another
	cut           // the connection ends instead
)

// fakeRelay is a relay for tests: small, correct, and faulty on purpose where it is told to be. It speaks enough of
// weir's protocol (WebSocket, publish, NDJSON, windows, items, presence, resume) and of plain broadcast servers
// (WebSocket, event streams) for every scenario to run against it, over connections in memory so that time may be
// virtual, or over TCP.
//
// Everything is under one mutex. Each connection has a reading and a writing goroutine, which end with it; Close ends
// them all and waits. Queues are unbounded.
type fakeRelay struct {
	cfg fakeConfig
	wg  sync.WaitGroup // all goroutines of connections

	mu       sync.Mutex
	thawed   sync.Cond
	frozen   bool // nothing is done until thawed
	closed   bool
	channels map[string]*channel
	conns    map[*conn]struct{}
	numbered int            // subscribers so far
	publish  int            // publishes so far
	Accepted int            // messages accepted; read it after Close
	came     int            // connections so far
	Places   map[string]int // of each subscriber's last connection, in the order in which they came; read it after Close
}

// channel is a log with its subscribers.
type channel struct {
	name    string
	changes []change
	items   map[string]string // key to data
	subs    []*conn
	waiting []change // of the open window
	timer   *time.Timer
}

type change struct {
	seq     int
	text    string // JSON object without braces
	key     string
	deleted bool
}

// newFakeRelay returns a relay without connections.
func newFakeRelay(cfg fakeConfig) *fakeRelay {
	s := &fakeRelay{cfg: cfg, channels: map[string]*channel{}, conns: map[*conn]struct{}{}, Places: map[string]int{}}
	s.thawed.L = &s.mu
	return s
}

// Dial connects in memory.
func (s *fakeRelay) Dial(context.Context) (net.Conn, error) {
	ours, theirs := memnet.Pipe(16 << 20)
	if err := s.Handle(ours); err != nil {
		return nil, err
	}
	return theirs, nil
}

// Handle serves a connection until it ends.
func (s *fakeRelay) Handle(nc net.Conn) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return fmt.Errorf("the fake server is closed: %w", net.ErrClosed)
	}
	c := &conn{s: s, nc: nc, number: -1, place: s.came}
	s.came++
	c.more.L = &s.mu
	s.conns[c] = struct{}{}
	s.wg.Go(c.read)
	s.wg.Go(c.write)
	return nil
}

// Serve handles what a listener accepts, until the listener is closed.
func (s *fakeRelay) Serve(l net.Listener) {
	for {
		nc, err := l.Accept()
		if err != nil || s.Handle(nc) != nil {
			return
		}
	}
}

// Freeze stops the server for a while: it neither reads nor writes.
func (s *fakeRelay) Freeze(d time.Duration) {
	s.mu.Lock()
	s.frozen = true
	s.mu.Unlock()
	time.AfterFunc(d, func() {
		s.mu.Lock()
		s.frozen = false
		for c := range s.conns {
			c.more.Broadcast()
		}
		s.mu.Unlock()
		s.thawed.Broadcast()
	})
}

// Close ends all connections and returns when their goroutines have left.
func (s *fakeRelay) Close() {
	s.mu.Lock()
	s.closed, s.frozen = true, false
	for c := range s.conns {
		c.end()
	}
	for _, ch := range s.channels {
		if ch.timer != nil {
			ch.timer.Stop()
		}
	}
	s.mu.Unlock()
	s.thawed.Broadcast()
	s.wg.Wait()
}

// lock waits until the server is not frozen.
func (s *fakeRelay) lock() {
	s.mu.Lock()
	for s.frozen {
		s.thawed.Wait()
	}
}

func (s *fakeRelay) channel(name string) *channel {
	ch := s.channels[name]
	if ch == nil {
		ch = &channel{name: name, items: map[string]string{}}
		s.channels[name] = ch
	}
	return ch
}

// change appends to a channel's log and delivers it. With a key it sets or deletes an item.
func (s *fakeRelay) change(ch *channel, group, key, data string, deleted bool) int {
	seq := len(ch.changes) + 1
	var b strings.Builder
	op := "send"
	switch {
	case deleted:
		op = "delete"
		delete(ch.items, key)
	case key != "":
		op = "set"
		ch.items[key] = data
	}
	fmt.Fprintf(&b, `"seq":%d,"op":%q`, seq, op)
	if key != "" {
		fmt.Fprintf(&b, `,"group":%q,"key":%q`, group, key)
	}
	if !deleted {
		b.WriteString(`,"data":` + data)
	}
	c := change{seq: seq, text: b.String(), key: key, deleted: deleted}
	ch.changes = append(ch.changes, c)
	if s.cfg.Window == 0 {
		s.deliver(ch, []change{c})
		return seq
	}
	if key != "" { // a newer value replaces the one that waits
		ch.waiting = slices.DeleteFunc(ch.waiting, func(old change) bool { return old.key == key })
	}
	if ch.waiting = append(ch.waiting, c); ch.timer == nil {
		ch.timer = time.AfterFunc(s.cfg.Window, func() {
			s.lock()
			defer s.mu.Unlock()
			list := ch.waiting
			ch.waiting, ch.timer = nil, nil
			s.deliver(ch, list)
		})
	}
	return seq
}

// deliver sends changes to everyone in the channel, each through its own faults.
func (s *fakeRelay) deliver(ch *channel, list []change) {
	for _, c := range slices.Clone(ch.subs) {
		texts := c.faulty(list)
		switch {
		case len(texts) == 0:
		case c.plain:
			for _, t := range texts {
				_, data, _ := strings.Cut(t, `"data":`)
				c.send(data)
			}
		case len(texts) == 1:
			c.send(fmt.Sprintf(`{"type":"channel_update","channel":%q,%s}`, ch.name, texts[0]))
		default:
			c.send(fmt.Sprintf(`{"type":"batch","channel":%q,"messages":[{%s}]}`, ch.name, strings.Join(texts, "},{")))
		}
	}
}

// faulty is what of the changes reaches a connection.
func (c *conn) faulty(list []change) (texts []string) {
	fault := c.s.cfg.Fault
	for _, one := range list {
		text := one.text
		if fault == nil || c.number < 0 {
			texts = append(texts, text)
			continue
		}
		c.seen++
		held := c.held
		c.held = ""
		switch fault(c.number, c.seen) {
		case lose:
		case repeat:
			texts = append(texts, text, text)
		case swap:
			c.held = text
		case corrupt:
			i := strings.LastIndexByte(text, '"') - 1
			texts = append(texts, text[:i]+"#"+text[i+1:])
		case cut:
			c.end()
			return nil
		default:
			texts = append(texts, text)
		}
		if held != "" {
			texts = append(texts, held)
		}
	}
	return texts
}
