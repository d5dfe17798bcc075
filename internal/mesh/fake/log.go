package fake

import (
	"bytes"
	"context"
	"strings"
	"time"

	"weir/internal/mesh"
)

// messageLimit is the Limit of logs and shelf.
const messageLimit = 1 << 20

// message is one of a log.
type message struct {
	at   time.Time
	data []byte
}

// keptLog is what the servers keep of a log. Guarded by Mesh.mu.
type keptLog struct {
	purged   uint64 // number of the last message that was purged
	messages []message
	bytes    int
}

func (l *keptLog) last() uint64 { return l.purged + uint64(len(l.messages)) }

// log is a process's way to a log. It implements mesh.Log.
type log struct {
	node   *node
	number int
}

// Log implements mesh.Node.
func (n *node) Log(number int) mesh.Log { return log{n, number} }

// kept returns the log as the servers have it. Called with Mesh.mu held.
func (l log) kept() *keptLog {
	m := l.node.mesh
	if m.logs == nil {
		m.logs = make(map[int]*keptLog)
	}
	k := m.logs[l.number]
	if k == nil {
		k = new(keptLog)
		m.logs[l.number] = k
	}
	return k
}

// Append implements mesh.Log.
func (l log) Append(ctx context.Context, data []byte, last uint64) (uint64, error) {
	data = bytes.Clone(data)
	var number uint64
	err := l.node.write(ctx, func() (err error) {
		k := l.kept()
		switch room := l.node.mesh.Room; {
		case k.last() != last:
			number = k.last()
			return mesh.ErrConflict
		case room > 0 && k.bytes+len(data) > room:
			return mesh.ErrFull
		}
		k.messages = append(k.messages, message{time.Now(), data})
		k.bytes += len(data)
		number = k.last()
		return nil
	})
	return number, err
}

// write makes a write when the process and the servers let it: it may be refused, made without an answer, or made late.
func (n *node) write(ctx context.Context, f func() error) error {
	n.gate.pass()
	defer n.gate.pass()
	m := n.mesh
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.shut || m.away(n.session) {
		return mesh.ErrAway
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if m.Late != nil {
		if late := m.Late(n.session); late > 0 {
			time.AfterFunc(late, func() {
				m.mu.Lock()
				defer m.mu.Unlock()
				_ = f()
			})
			return errUnsure
		}
	}
	err := f()
	if err == nil && m.Unsure != nil && m.Unsure(n.session) {
		return errUnsure
	}
	return err
}

// reach waits until the process is let go on, and returns with Mesh.mu held if the servers are reached.
func (n *node) reach(ctx context.Context) error {
	n.gate.pass()
	n.mesh.mu.Lock()
	if err := ctx.Err(); err != nil || n.mesh.away(n.session) {
		n.mesh.mu.Unlock()
		if err == nil {
			err = mesh.ErrAway
		}
		return err
	}
	return nil
}

// Bounds implements mesh.Log.
func (l log) Bounds(ctx context.Context) (first, last uint64, err error) {
	if err := l.node.reach(ctx); err != nil {
		return 0, 0, err
	}
	defer l.node.mesh.mu.Unlock()
	k := l.kept()
	return k.purged + 1, k.last(), nil
}

// Read implements mesh.Log.
func (l log) Read(ctx context.Context, from, to uint64, f func(number uint64, at time.Time, message []byte) error) error {
	for number := max(from, 1); number <= to; number++ {
		if err := l.node.reach(ctx); err != nil {
			return err
		}
		k := l.kept()
		number = max(number, k.purged+1)
		if number > k.last() || number > to {
			there := k.last() >= to
			l.node.mesh.mu.Unlock()
			if there {
				return nil
			}
			number--
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(time.Millisecond):
			}
			continue
		}
		one := k.messages[number-k.purged-1]
		l.node.mesh.mu.Unlock()
		if err := f(number, one.at, bytes.Clone(one.data)); err != nil {
			return err
		}
	}
	return nil
}

// Purge implements mesh.Log.
func (l log) Purge(ctx context.Context, to uint64) error {
	return l.node.write(ctx, func() error {
		k := l.kept()
		for k.purged < to && len(k.messages) > 0 {
			k.bytes -= len(k.messages[0].data)
			k.messages = k.messages[1:]
			k.purged++
		}
		return nil
	})
}

// Limit implements mesh.Log.
func (log) Limit() int { return messageLimit }

// shelf is a process's way to the shelf. It implements mesh.Shelf.
type shelf struct{ node *node }

// Shelf implements mesh.Node.
func (n *node) Shelf() mesh.Shelf { return shelf{n} }

// Get implements mesh.Shelf.
func (s shelf) Get(ctx context.Context, key string) (value []byte, revision uint64, err error) {
	if err := s.node.reach(ctx); err != nil {
		return nil, 0, err
	}
	defer s.node.mesh.mu.Unlock()
	r := s.node.mesh.shelf[key]
	return bytes.Clone(r.value), r.revision, nil
}

// Put implements mesh.Shelf.
func (s shelf) Put(ctx context.Context, expected uint64, values ...mesh.Value) (uint64, error) {
	m := s.node.mesh
	var revision uint64
	rows := make([]row, len(values))
	for i, v := range values {
		rows[i].value = append([]byte{}, v.Data...)
	}
	err := s.node.write(ctx, func() error {
		if m.shelf == nil {
			m.shelf = make(map[string]row)
		}
		if m.shelf[values[len(values)-1].Key].revision != expected {
			return mesh.ErrConflict
		}
		for i, v := range values {
			m.shelved++
			rows[i].revision = m.shelved
			m.shelf[v.Key] = rows[i]
		}
		revision = m.shelved
		return nil
	})
	return revision, err
}

// Drop implements mesh.Shelf.
func (s shelf) Drop(ctx context.Context, key string, revision uint64) error {
	return s.node.write(ctx, func() error {
		if s.node.mesh.shelf[key].revision <= revision {
			delete(s.node.mesh.shelf, key)
		}
		return nil
	})
}

// Keys implements mesh.Shelf.
func (s shelf) Keys(ctx context.Context, prefix string, f func(key string) error) error {
	if err := s.node.reach(ctx); err != nil {
		return err
	}
	var keys []string
	for key := range s.node.mesh.shelf {
		if strings.HasPrefix(key, prefix+".") {
			keys = append(keys, key)
		}
	}
	s.node.mesh.mu.Unlock()
	for _, key := range keys {
		if err := f(key); err != nil {
			return err
		}
	}
	return nil
}

// Limit implements mesh.Shelf.
func (shelf) Limit() int { return messageLimit }
