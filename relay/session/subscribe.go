package session

import (
	"errors"
	"slices"
	"strings"
	"time"

	"weir/broker"
	"weir/internal/wire"
	"weir/relay/auth"
	"weir/relay/hub"
	"weir/relay/problem"
)

// Recheck ends a subscription that has just begun, if its system has taken the access away meanwhile: it looked for
// subscriptions before this one was there.
func (s *Session) Recheck(channel string) {
	p := s.manager.hub.Namespaces
	followed := strings.TrimPrefix(channel, wire.PresenceNamespace+":")
	if p.Guarded(wire.Namespace(followed)) && errors.Is(p.May(s.identity.Load(), auth.Subscribe, channel, hub.WaitForDisk), hub.ErrDenied) {
		s.protocol.Denied(channel, problem.Forbidden)
	}
}

// SubscribeRequest is what a session asks for when it subscribes. What policy there is has let it.
type SubscribeRequest struct {
	broker.JoinRequest
	Channel     string
	ID          []byte                      // of the command; nil: none
	Decision    hub.Decision                // about the session and the channel
	Revocations uint64                      // Manager.Revocations when it began to be decided whether the session may
	First       func(r broker.Reply) []byte // frames of the answer; nil: the protocol knows
	Now         bool                        // it may wait for nobody: hub.ErrNotLoaded otherwise
	Room        []byte                      // empty, where the answer may be built; when it has been, what is left of that
}

// Subscribe subscribes the session to a channel, or sends the answer again if it is subscribed: the steps are admitSubscription, enterPresence
// and joinChannel. The answer and everything later reach the client in order. It may wait for a subscription to the same channel
// that has just been ended, as long as that has changes to send.
func (s *Session) Subscribe(r *SubscribeRequest) error {
	for range 3 { // it may leave memory, or move to another node, just then
		if err := s.subscribeOnce(r); r.Now || !errors.Is(err, broker.ErrNotLoaded) {
			return err
		}
		s.manager.hub.Broker.Await(r.Channel) // not under a lock
	}
	return problem.Unavailable
}

// subscribeOnce is one attempt to subscribe. broker.ErrNotLoaded: the channel has left memory just then, or has moved.
func (s *Session) subscribeOnce(r *SubscribeRequest) error {
	h, how := s.manager.hub, hub.WaitForDisk
	if r.Now {
		how = hub.NoWait
	}
	release, err := h.Retain(r.Channel, how) // not under a lock
	if err != nil {
		return err
	}
	defer release()
	if !r.Now {
		h.CatchUp(r.Channel, r.From)
	} else if !h.Knows(r.Channel, r.From) {
		return hub.ErrNotLoaded
	}
	err = s.subscribeLoaded(r)
	if r.Now && errors.Is(err, broker.ErrNotLoaded) {
		return hub.ErrNotLoaded
	}
	return err
}

// subscribeLoaded is Subscribe to a channel that is in memory: otherwise the error is broker.ErrNotLoaded.
func (s *Session) subscribeLoaded(r *SubscribeRequest) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.awaitDeparture(r.Channel)
	s.needOwn(r.Channel)
	at := s.find(r.Channel)
	if err := s.admitSubscription(r, at); err != nil {
		return err
	}
	if at >= 0 {
		s.expectDecision(&s.subs[at], r.Decision.Expires)
		sub := s.subs[at]
		r.Again = true
		r.Groups, r.Key = sub.selected.parts()
		return s.joinChannel(r, &sub)
	}
	sub := subscription{selected: selectionOf(r.Groups, r.Key)}
	s.enterPresence(r, &sub)
	if err := s.joinChannel(r, &sub); err != nil {
		if sub.present {
			s.manager.hub.Presence.Leave(r.Channel, s.id, s.user, false)
		}
		return err
	}
	if sub.observed = len(s.manager.observers) > 0; sub.observed {
		s.observe(sub.fanout.Name, true)
	}
	s.subs = append(s.subs, sub)
	s.expectDecision(&s.subs[len(s.subs)-1], r.Decision.Expires)
	s.manager.hub.Counters.Subscriptions.Inc()
	s.manager.hub.Traffic.Joined(sub.fanout.Name)
	return nil
}

// expectDecision notes when a subscription is to be decided about anew; the zero time: with the next token. The caller holds s.mu.
func (s *Session) expectDecision(sub *subscription, at time.Time) {
	if at.IsZero() && !sub.limited {
		return
	}
	if sub.limited = !at.IsZero(); sub.limited {
		sub.until = at.UnixNano()
	} else {
		sub.until = 0
	}
	s.manager.expiries.set(s, s.deadline())
}

// admitSubscription refuses a session that is ending, one whose access has been taken away since it was decided about, and one
// that follows as many channels as it may.
func (s *Session) admitSubscription(r *SubscribeRequest, at int) error {
	if s.ended {
		return problem.Draining
	}
	if f := s.manager.revocations.Since(r.Revocations, s.user, s.id, r.Channel); f != nil {
		return f // one that comes from now on finds the subscription
	}
	most := s.manager.hub.Config.Limit.Subscriptions + 1 // and the user's own
	if s.awaitsOwn() {
		most--
	}
	if at < 0 && len(s.subs) >= most {
		return problem.TooManyChannels
	}
	return nil
}

// enterPresence counts the user in, before the answer: who has that is among the users.
func (s *Session) enterPresence(r *SubscribeRequest, sub *subscription) {
	sub.present = s.manager.hub.Namespaces.Of(r.Channel).Presence && !s.identity.Load().Anonymous
	if sub.present {
		s.manager.hub.Presence.Join(r.Channel, s.id, s.identity.Load())
	}
}

// joinChannel joins the channel, or the session's subscription to it once more, and sends the answer.
func (s *Session) joinChannel(r *SubscribeRequest, sub *subscription) (err error) {
	var failed error
	r.Appends = s.Appends()
	r.Loaded = s.manager.hub.Cluster != nil // of a relay alone, a stored channel that holds nothing need not be in memory, and its disk is waited for
	ch, err := s.manager.hub.Broker.Join(r.Channel, r.JoinRequest, func(out broker.Subscriber, reply broker.Reply) {
		f := hub.FanoutOf(out)
		f.Begin(reply.Position)
		if r.Again {
			// What was accepted before reaches the client before the answer, once.
			f.Window.Seal()
			s.conn.After(sub.topic, f.Ordinal.Load(), s.protocol.Subscribed(r, reply, true))
			f.Window.Expedite()
			return
		}
		if sub.topic, failed = f.TopicOf(sub.selected.parts()); failed != nil {
			return
		}
		sub.fanout = f
		f.Window.Seal()
		s.join(sub, reply, s.protocol.Subscribed(r, reply, false))
	})
	if err == nil && failed != nil {
		ch.Leave()
		err = failed
	}
	if !r.Again {
		sub.channel = ch
	}
	return err
}

// join attaches the connection to the topic of a subscription at the position of r. Called under the
// channel's lock, so that it is atomic with live delivery.
func (s *Session) join(sub *subscription, r broker.Reply, answer []byte) {
	if r.Recovered {
		s.manager.hub.Counters.Resumes.Of("recovered").Inc()
	} else if r.Lost {
		s.manager.hub.Counters.Resumes.Of("snapshot").Inc()
	}
	if s.events {
		s.conn.Join(sub.topic, sub.fanout.Ordinal.Load(), nil, nil)
		s.protocol.Joined(sub.fanout.Name, sub.topic, r.Position, answer)
		return
	}
	s.conn.Join(sub.topic, sub.fanout.Ordinal.Load(), answer, nil)
}

// Unsubscribe ends the subscription to a channel and then sends answer. It returns false if there was none.
func (s *Session) Unsubscribe(channel string, answer []byte) bool {
	s.mu.Lock()
	s.needOwn(channel)
	at := s.find(channel)
	if at < 0 {
		s.mu.Unlock()
		return false
	}
	sub := s.subs[at]
	s.subs = slices.Delete(s.subs, at, at+1)
	if sub.observed {
		s.observe(sub.fanout.Name, false)
	}
	gone := make(chan struct{})
	l := s.leave()
	l.unsubscribing = append(l.unsubscribing, pendingUnsubscribe{sub.fanout.Name, gone})
	s.detach(sub, answer, func() {
		if s.events {
			s.protocol.Left(sub.fanout.Name)
		}
		close(gone)
	})
	s.mu.Unlock()
	if sub.present {
		s.manager.hub.Presence.Leave(sub.fanout.Name, s.id, s.user, false)
	}
	return true
}

// awaitDeparture returns when no subscription to a channel is on its way out: the changes and the answer
// that it still has to send come before those of a new one. The caller holds s.mu, which is let go of
// meanwhile.
func (s *Session) awaitDeparture(channel string) {
	for {
		l := s.leaving
		if l == nil {
			return
		}
		l.unsubscribing = slices.DeleteFunc(l.unsubscribing, pendingUnsubscribe.over)
		i := slices.IndexFunc(l.unsubscribing, func(d pendingUnsubscribe) bool { return d.channel == channel })
		if i < 0 {
			return
		}
		gone := l.unsubscribing[i].done
		s.mu.Unlock()
		<-gone // hurried by leave; it comes even if the connection ends
		s.mu.Lock()
	}
}

// over reports whether a subscription is gone.
func (d pendingUnsubscribe) over() bool {
	select {
	case <-d.done:
		return true
	default:
		return false
	}
}

// reviewAll ends the subscriptions that a new token no longer allows. Those that somebody is to be asked about are looked at
// in their lines.
func (s *Session) reviewAll() {
	s.mu.Lock()
	channels := make([]string, len(s.subs))
	for i, sub := range s.subs {
		channels[i] = sub.fanout.Name
	}
	s.mu.Unlock()
	for _, channel := range channels {
		if err := s.review(channel, hub.NoWait); hub.MustWait(err) {
			_ = s.Hold(channel, Held{Since: time.Now()}) // there is always room for these
		}
	}
}
