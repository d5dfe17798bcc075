package fake

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"weir/internal/mesh"
)

// Mesh connects the processes of a test. It implements mesh.Opener.
type Mesh struct {
	// Lose reports whether a frame from one session to another one is lost, and with "" for the other one whether the table is
	// out of its reach: then it cannot write, and learns what is written when it can again. It is set before the first Open, is called without
	// a lock and by many goroutines, and must not block. nil: none is.
	Lose func(from, to string, frame []byte) bool

	// Fate is how long each copy of a frame is under way; none: it is lost. It is called as Lose is, of what is not lost. nil: one copy, at once.
	Fate func(from, to string) []time.Duration

	// Unsure reports whether the answer to a write of a session is lost, that has been made. nil: it never is.
	Unsure func(session string) bool

	// Late is how much later than it is answered a write of a session to a log or the shelf is made; its writer does not know of it. nil, 0: it is not late.
	Late func(session string) time.Duration

	// Absent reports whether servers that have just started say to a session that they have neither logs nor shelf, which it would read. nil: they do not.
	Absent func(session string) bool

	// Stale is how old what a session is told of the shelf and of the ends of logs is, as a server does that does not know that it was replaced. nil, 0: it is not.
	Stale func(session string) time.Duration

	// Behind is how much later a session that begins is told of rows that were written in that time before. nil, 0: it is not late.
	Behind func(session string) time.Duration

	// Room is how many bytes a log may hold. 0: any. Guarded by mu after the first Open; see SetRoom.
	Room int

	// Guarded by mu.
	mu       sync.Mutex
	nodes    map[string]*node
	rows     map[string]row
	revision uint64
	shut     bool // table, logs and shelf refuse to be written
	logs     map[int]*keptLog
	shelf    keptShelf
}

type row struct {
	value    []byte
	revision uint64
	since    time.Time
}

// node is one process. Its goroutines end with Close: one delivers frames, one rows, as an engine does.
type node struct {
	mesh     *Mesh
	session  string
	frames   queue
	rowQueue queue
	done     sync.WaitGroup
	gate     gate

	// Guarded by Mesh.mu.
	held map[string]row       // what was written while the table was out of reach, by key: only the last is told
	late bool                 // it is not told yet of what was written lately
	due  map[string]time.Time // when the last frame under way to a session arrives
}

// gate is what a process does not pass while it is stopped.
type gate struct {
	mu   sync.Mutex
	cond sync.Cond
	shut bool // guarded by mu
}

func (g *gate) set(shut bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shut = shut
	g.cond.Broadcast()
}

func (g *gate) pass() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for g.shut {
		g.cond.Wait()
	}
}

// Open implements mesh.Opener.
func (m *Mesh) Open(session string, h mesh.Handler) (mesh.Node, error) {
	n := &node{mesh: m, session: session, held: make(map[string]row), due: make(map[string]time.Time)}
	n.gate.cond.L = &n.gate.mu
	n.frames.init(&n.gate)
	n.rowQueue.init(&n.gate)
	behind := time.Duration(0)
	if m.Behind != nil {
		behind = m.Behind(session)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.nodes == nil {
		m.nodes, m.rows = make(map[string]*node), make(map[string]row)
	}
	keys := slices.SortedFunc(maps.Keys(m.rows), func(a, b string) int { return cmp.Compare(m.rows[a].revision, m.rows[b].revision) })
	n.late = behind > 0
	for _, key := range keys {
		r := m.rows[key]
		if n.late && time.Since(r.since) < behind {
			n.held[key] = r
			continue
		}
		n.rowQueue.push(func() { h.Row(key, r.value, r.revision) })
	}
	if n.late {
		time.AfterFunc(behind, func() {
			m.mu.Lock()
			defer m.mu.Unlock()
			if n.late = false; m.nodes[session] == n && !m.away(session) {
				n.release()
			}
		})
	}
	n.rowQueue.push(h.Loaded)
	n.frames.handler, n.rowQueue.handler = h, h
	m.nodes[session] = n
	n.done.Go(n.frames.run)
	n.done.Go(n.rowQueue.run)
	return n, nil
}

// SetRoom changes how many bytes a log may hold.
func (m *Mesh) SetRoom(bytes int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.Room = bytes
}

// Shut has the table, logs and shelf refuse to be written, or not any more.
func (m *Mesh) Shut(shut bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.shut = shut
}

// Stop has a process do nothing that concerns the mesh until it is called with false: what it does stays undone, and what is for it waits, as
// for a process that was stopped.
func (m *Mesh) Stop(session string, stop bool) {
	m.mu.Lock()
	n := m.nodes[session]
	m.mu.Unlock()
	if n != nil {
		n.gate.set(stop)
	}
}

// Send implements mesh.Node.
func (n *node) Send(to string, frame []byte) error {
	n.gate.pass()
	n.post(to, frame, mesh.Handler.Frame)
	return nil
}

// Announce implements mesh.Node.
func (n *node) Announce(frame []byte) error {
	n.gate.pass()
	n.mesh.mu.Lock()
	names := slices.Sorted(maps.Keys(n.mesh.nodes))
	n.mesh.mu.Unlock()
	for _, to := range names {
		n.post(to, frame, mesh.Handler.Announced)
	}
	return nil
}

// post hands a frame to one process, as often and as late as fate wants. Of two that would arrive at the same moment the first one does so first.
func (n *node) post(to string, frame []byte, tell func(mesh.Handler, []byte)) {
	m := n.mesh
	if to != n.session && m.Lose != nil && m.Lose(n.session, to, frame) {
		return
	}
	copies := []time.Duration{0}
	if to != n.session && m.Fate != nil {
		copies = m.Fate(n.session, to)
	}
	b := bytes.Clone(frame)
	arrive := func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		if t := m.nodes[to]; t != nil {
			t.frames.push(func() { tell(t.frames.handler, b) })
		}
	}
	for _, late := range copies {
		if late == 0 {
			arrive()
		} else {
			time.AfterFunc(n.inTurn(to, late), arrive)
		}
	}
}

// inTurn is how long a frame is under way that is to be so for as long as late.
func (n *node) inTurn(to string, late time.Duration) time.Duration {
	n.mesh.mu.Lock()
	defer n.mesh.mu.Unlock()
	now := time.Now()
	at := now.Add(late)
	if before := n.due[to]; at.Sub(before).Abs() < time.Microsecond { // some nanoseconds are between those of a burst
		at = before.Add(1)
	}
	n.due[to] = at
	return at.Sub(now)
}

// Update implements mesh.Node.
func (n *node) Update(_ context.Context, key string, value []byte, revision uint64) (uint64, error) {
	n.gate.pass()
	m := n.mesh
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.shut, m.away(n.session):
		return 0, mesh.ErrAway
	case m.rows[key].revision != revision:
		return 0, mesh.ErrConflict
	}
	m.revision++
	r := row{bytes.Clone(value), m.revision, time.Now()}
	key = strings.Clone(key)
	m.rows[key] = r
	for session, t := range m.nodes {
		t.held[key] = r
		if !m.away(session) {
			t.release()
		}
	}
	if m.Unsure != nil && m.Unsure(n.session) {
		return 0, errUnsure
	}
	return r.revision, nil
}

// errUnsure is what a writer gets whose answer is lost.
var errUnsure = errors.New("no response: the row may have been written")

// away reports whether the table is out of a session's reach.
func (m *Mesh) away(session string) bool { return m.Lose != nil && m.Lose(session, "", nil) }

// release has the rows told that were held back. Called with Mesh.mu held.
func (n *node) release() {
	if n.late {
		return
	}
	keys := slices.SortedFunc(maps.Keys(n.held), func(a, b string) int { return cmp.Compare(n.held[a].revision, n.held[b].revision) })
	for _, key := range keys {
		r := n.held[key]
		n.rowQueue.push(func() { n.rowQueue.handler.Row(key, r.value, r.revision) })
	}
	clear(n.held)
}

// Heal has all processes that reach the table learn what was written to it while they did not.
func (m *Mesh) Heal() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for session, n := range m.nodes {
		if !m.away(session) {
			n.release()
		}
	}
}

// Close implements mesh.Node.
func (n *node) Close() error {
	n.mesh.mu.Lock()
	delete(n.mesh.nodes, n.session)
	n.mesh.mu.Unlock()
	n.gate.set(false)
	n.frames.close()
	n.rowQueue.close()
	n.done.Wait()
	return nil
}

// queue runs what is pushed, in order, on the goroutine that calls run.
type queue struct {
	handler mesh.Handler
	gate    *gate

	// Guarded by mu.
	mu     sync.Mutex
	ready  *sync.Cond
	list   []func()
	closed bool
}

func (q *queue) init(g *gate) { q.ready, q.gate = sync.NewCond(&q.mu), g }

func (q *queue) push(f func()) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.list = append(q.list, f)
	q.ready.Signal()
}

func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.ready.Signal()
}

func (q *queue) run() {
	for {
		q.mu.Lock()
		for len(q.list) == 0 && !q.closed {
			q.ready.Wait()
		}
		if q.closed {
			q.mu.Unlock()
			return
		}
		f := q.list[0]
		q.list = q.list[1:]
		q.mu.Unlock()
		q.gate.pass()
		f()
	}
}
