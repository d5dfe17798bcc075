package session

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"weir/broker"
	"weir/internal/wire"
	"weir/relay/auth"
	"weir/relay/config"
	"weir/relay/hub"
	"weir/relay/problem"
)

// subscribeCommand is the command.
func (s *Session) subscribeCommand(c *wire.Command, how hub.Wait) error {
	before := s.manager.revocations.made.Load()
	d, err := s.allow(auth.Subscribe, c.Channel, how)
	if err != nil {
		return err
	}
	if err := s.manager.hub.EnsureLoaded(c.Channel, how); err != nil { // not under a lock
		return err
	}
	req := broker.JoinRequest{Groups: c.Groups}
	if c.HasPosition {
		req.From = &broker.Position{Epoch: c.Epoch, Seq: c.Seq}
		if how == hub.NoWait && !s.manager.hub.Knows(c.Channel, req.From) {
			return hub.ErrNotLoaded
		}
	}
	if err := s.subscribe(&subscribeRequest{channel: c.Channel, JoinRequest: req, id: c.ID, decision: d, revocations: before}); err != nil {
		return err
	}
	s.recheck(c.Channel)
	return nil
}

// recheck ends a subscription that has just begun, if its system has taken the access away meanwhile: it looked for
// subscriptions before this one was there.
func (s *Session) recheck(channel string) {
	p := s.manager.hub.Namespaces
	followed := strings.TrimPrefix(channel, wire.PresenceNamespace+":")
	if p.Guarded(wire.Namespace(followed)) && errors.Is(p.May(s.identity.Load(), auth.Subscribe, channel, hub.WaitForDisk), hub.ErrDenied) {
		s.revoke(channel, problem.Forbidden)
	}
}

// subscribeRequest is what a session asks for when it subscribes. What policy there is has let it.
type subscribeRequest struct {
	broker.JoinRequest
	channel     string
	id          []byte                      // of the command; nil: none
	decision    hub.Decision                // about the session and the channel
	revocations uint64                      // how many there were when it began to be decided whether the session may
	first       func(r broker.Reply) []byte // frames of the answer; nil: those of the native protocol
}

// subscribe subscribes the session to a channel, or answers again if it is subscribed: the steps are admitSubscription, enterPresence
// and joinChannel. The answer and everything later reach the client in order. It may wait for a subscription to the same channel
// that has just been ended, as long as that has changes to send; it is not to be called on a loop.
func (s *Session) subscribe(r *subscribeRequest) error {
	h := s.manager.hub
	for range 3 { // it may leave memory, or move to another node, just then
		if err := h.EnsureLoaded(r.channel, hub.WaitForDisk); err != nil { // not under a lock
			return err
		}
		h.CatchUp(r.channel, r.From)
		if err := s.subscribeLoaded(r); !errors.Is(err, broker.ErrNotLoaded) {
			return err
		}
	}
	return problem.Unavailable
}

// subscribeLoaded is subscribe to a channel that is in memory: otherwise the error is broker.ErrNotLoaded.
func (s *Session) subscribeLoaded(r *subscribeRequest) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.awaitDeparture(r.channel)
	at := s.find(r.channel)
	if err := s.admitSubscription(r, at); err != nil {
		return err
	}
	if at >= 0 {
		s.expectDecision(&s.subs[at], r.decision.Expires)
		sub := s.subs[at]
		r.Again, r.Groups, r.Key = true, sub.groups, sub.key
		return s.joinChannel(r, &sub)
	}
	sub := subscription{groups: cloneStrings(r.Groups), key: strings.Clone(r.Key)}
	s.enterPresence(r, &sub)
	if err := s.joinChannel(r, &sub); err != nil {
		if sub.present {
			s.manager.hub.Presence.Leave(r.channel, s.id, s.user, false)
		}
		return err
	}
	if sub.observed = len(s.manager.observers) > 0; sub.observed {
		s.observe(sub.feed.Name, true)
	}
	s.subs = append(s.subs, sub)
	s.expectDecision(&s.subs[len(s.subs)-1], r.decision.Expires)
	s.manager.hub.Counters.Subscriptions.Inc()
	return nil
}

// expectDecision notes when a subscription is to be decided about anew; the zero time: with the next token. The caller holds s.mu.
func (s *Session) expectDecision(sub *subscription, at time.Time) {
	if at.IsZero() && !sub.limited {
		return
	}
	sub.until, sub.limited = at, !at.IsZero()
	s.manager.expiries.set(s, s.deadline())
}

// admitSubscription refuses a session that is ending, one whose access has been taken away since it was decided about, and one
// that follows as many channels as it may.
func (s *Session) admitSubscription(r *subscribeRequest, at int) error {
	if s.ended {
		return problem.Draining
	}
	if f := s.manager.revocations.since(r.revocations, s, r.channel); f != nil {
		return f // one that comes from now on finds the subscription
	}
	if at < 0 && len(s.subs) >= s.manager.hub.Config.Limit.Subscriptions+1 { // and the user's own
		return problem.TooManyChannels
	}
	return nil
}

// enterPresence counts the user in, before the answer: who has that is among the users.
func (s *Session) enterPresence(r *subscribeRequest, sub *subscription) {
	sub.present = s.manager.hub.Namespaces.Of(r.channel).Presence && !s.identity.Load().Anonymous
	if sub.present {
		s.manager.hub.Presence.Join(r.channel, s.id, s.identity.Load())
	}
}

// joinChannel joins the channel, or the session's subscription to it once more, and sends the answer.
func (s *Session) joinChannel(r *subscribeRequest, sub *subscription) (err error) {
	var failed error
	r.Loaded = true
	ch, err := s.manager.hub.Broker.Join(r.channel, r.JoinRequest, func(out broker.Subscriber, reply broker.Reply) {
		f := out.(*hub.Fanout)
		f.Begin(reply.Position)
		if r.Again {
			// What was accepted before reaches the client before the answer, once.
			f.Window.Seal()
			s.conn.After(sub.topic, f.Ordinal.Load(), s.subscribedFrames(r, reply, true))
			f.Window.Expedite()
			return
		}
		if sub.topic, failed = f.TopicOf(sub.groups, sub.key); failed != nil {
			return
		}
		sub.feed = f
		f.Window.Seal()
		s.join(sub, reply, s.subscribedFrames(r, reply, false))
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

// subscribedFrames is the answer to a subscription, ready for the socket.
func (s *Session) subscribedFrames(r *subscribeRequest, reply broker.Reply, again bool) []byte {
	switch {
	case r.first != nil:
		return r.first(reply)
	case again:
		return s.manager.frameFor(s, "subscribed", s.subscribedMessage(r.id, r.channel, r.decision.Data, reply))
	}
	return s.welcome(r.id, r.channel, r.decision.Data, r.From, reply)
}

// join attaches the connection to the topic of a subscription at the position of r. Called under the
// channel's lock, so that it is atomic with live delivery.
func (s *Session) join(sub *subscription, r broker.Reply, answer []byte) {
	if r.Recovered {
		s.manager.hub.Counters.Resumes.Of("recovered").Inc()
	} else if r.Lost {
		s.manager.hub.Counters.Resumes.Of("snapshot").Inc()
	}
	if s.sse != nil {
		s.conn.Join(sub.topic, sub.feed.Ordinal.Load(), nil, nil)
		s.answer(sub.feed.Name, sub.topic, r.Position, answer)
		return
	}
	s.conn.Join(sub.topic, sub.feed.Ordinal.Load(), answer, nil)
}

// welcome is the answer to a subscribe, ready for the socket. An event stream that cannot be resumed is
// told as a resync.
func (s *Session) welcome(id []byte, channel string, data []byte, from *broker.Position, r broker.Reply) []byte {
	if s.sse != nil && from != nil && !r.Recovered {
		return s.manager.frameFor(s, "resync", hub.ResyncMessage(channel, r))
	}
	return s.manager.frameFor(s, "subscribed", s.subscribedMessage(id, channel, data, r))
}

// subscribedMessage answers a subscribe.
func (s *Session) subscribedMessage(id []byte, channel string, data []byte, r broker.Reply) []byte {
	b := make([]byte, 0, 128+len(channel)+len(r.Changes)+len(r.State))
	b = append(b, `{"type":"subscribed",`...)
	b = wire.AppendID(b, id)
	b = append(b, `"channel":"`...)
	b = append(b, channel...)
	b = append(b, `","position":`...)
	b = wire.AppendPosition(b, r.Position.Epoch, r.Position.Seq)
	if ns := s.manager.hub.Namespaces.Of(channel); ns.Publish != config.Backend && ns.Rate.PerSecond() > 0 { // of this client's publications
		b = appendRate(append(b, `,"rate":`...), ns.Rate)
	}
	if data != nil {
		b = append(append(b, `,"data":`...), data...)
	}
	b = strconv.AppendBool(append(b, `,"recovered":`...), r.Recovered)
	if r.Recovered {
		b = append(append(b, `,"changes":`...), r.Changes...)
	} else {
		b = append(append(b, `,"state":`...), r.State...)
		if r.Lost {
			b = append(b, `,"lost":true`...)
		}
	}
	return append(b, '}')
}

// unsubscribeCommand is the command. Its ok comes after everything accepted before.
func (s *Session) unsubscribeCommand(c *wire.Command) error {
	if !wire.ValidChannel(c.Channel) {
		return problem.BadChannel
	}
	if !s.unsubscribe(c.Channel, s.manager.frameFor(s, "ok", Answer("ok", c.ID, nil)), false) {
		return problem.NotSubscribed
	}
	return nil
}

// unsubscribe ends the subscription to a channel and then sends answer. It returns false if there was none.
func (s *Session) unsubscribe(channel string, answer []byte, abrupt bool) bool {
	s.mu.Lock()
	at := s.find(channel)
	if at < 0 {
		s.mu.Unlock()
		return false
	}
	sub := s.subs[at]
	s.subs = slices.Delete(s.subs, at, at+1)
	if sub.observed {
		s.observe(sub.feed.Name, false)
	}
	gone := make(chan struct{})
	l := s.leave()
	l.unsubscribing = append(l.unsubscribing, pendingUnsubscribe{sub.feed.Name, gone})
	s.detach(sub, answer, func() {
		if s.sse != nil {
			s.sse.forget(sub.feed.Name)
		}
		close(gone)
	})
	s.mu.Unlock()
	if sub.present {
		s.manager.hub.Presence.Leave(sub.feed.Name, s.id, s.user, abrupt)
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

// over says that a subscription has gone.
func (d pendingUnsubscribe) over() bool {
	select {
	case <-d.done:
		return true
	default:
		return false
	}
}

// revoke takes a subscription away and tells the client why.
func (s *Session) revoke(channel string, f *problem.Error) bool {
	if s.protocol != nil {
		return s.protocol.Denied(channel, f.Message)
	}
	return s.unsubscribe(channel, s.manager.frameFor(s, "unsubscribed", unsubscribedMessage(channel, f)), false)
}

// unsubscribedMessage tells that a channel may not be followed.
func unsubscribedMessage(channel string, f *problem.Error) []byte {
	b := wire.AppendString([]byte(`{"type":"unsubscribed","channel":`), channel)
	b = append(append(b, `,"code":"`...), f.Code...)
	return append(wire.AppendString(append(b, `","reason":`...), f.Message), '}')
}

// reviewAll ends the subscriptions that a new token no longer allows. Those that somebody is to be asked about are looked at
// in their lines.
func (s *Session) reviewAll() {
	s.mu.Lock()
	channels := make([]string, len(s.subs))
	for i, sub := range s.subs {
		channels[i] = sub.feed.Name
	}
	s.mu.Unlock()
	for _, channel := range channels {
		if err := s.review(channel, hub.NoWait); err == hub.ErrUndecided || err == hub.ErrNotLoaded { //nolint:errorlint // they are not wrapped
			_ = s.hold(channel, held{since: time.Now()}) // there is always room for these
		}
	}
}

func cloneStrings(in []string) []string {
	var out []string
	for _, s := range in {
		out = append(out, strings.Clone(s))
	}
	return out
}
