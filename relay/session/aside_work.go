package session

import (
	"errors"
	"time"

	"weir/broker"
	"weir/internal/wire"
	"weir/relay/auth"
	"weir/relay/hub"
	"weir/relay/problem"
)

// work carries out lines until there are none to be taken.
func (s *Session) work(a *aside, l *line) {
	defer s.manager.readers.Done()
	var list []awaited
	for l != nil {
		h, ok := s.first(a, l)
		switch {
		case ok:
			list = s.carryOut(a, l.key, &h, list)
			s.done(a, &h)
		case len(list) > 0:
			list = s.handOver(list) // and then more may have come
		default:
			l = s.nextLine(a, l)
		}
	}
}

// handOver is hand on its own. A panic costs the connection.
func (s *Session) handOver(list []awaited) []awaited {
	defer s.manager.catch(s, func() { s.close(closing{code: wire.CloseInternal, reason: "internal error"}) })
	return s.hand(list)
}

// carryOut carries out one command and answers it, or adds it to the publications that are answered when they are safe.
func (s *Session) carryOut(a *aside, key string, h *held, list []awaited) []awaited {
	defer s.manager.catch(s, func() { s.close(closing{code: wire.CloseInternal, reason: "internal error"}) })
	how, ended, over := s.hasteOf(a, h)
	switch {
	case over:
		return list
	case s.protocol != nil:
		s.protocol.Held(h.message, h.binary)
		return list
	case h.message == nil:
		_ = s.review(key, how) // told to the client, if anybody is
		return list
	}
	var c wire.Command
	_ = c.Parse(h.message) // as in the turn, where it was good
	switch c.Type {
	case "publish":
		receipt, err := s.submit(&c, h.since, how)
		list = append(list, awaited{c.ID, receipt, s.noted(a, err)})
		if receipt.Wait != nil && len(list) < mostAwaited {
			return list
		}
		return s.hand(list)
	case "message", "event":
	default:
		if ended {
			return list // nobody is there for the answer
		}
	}
	list = s.hand(list)
	payload, err := s.run(&c, h.since, how)
	if err = s.noted(a, err); h.named && err != nil {
		s.without(denial{c.Channel, s.told(err)})
		return list
	}
	s.tell(&c, payload, err)
	return list
}

// hasteOf says how long a command may wait: nobody is asked about one for which the session has waited as long as
// an answer may take, while another one did not come. Over says that the session has ended too long ago.
func (s *Session) hasteOf(a *aside, h *held) (how hub.Wait, ended, over bool) {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	how = hub.WaitForAll
	if a.failed.After(h.since) && now.Sub(h.since) >= s.manager.hub.Config.Auth.Webhook.Timeout {
		how = hub.WaitForDisk
	}
	return how, s.ended, s.ended && now.UnixNano() > s.until
}

// noted is an error as it is told. It notes that a decision has not come.
func (s *Session) noted(a *aside, err error) error {
	if errors.Is(err, hub.ErrUndecided) {
		return hub.ErrUnavailable
	}
	if errors.Is(err, hub.ErrUnavailable) {
		s.mu.Lock()
		defer s.mu.Unlock()
		a.failed = time.Now()
	}
	return err
}

// tell sends the answer to a command that was waited for, if it has one.
func (s *Session) tell(c *wire.Command, payload []byte, err error) {
	if err != nil {
		payload = s.Failure(c.ID, err)
	}
	if payload != nil {
		s.deliver(append(wire.AppendHeader(make([]byte, 0, len(payload)+10), wire.OpText, false, len(payload)), payload...))
	}
}

// awaited is the answer to a publication that waits for the disk. Those of publications that have come together are
// waited for together.
type awaited struct {
	id      []byte
	receipt broker.Receipt
	err     error
}

const mostAwaited = 64

// hand waits for publications and answers them, in order.
func (s *Session) hand(list []awaited) []awaited {
	for i := range list {
		p := &list[i]
		if p.err == nil && p.receipt.Wait != nil {
			p.receipt.Position, p.err = p.receipt.Wait()
		}
		s.tell(&wire.Command{ID: p.id}, published(p.id, p.receipt.Position), p.err)
	}
	clear(list)
	return list[:0]
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
		s.revoke(channel, problem.Forbidden.With(why))
	case err == nil && !d.Expires.IsZero():
		s.holds(channel, d.Expires)
	case how == hub.NoWait:
	case errors.Is(err, hub.ErrUnavailable) && s.lapsed(channel):
		s.revoke(channel, problem.Unavailable)
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
	return at >= 0 && s.subs[at].limited && s.subs[at].until.IsZero()
}
