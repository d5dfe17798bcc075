package pool

import (
	"context"
	"runtime"
	"time"
)

// kind is what a mail asks of the loop.
type kind uint8

const (
	openMail    kind = iota
	joinMail         // conn, slot, seq, bytes, then
	rejoinMail       // conn, slot, seq, bytes
	waitMail         // conn, slot, seq, bytes, then, leave
	frameMail        // slot, frame
	replyMail        // conn, bytes, then
	shutMail         // conn, bytes, drop
	drainedMail      // conn
	removeMail       // conn, then
	flushMail        // then
)

// mail is one message to a shard's loop.
type mail struct {
	kind  kind
	leave bool
	drop  bool
	conn  *Conn
	slot  *slot
	frame *Frame
	bytes []byte
	seq   uint64
	then  func() // called by the loop, after what the mail had it write was written
}

// maxSpare is the capacity, in mails, beyond which a mailbox is given back.
const maxSpare = 1 << 14

// Wake makes the loop run its scheduler soon. It never blocks.
func (s *Shard) Wake() {
	s.mu.Lock()
	s.woken = true
	s.unlockAndWake()
}

// post puts a mail into the mailbox. It never blocks; Pool.Full bounds the frames in it, and the number of connections
// the rest. If the loop has ended it returns false, and then is called at once.
func (s *Shard) post(m mail) bool {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		if m.then != nil {
			m.then()
		}
		return false
	}
	s.box = append(s.box, m)
	if m.kind == frameMail {
		s.backlog.Add(m.frame.size())
	}
	s.unlockAndWake()
	return true
}

// unlockAndWake unlocks s.mu and wakes the loop if it sleeps.
func (s *Shard) unlockAndWake() {
	asleep := s.asleep
	s.asleep = false
	s.mu.Unlock()
	if asleep {
		select {
		case s.wake <- struct{}{}:
		default: // a token is there already; the sleeper will find it
		}
	}
}

// sleep returns when there is mail, Wake was called, next has come or ctx is done.
func (s *Shard) sleep(ctx context.Context, timer *time.Timer, next time.Time) {
	s.mu.Lock()
	if len(s.box) > 0 || s.woken {
		s.woken = false
		s.mu.Unlock()
		runtime.Gosched() // let publishers add to what the next pass writes
		return
	}
	s.asleep = true
	s.mu.Unlock()
	timer.Reset(time.Until(next))
	select {
	case <-s.wake:
	case <-timer.C:
	case <-ctx.Done():
	}
	s.mu.Lock()
	s.asleep, s.woken = false, false
	s.mu.Unlock()
}

// readMail handles everything in the mailbox.
func (s *Shard) readMail(now time.Time) {
	s.mu.Lock()
	in := s.box
	s.box, s.spare = s.spare[:0], nil
	s.mu.Unlock()
	for s.at = 0; s.at < len(in); {
		s.handleMail(in, now)
	}
	clear(in)
	if cap(in) <= maxSpare {
		s.spare = in[:0]
	}
}

func (s *Shard) handle(m *mail, now time.Time) {
	switch m.kind {
	case frameMail:
		s.backlog.Add(-m.frame.size())
		m.slot.busy = now.UnixNano()
		s.gather(m.slot, m.frame)
	case joinMail:
		if m.conn.gone {
			m.slot.count(m.conn, -1)
			break
		}
		m.slot.add(m.conn, m.seq)
		s.owe(m.conn, m.bytes)
	case rejoinMail:
		if m.slot.restart(m.conn, m.seq) {
			s.settle(m.slot) // replies that waited for frames that it no longer gets come before where it starts over
			s.owe(m.conn, m.bytes)
		}
	case waitMail:
		s.await(m)
		return // it keeps then
	case replyMail:
		s.owe(m.conn, m.bytes)
	case openMail:
		s.enter(m.conn)
	case shutMail:
		s.shut(m.conn, m.bytes, m.drop)
	case drainedMail:
		s.drained(m.conn)
	case removeMail:
		s.remove(m.conn)
	case flushMail:
		s.pool.do(nil, func() { s.scheduler.FlushAll(now) })
	}
	if m.then != nil {
		s.callbacks = append(s.callbacks, m.then)
	}
}
