// Package fake is a mesh in memory, for tests: frames can be lost and held back between any two processes.
package fake

import (
	"bytes"
	"context"
	"maps"
	"slices"
	"strings"
	"sync"

	"weir/internal/mesh"
)

// Mesh connects the processes of a test. It implements mesh.Opener.
type Mesh struct {
	// Lose reports whether a frame from one session to another one is lost, and with "" for the other one whether the table is
	// out of its reach: then it cannot write, and learns what is written when it can again. It is set before the first Open, is called without
	// a lock and by many goroutines, and must not block. nil: none is.
	Lose func(from, to string, frame []byte) bool

	// Guarded by mu.
	mu       sync.Mutex
	nodes    map[string]*node
	rows     map[string]row
	revision uint64
	shut     bool // the table refuses to be written
}

type row struct {
	value    []byte
	revision uint64
}

// node is one process. Its goroutines end with Close: one delivers frames, one rows, as an engine does.
type node struct {
	mesh     *Mesh
	session  string
	frames   queue
	rowQueue queue
	held     []func() // rows that were written while the table was out of reach; guarded by Mesh.mu
	done     sync.WaitGroup
}

// Open implements mesh.Opener.
func (m *Mesh) Open(session string, h mesh.Handler) (mesh.Node, error) {
	n := &node{mesh: m, session: session}
	n.frames.init()
	n.rowQueue.init()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.nodes == nil {
		m.nodes, m.rows = make(map[string]*node), make(map[string]row)
	}
	for _, key := range slices.Sorted(maps.Keys(m.rows)) {
		r := m.rows[key]
		n.rowQueue.push(func() { h.Row(key, r.value, r.revision) })
	}
	n.rowQueue.push(h.Loaded)
	n.frames.handler, n.rowQueue.handler = h, h
	m.nodes[session] = n
	n.done.Go(n.frames.run)
	n.done.Go(n.rowQueue.run)
	return n, nil
}

// Shut has the table refuse to be written, or not any more.
func (m *Mesh) Shut(shut bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.shut = shut
}

// Send implements mesh.Node.
func (n *node) Send(to string, frame []byte) error {
	if lose := n.mesh.Lose; lose != nil && lose(n.session, to, frame) {
		return nil
	}
	n.mesh.mu.Lock()
	defer n.mesh.mu.Unlock()
	if t := n.mesh.nodes[to]; t != nil {
		b := bytes.Clone(frame)
		t.frames.push(func() { t.frames.handler.Frame(b) })
	}
	return nil
}

// Announce implements mesh.Node.
func (n *node) Announce(frame []byte) error {
	n.mesh.mu.Lock()
	names := slices.Sorted(maps.Keys(n.mesh.nodes))
	n.mesh.mu.Unlock()
	for _, to := range names {
		if lose := n.mesh.Lose; lose != nil && to != n.session && lose(n.session, to, frame) {
			continue
		}
		n.mesh.mu.Lock()
		if t := n.mesh.nodes[to]; t != nil {
			b := bytes.Clone(frame)
			t.frames.push(func() { t.frames.handler.Announced(b) })
		}
		n.mesh.mu.Unlock()
	}
	return nil
}

// Update implements mesh.Node.
func (n *node) Update(_ context.Context, key string, value []byte, revision uint64) (uint64, error) {
	m := n.mesh
	away := func(session string) bool { return m.Lose != nil && m.Lose(session, "", nil) }
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.shut, away(n.session):
		return 0, mesh.ErrAway
	case m.rows[key].revision != revision:
		return 0, mesh.ErrConflict
	}
	m.revision++
	r := row{bytes.Clone(value), m.revision}
	key = strings.Clone(key)
	m.rows[key] = r
	for session, t := range m.nodes {
		t.held = append(t.held, func() { t.rowQueue.handler.Row(key, r.value, r.revision) })
		if !away(session) {
			t.release()
		}
	}
	return r.revision, nil
}

// release has the rows told that were held back. Called with Mesh.mu held.
func (n *node) release() {
	for _, f := range n.held {
		n.rowQueue.push(f)
	}
	n.held = nil
}

// Heal has all processes learn what was written to the table while it was out of their reach.
func (m *Mesh) Heal() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, n := range m.nodes {
		n.release()
	}
}

// Close implements mesh.Node.
func (n *node) Close() error {
	n.mesh.mu.Lock()
	delete(n.mesh.nodes, n.session)
	n.mesh.mu.Unlock()
	n.frames.close()
	n.rowQueue.close()
	n.done.Wait()
	return nil
}

// queue runs what is pushed, in order, on the goroutine that calls run.
type queue struct {
	handler mesh.Handler

	// Guarded by mu.
	mu     sync.Mutex
	ready  *sync.Cond
	list   []func()
	closed bool
}

func (q *queue) init() { q.ready = sync.NewCond(&q.mu) }

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
		f()
	}
}
