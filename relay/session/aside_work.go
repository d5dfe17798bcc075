package session

import (
	"errors"
	"time"

	"weir/broker"
	"weir/relay/auth"
	"weir/relay/hub"
	"weir/relay/problem"
)

// Beside is what carries out messages beside a session's turn, for Protocol.Held.
type Beside struct {
	s       *Session
	a       *aside
	awaited []awaited

	// Of the message at hand.
	How   hub.Wait // how long it may wait
	Ended bool     // the session has: nobody is there for an answer
}

// work carries out lines until there are none to be taken.
func (s *Session) work(a *aside, l *line) {
	defer s.manager.readers.Done()
	b := Beside{s: s, a: a}
	for l != nil {
		h, ok := s.first(a, l)
		switch {
		case ok:
			b.carryOut(l.key, &h)
			s.done(a, &h)
		case len(b.awaited) > 0:
			b.settle() // and then more may have come
		default:
			l = s.nextLine(a, l)
		}
	}
}

// settle is Settle on its own. A panic costs the connection.
func (b *Beside) settle() {
	defer b.s.Catch(func() { b.s.Close(InternalError) })
	b.Settle()
}

// carryOut carries out one message.
func (b *Beside) carryOut(key string, h *Held) {
	defer b.s.Catch(func() { b.s.Close(InternalError) })
	var over bool
	switch b.How, b.Ended, over = b.s.hasteOf(b.a, h); {
	case over:
	case h.Message == nil:
		_ = b.s.review(key, b.How) // told to the client, if anybody is
	default:
		b.s.protocol.Held(h, b)
	}
}

// hasteOf returns how long a command may wait: nobody is asked about one for which the session has waited as long as
// an answer may take, while another one did not come. Over says that the session has ended too long ago.
func (s *Session) hasteOf(a *aside, h *Held) (how hub.Wait, ended, over bool) {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	how = hub.WaitForAll
	if a.failed.After(h.Since) && now.Sub(h.Since) >= s.manager.hub.Config.Auth.Webhook.Timeout {
		how = hub.WaitForDisk
	}
	return how, s.ended, s.ended && now.UnixNano() > s.until
}

// Noted is an error as it is told. It notes that a decision has not come.
func (b *Beside) Noted(err error) error {
	if errors.Is(err, hub.ErrUndecided) {
		return hub.ErrUnavailable
	}
	if errors.Is(err, hub.ErrUnavailable) {
		b.s.mu.Lock()
		defer b.s.mu.Unlock()
		b.a.failed = time.Now()
	}
	return err
}

// awaited is the answer to a publication that waits for the disk. Those of publications that have come together are
// waited for together.
type awaited struct {
	id      []byte
	receipt broker.Receipt
	err     error
}

const mostAwaited = 64

// Await has a publication answered when it is safe, after those before it.
func (b *Beside) Await(id []byte, receipt broker.Receipt, err error) {
	b.awaited = append(b.awaited, awaited{id, receipt, err})
	if receipt.Wait == nil || len(b.awaited) == mostAwaited {
		b.Settle()
	}
}

// Settle waits until publications are safe and sends their answers, in order.
func (b *Beside) Settle() {
	for i := range b.awaited {
		p := &b.awaited[i]
		if p.err == nil {
			p.receipt.Position, p.err = p.receipt.Settle()
		}
		b.s.protocol.Published(p.id, p.receipt.Position, p.err)
	}
	clear(b.awaited)
	b.awaited = b.awaited[:0]
}

// review ends a subscription that the session's token does not allow. Where nobody answers the question, what was
// allowed before goes on.
func (s *Session) review(channel string, how hub.Wait) error {
	id := s.identity.Load()
	d, err := s.manager.hub.Namespaces.Decide(id, auth.Subscribe, channel, how)
	switch {
	case errors.Is(err, hub.ErrDenied):
		why := "the new token does not allow this channel"
		if id.Vouched != nil {
			why = "this channel is no longer allowed"
		}
		s.protocol.Denied(channel, problem.Forbidden.With(why))
	case err == nil && !d.Expires.IsZero():
		s.holds(channel, d.Expires)
	case how == hub.NoWait:
	case errors.Is(err, hub.ErrUnavailable) && s.lapsed(channel):
		s.protocol.Denied(channel, problem.Unavailable)
	case errors.Is(err, hub.ErrUndecided) && s.lapsed(channel): // nobody was asked
		s.holds(channel, s.manager.Now().Add(reviewPause))
	}
	return err
}

// reviewPause is when a subscription is decided about after all for which nobody was asked when its time was over.
const reviewPause = 5 * time.Second

// holds notes until when a subscription was decided about.
func (s *Session) holds(channel string, until time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if at := s.find(channel); at >= 0 {
		s.expectDecision(&s.subs[at], until)
	}
}

// lapsed reports whether the time is over for which a subscription was decided about.
func (s *Session) lapsed(channel string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := s.find(channel)
	return at >= 0 && s.subs[at].limited && s.subs[at].until == 0
}
