package fake

import (
	"bytes"
	"context"
	"errors"
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
	made     bool
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

// Make implements mesh.Log.
func (l log) Make(ctx context.Context) error {
	_, err := l.node.write(ctx, func() (uint64, error) {
		l.kept().made = true
		return 0, nil
	})
	return err
}

// made reports whether the log was made. Called with Mesh.mu held.
func (l log) made() bool { return l.kept().made }

// Append implements mesh.Log.
func (l log) Append(ctx context.Context, data []byte, last uint64) (uint64, error) {
	data = bytes.Clone(data)
	return l.node.write(ctx, func() (uint64, error) {
		k := l.kept()
		switch room := l.node.mesh.Room; {
		case !k.made:
			return 0, mesh.ErrAbsent
		case k.last() != last:
			return k.last(), mesh.ErrConflict
		case room > 0 && k.bytes+len(data) > room:
			return 0, mesh.ErrFull
		}
		k.messages = append(k.messages, message{time.Now(), data})
		k.bytes += len(data)
		return k.last(), nil
	})
}

// write makes a write when the process and the servers let it: it may be refused, made without an answer, or made late. What f
// has to say it returns: when it is made late, its caller has long gone on.
func (n *node) write(ctx context.Context, f func() (uint64, error)) (uint64, error) {
	n.gate.pass()
	defer n.gate.pass()
	m := n.mesh
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.shut || m.away(n.session) {
		return 0, mesh.ErrAway
	}
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	if m.Late != nil {
		if late := m.Late(n.session); late > 0 {
			time.AfterFunc(late, func() {
				m.mu.Lock()
				defer m.mu.Unlock()
				_, _ = f()
			})
			return 0, errUnsure
		}
	}
	number, err := f()
	if err == nil && m.Unsure != nil && m.Unsure(n.session) {
		return 0, errUnsure
	}
	return number, err
}

// reach waits until the process is let go on, and returns with Mesh.mu held if the servers are reached and know what is read.
func (n *node) reach(ctx context.Context, made func() bool) error {
	n.gate.pass()
	absent := n.mesh.Absent != nil && n.mesh.Absent(n.session)
	n.mesh.mu.Lock()
	err := ctx.Err()
	switch {
	case err != nil:
	case n.mesh.away(n.session):
		err = mesh.ErrAway
	case absent || !made():
		err = mesh.ErrAbsent
	default:
		return nil
	}
	n.mesh.mu.Unlock()
	return err
}

// before is the time of which a session is told what there is.
func (n *node) before() time.Time {
	if n.mesh.Stale == nil {
		return time.Now()
	}
	return time.Now().Add(-n.mesh.Stale(n.session))
}

// Bounds implements mesh.Log.
func (l log) Bounds(ctx context.Context) (first, last uint64, err error) {
	before := l.node.before()
	if err := l.node.reach(ctx, l.made); err != nil {
		return 0, 0, err
	}
	defer l.node.mesh.mu.Unlock()
	k := l.kept()
	n := len(k.messages)
	for n > 0 && k.messages[n-1].at.After(before) {
		n--
	}
	last = k.purged + uint64(n)
	return min(k.purged, last) + 1, last, nil
}

// Read implements mesh.Log.
func (l log) Read(ctx context.Context, from, to uint64, f func(number uint64, at time.Time, message []byte) error) error {
	for number := max(from, 1); number <= to; number++ {
		err := l.node.reach(ctx, l.made)
		if errors.Is(err, mesh.ErrAbsent) { // it is asked again
			number--
			select {
			case <-ctx.Done():
				return errors.Join(err, ctx.Err())
			case <-time.After(time.Millisecond):
			}
			continue
		}
		if err != nil {
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
	_, err := l.node.write(ctx, func() (uint64, error) {
		k := l.kept()
		if !k.made {
			return 0, mesh.ErrAbsent
		}
		for k.purged < to && len(k.messages) > 0 {
			k.bytes -= len(k.messages[0].data)
			k.messages = k.messages[1:]
			k.purged++
		}
		return 0, nil
	})
	return err
}

// Limit implements mesh.Log.
func (log) Limit() int { return messageLimit }
