package pool

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// A story is what a connection may read: the reference that the model test and the stress test hold every
// stream of bytes against. A stream is a series of records, each "<topic><kind><position>|<filling>;":
//
//	J joined at   F frame   X frame that stands for all up to it   I frame instead of the shared one
//	A after       L left at   R resynced to   P reply   S sent   E last bytes
//
// In a topic, frames come without a gap from the position of the join up to that of the leave, once each.
// Only a reader that was slow may miss some, and must be told by a resync before the next.
type story struct {
	slow    bool                       // frames may have been dropped, and are resynced
	skipped map[string]map[uint64]bool // by topic: positions of which nothing was sent to this connection
	members map[string][]uint64        // by topic: positions of the memberships, those that leave first
	untils  map[string][]uint64        // by topic: up to where the first of them get frames
	over    bool
}

func newStory() *story {
	return &story{skipped: make(map[string]map[uint64]bool), members: make(map[string][]uint64), untils: make(map[string][]uint64)}
}

// skip says that the frame at a position is empty for this connection.
func (s *story) skip(topic int, at uint64) {
	name := strconv.Itoa(topic)
	if s.skipped[name] == nil {
		s.skipped[name] = make(map[uint64]bool)
	}
	s.skipped[name][at] = true
}

// leave says that the newest membership of a topic gets frames up to a position.
func (s *story) leave(topic int, until uint64) {
	name := strconv.Itoa(topic)
	s.untils[name] = append(s.untils[name], until)
}

// pass moves a position over those of which nothing was sent, as long as they are below limit.
func (s *story) pass(topic string, at, limit uint64) uint64 {
	for at < limit && s.skipped[topic][at+1] {
		at++
	}
	return at
}

// tell checks whole records. It answers the rest, which is the beginning of one.
func (s *story) tell(text string) (rest string, err error) {
	for {
		r, after, ok := strings.Cut(text, ";")
		if !ok {
			return text, nil
		}
		if err := s.record(r); err != nil {
			return "", fmt.Errorf("record %s: %w", r, err)
		}
		text = after
	}
}

func (s *story) record(r string) error {
	head, _, ok := strings.Cut(r, "|")
	if !ok || len(head) < 3 {
		return fmt.Errorf("broken")
	}
	if s.over {
		return fmt.Errorf("after the last")
	}
	topic, kind := head[:1], head[1]
	n, err := strconv.ParseUint(head[2:], 10, 64)
	if err != nil {
		return err
	}
	m := s.members[topic]
	switch kind {
	case 'J':
		s.members[topic] = append(m, n)
	case 'F', 'I', 'X':
		for i := range m {
			if u := s.untils[topic]; i < len(u) && n > u[i] {
				continue
			}
			if at := s.pass(topic, m[i], n-1); at+1 == n || kind == 'X' && n > at {
				m[i] = n
				return nil
			}
		}
		return fmt.Errorf("frame out of turn: members at %v", m)
	case 'R':
		if len(m) == 0 || m[len(m)-1] > n || !s.slow {
			return fmt.Errorf("resync of members at %v, slow %v", m, s.slow)
		}
		m[len(m)-1] = n
	case 'L':
		if len(m) == 0 || s.pass(topic, m[0], n) != n && !s.slow {
			return fmt.Errorf("left with members at %v", m)
		}
		s.members[topic] = slices.Delete(m, 0, 1)
		s.untils[topic] = slices.Delete(s.untils[topic], 0, 1)
	case 'A':
		if len(m) > 0 && s.pass(topic, m[len(m)-1], n) < n && !s.slow {
			return fmt.Errorf("early: members at %v", m)
		}
	case 'P', 'S':
	case 'E':
		s.over = true
	default:
		return fmt.Errorf("unknown")
	}
	return nil
}

// caughtUp says that the membership of a topic, if there is one, has got everything up to a position.
func (s *story) caughtUp(topic int, upto uint64) error {
	name := strconv.Itoa(topic)
	for _, at := range s.members[name] {
		if got := s.pass(name, at, upto); got != upto {
			return fmt.Errorf("topic %d ends at %d, want %d", topic, got, upto)
		}
	}
	return nil
}

// rec is one record; filling makes it longer.
func rec(topic int, kind byte, n uint64, filling int) []byte {
	return fmt.Appendf(nil, "%d%c%d|%s;", topic, kind, n, strings.Repeat("x", filling))
}

// channel is a topic with the lock and the window that a channel has around it: positions are accepted,
// and delivered some time later.
type channel struct {
	*Topic
	index int
	meter Meter

	mu       sync.Mutex
	accepted uint64
	pending  []*Frame // Last of the newest is accepted
}

func newChannel(p *Pool, index int, slow Slow) *channel {
	c := &channel{index: index}
	c.Topic = p.Topic(slow, &c.meter)
	return c
}

// accept adds one message of a size, with a frame of its own.
func (c *channel) accept(filling int, instead []Override) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.accepted++
	f := &Frame{Last: c.accepted, Count: 1, Overrides: instead}
	f.Bytes[plain] = rec(c.index, 'F', c.accepted, filling)
	c.pending = append(c.pending, f)
}

// lose drops what has not been delivered; one frame stands for it. It answers the positions that nobody
// gets.
func (c *channel) lose() (dropped []uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, f := range c.pending {
		dropped = append(dropped, f.Last)
	}
	c.accepted++
	f := &Frame{Last: c.accepted, Count: 1}
	f.Bytes[plain] = rec(c.index, 'X', c.accepted, 0)
	c.pending = []*Frame{f}
	return dropped
}

// flush delivers what was accepted. One goroutine at a time.
func (c *channel) flush() {
	c.mu.Lock()
	pending := c.pending
	c.pending = nil
	c.mu.Unlock()
	for _, f := range pending {
		c.Deliver(f)
	}
}

// at calls f with the position of now, under the lock.
func (c *channel) at(f func(at uint64)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f(c.accepted)
}
