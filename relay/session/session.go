package session

import (
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"weir/broker"
	"weir/internal/ratelimit"
	"weir/internal/wire"
	"weir/pool"
	"weir/relay/auth"
	"weir/relay/hub"
	"weir/relay/websocket"
)

// Session is one connected client: who it is, what it may do, what it is subscribed to. It implements pool.Owner.
//
// A session is read in turns: when something has come, a worker handles it and then awaits more. The first
// turn comes when the first frame has been written, the last one when the client has gone; Manager.readers
// waits for that. Everything written goes through conn.
type Session struct {
	// Set once, before the first turn.
	manager  *Manager
	conn     pool.Conn // unused if the session is of a request
	protocol Protocol
	id       string   // connectionId
	user     string   // of the first token; a refresh cannot change it
	address  [16]byte // of the client, for limits and logs: see Address
	opened   int64    // Unix milliseconds; 0: the session is of a request
	enc      pool.Encoding
	features pool.Features
	events   bool // it is an event stream, and not a WebSocket
	custom   bool // the protocol is not the relay's own
	counted  bool // in its address, which the end of the session is to give back

	// Here, where there is room.
	greeted   bool // the answer to the handshake has been written: other things may be. Owned by the shard's loop
	ended     bool // nothing may be subscribed any more. Guarded by mu
	lingering bool // the conversation is over, the client has not closed yet. Owned by who has the turn

	// Atomic.
	identity atomic.Pointer[auth.Identity] // replaced by refresh
	asked    atomic.Pointer[auth.Identity] // whose Refresh has been called
	closed   atomic.Pointer[Closing]       // why the relay closes it; nil: it does not, or nobody wants to know
	aside    atomic.Pointer[aside]         // commands that wait for something outside; nil: none do. Written under mu
	own      atomic.Pointer[ownChannel]    // nil: it is among subs, or the session does not follow it. Set under the lock of the registry's part
	lastPing atomic.Int64                  // when the client last sent a ping of the protocol, or a pong, in ms; 0: never
	ending   atomic.Bool                   // a close is under way: commands are ignored

	// Guarded by the lock of the registry's part.
	ofUser   int32    // how many sessions the user has, while it is the newest of them
	sameUser *Session // the next older session of the user

	// Guarded by mu.
	mu      sync.Mutex
	subs    []subscription
	few     [1]subscription // of most sessions, all of them
	leaving *leaving        // nil: nothing was left yet
	until   int64           // when ended: for how long what is held is carried out; Unix nanoseconds
	expiry  expiryEntry

	// Owned by who has the turn, which reading guards.
	reading  sync.Mutex
	socket   websocket.Reader
	commands ratelimit.Bucket
}

// leaving is what a session does not follow any more, and is not done with. Guarded by the session's mu.
type leaving struct {
	unsubscribing []pendingUnsubscribe // subscriptions that were ended and may still have changes to send
	present       []string             // channels whose subscription ended with the session, and whose users it still is among
}

// leave is leaving, made if need be. The caller holds s.mu.
func (s *Session) leave() *leaving {
	if s.leaving == nil {
		s.leaving = new(leaving)
	}
	return s.leaving
}

// subscription is a channel that a session follows.
type subscription struct {
	channel  *broker.Channel
	fanout   *hub.Fanout
	topic    *pool.Topic
	selected *selection // nil: all of the channel
	present  bool       // counted in the channel's presence
	observed bool       // observers know of it
	limited  bool       // it was decided about for a time
	until    int64      // when it is to be decided about anew, in Unix nanoseconds; 0: with the next token
}

// selection is the part of a channel that a subscription is to.
type selection struct {
	groups []string
	key    string
}

// selectionOf is what a subscription to these groups, or this item, selects. It owns what it is made of.
func selectionOf(groups []string, key string) *selection {
	if len(groups) == 0 && key == "" {
		return nil
	}
	x := &selection{key: strings.Clone(key)}
	for _, name := range groups {
		x.groups = append(x.groups, strings.Clone(name))
	}
	return x
}

// parts are its groups, or its item; of nil none, which is everything.
func (x *selection) parts() (groups []string, key string) {
	if x != nil {
		groups, key = x.groups, x.key
	}
	return groups, key
}

// pendingUnsubscribe is a subscription on its way out. gone is closed by the shard's loop when everything accepted
// before has been sent, and the answer.
type pendingUnsubscribe struct {
	channel string
	done    chan struct{}
}

// find is the index of a channel in subs, or -1. The caller holds s.mu.
func (s *Session) find(channel string) int {
	s.takeUp()
	return slices.IndexFunc(s.subs, func(x subscription) bool { return x.fanout.Name == channel })
}

// Deliver sends frames now. A client that sends commands and does not read the answers is cut off.
func (s *Session) Deliver(frames []byte) {
	if errors.Is(s.conn.Send(frames), pool.ErrSlow) {
		s.Slow()
	}
}

// Tail implements pool.Owner.
func (s *Session) Tail(dst []byte, t *pool.Topic, f *pool.Frame) []byte {
	return s.protocol.Tail(dst, t, f)
}

// Slow implements pool.Owner.
func (s *Session) Slow() {
	s.CloseNow(Closing{Code: wire.CloseSlow, Reason: "slow"})
	s.manager.hub.Counters.Drops.Of("slow").Inc()
}

// Missed implements pool.Owner: the client comes back, and goes on from what it has got.
func (s *Session) Missed() {
	s.CloseNow(InternalError)
}

// Resync implements pool.Owner: the snapshot is built off the loop.
func (s *Session) Resync(t *pool.Topic) {
	if !s.manager.hub.Background(func() {
		defer s.Catch(s.Slow) // it would lag for ever
		s.ResyncNow(t)
	}) {
		s.Slow()
	}
}

// ResyncNow sends a client that has missed frames of a topic the present state. If that cannot be found
// out, the client is closed: it would lag for ever.
func (s *Session) ResyncNow(t *pool.Topic) {
	s.mu.Lock()
	s.takeUp()
	i := slices.IndexFunc(s.subs, func(x subscription) bool { return x.topic == t })
	if i < 0 {
		s.mu.Unlock()
		return
	}
	sub := s.subs[i]
	s.mu.Unlock()
	known := true
	groups, key := sub.selected.parts()
	_, err := s.manager.hub.Broker.Join(sub.fanout.Name, broker.JoinRequest{Groups: groups, Key: key, Again: true}, func(out broker.Subscriber, r broker.Reply) {
		if out != sub.fanout {
			return // it has left meanwhile, and somebody else has come
		}
		sub.fanout.Window.Seal()
		r.Lost = true // what it was too slow for
		frame := s.protocol.Resync(sub.fanout.Name, r)
		if known = frame != nil; known {
			s.conn.Rejoin(t, sub.fanout.Ordinal.Load(), frame)
		}
	})
	switch {
	case !known:
		s.Slow()
	case err == nil:
		s.manager.hub.Counters.Resumes.Of("resync").Inc()
	case !errors.Is(err, broker.ErrNotJoined): // then it has left meanwhile
		s.manager.hub.Log.Warn("reader not resynced", slog.String("connection", s.id), slog.String("error", err.Error()))
		s.Slow()
	}
}

// heartbeat is a comment: clients ignore it, proxies see traffic.
var heartbeat = []byte(":heartbeat\n\n")

var pingFrame = wire.AppendFrame(nil, wire.OpPing, nil)

// Heartbeat implements pool.Owner: a ping, or a comment that keeps proxies from closing an idle stream.
func (s *Session) Heartbeat(time.Time) {
	switch {
	case !s.greeted:
		return
	case s.events:
		b := heartbeat
		if s.enc == hub.ChunkedSSE {
			b = hub.Chunk(b)
		}
		s.Deliver(b)
		return
	}
	s.socket.Heard.Store(false)
	_ = s.conn.Send(pingFrame) // a full queue is no reason to close here: Check decides
}

// Check implements pool.Owner: a client that has been silent since the ping is gone.
func (s *Session) Check(now time.Time) {
	if !s.events && !s.socket.Heard.Load() && now.UnixMilli()-s.opened > s.manager.hub.Config.Pong.Milliseconds() {
		s.CloseNow(Closing{Code: wire.CloseNoPong, Reason: "no pong"})
	}
}
