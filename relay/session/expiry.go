package session

import (
	"container/heap"
	"context"
	"sync"
	"time"

	"weir/internal/contain"
	"weir/internal/wire"
)

// expiries closes sessions whose token has expired, within a second of that, and has those asked about again whose time for
// that has come. It keeps a heap by time and
// one goroutine, run, that looks at it four times a second: tokens expire by the wall clock, which may jump.
type expiries struct {
	now func() time.Time

	mu   sync.Mutex
	heap expiryHeap // guarded by mu
}

// expiryEntry is a session's place in the heap. Guarded by expiries.mu.
type expiryEntry struct {
	at    int64 // Unix milliseconds
	index int   // plus one; 0: not in the heap
}

type expiryHeap []*Session

func (h expiryHeap) Len() int           { return len(h) }
func (h expiryHeap) Less(i, j int) bool { return h[i].expiry.at < h[j].expiry.at }
func (h expiryHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].expiry.index, h[j].expiry.index = i+1, j+1
}

// Push implements heap.Interface.
func (h *expiryHeap) Push(x any) {
	s := x.(*Session)
	*h = append(*h, s)
	s.expiry.index = len(*h)
}

// Pop implements heap.Interface.
func (h *expiryHeap) Pop() any {
	old := *h
	s := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	s.expiry.index = 0
	return s
}

// set makes a session end at a time; the zero time means never.
func (e *expiries) set(s *Session, at time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if s.expiry.index > 0 {
		heap.Remove(&e.heap, s.expiry.index-1)
	}
	if at.IsZero() || s.ending.Load() {
		return
	}
	s.expiry.at = at.UnixMilli()
	heap.Push(&e.heap, s)
}

// remove forgets a session.
func (e *expiries) remove(s *Session) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if s.expiry.index > 0 {
		heap.Remove(&e.heap, s.expiry.index-1)
	}
}

// run ends when ctx does.
func (e *expiries) run(ctx context.Context, hook contain.Hook) {
	tick := time.NewTicker(time.Second / 4)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			for _, s := range e.due() {
				if !hook.Do("expiry", s.due) {
					s.conn.Abort()
				}
			}
		case <-ctx.Done():
			return
		}
	}
}

// due takes the sessions whose time has come out of the heap.
func (e *expiries) due() []*Session {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := e.now().UnixMilli()
	var out []*Session
	for len(e.heap) > 0 && e.heap[0].expiry.at <= now {
		out = append(out, heap.Pop(&e.heap).(*Session))
	}
	return out
}

// Schedule has the session looked at when something about it is due.
func (s *Session) Schedule() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.manager.expiries.set(s, s.deadline())
}

// deadline is when something about the session is due: the end of its identity, or the time to ask again. Zero: never. The
// caller holds s.mu.
func (s *Session) deadline() time.Time {
	id := s.identity.Load()
	at := id.Expires.Time()
	if v := id.Vouched; v != nil && s.asked.Load() != id {
		at = sooner(at, v.Refresh)
	}
	for i := range s.subs {
		if until := s.subs[i].until; until != 0 {
			at = sooner(at, time.Unix(0, until))
		}
	}
	return at
}

// sooner is the earlier of two times, of which zero is never.
func sooner(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// due does what the time of the session has come for.
func (s *Session) due() {
	id, now := s.identity.Load(), s.manager.Now()
	if id.Expires != 0 && !now.Before(id.Expires.Time()) {
		s.Close(Closing{Code: wire.CloseUnauthorized, Reason: "token expired"})
		return
	}
	if v := id.Vouched; v != nil && !v.Refresh.IsZero() && !now.Before(v.Refresh) && s.asked.Swap(id) != id {
		s.manager.connector.Refresh(s.id, id)
	}
	s.mu.Lock()
	var lapsed []string
	for i := range s.subs {
		if sub := &s.subs[i]; sub.until != 0 && now.UnixNano() >= sub.until {
			sub.until = 0
			lapsed = append(lapsed, sub.fanout.Name)
		}
	}
	s.mu.Unlock()
	for _, channel := range lapsed {
		_ = s.Hold(channel, Held{Since: time.Now()}) // there is always room for these
	}
	s.Schedule()
}
