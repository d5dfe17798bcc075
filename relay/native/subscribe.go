package native

import (
	"strconv"

	"weir/broker"
	"weir/internal/wire"
	"weir/relay/auth"
	"weir/relay/config"
	"weir/relay/hub"
	"weir/relay/problem"
	"weir/relay/session"
)

// subscribeCommand is the command.
func (s *speaker) subscribeCommand(c *wire.Command, how hub.Wait) error {
	return s.subscribe(c, how, new(session.SubscribeRequest))
}

// subscribe is the command by a request that is new but for its Room.
func (s *speaker) subscribe(c *wire.Command, how hub.Wait, r *session.SubscribeRequest) (err error) {
	r.Channel, r.ID, r.Revocations, r.Groups = c.Channel, c.ID, s.server.sessions.Revocations(), c.Groups
	if r.Decision, err = s.allow(auth.Subscribe, c.Channel, how); err != nil {
		return err
	}
	if r.Now = how == hub.NoWait; c.HasPosition {
		r.From = &broker.Position{Epoch: c.Epoch, Seq: c.Seq}
	}
	if err = s.Subscribe(r); err != nil {
		return err
	}
	s.Recheck(c.Channel)
	return nil
}

// Subscribed implements session.Protocol. An event stream that cannot be resumed is told as a resync.
func (s *speaker) Subscribed(r *session.SubscribeRequest, reply broker.Reply, again bool) []byte {
	if !again && s.stream != nil && r.From != nil && !reply.Recovered {
		return s.Resync(r.Channel, reply)
	}
	room := r.Room
	if need := subscribedRoom + len(r.Channel) + len(r.Decision.Data) + len(reply.Changes) + len(reply.State); cap(room) < need {
		room = make([]byte, 0, need)
	}
	b := s.appendFrame(room, "subscribed", func(b []byte) []byte { return s.appendSubscribed(b, r.ID, r.Channel, r.Decision.Data, reply) })
	r.Room = b[len(b):]
	return b[:len(b):len(b)]
}

// subscribedRoom is how much an answer to a subscribe has beside what it is about.
const subscribedRoom = 192

// appendSubscribed appends the answer to a subscribe.
func (s *speaker) appendSubscribed(b, id []byte, channel string, data []byte, r broker.Reply) []byte {
	b = append(b, `{"type":"subscribed",`...)
	b = wire.AppendID(b, id)
	b = append(b, `"channel":"`...)
	b = append(b, channel...)
	b = append(b, `","position":`...)
	b = wire.AppendPosition(b, r.Position.Epoch, r.Position.Seq)
	if ns := s.server.hub.Namespaces.Of(channel); ns.Publish != config.Backend && ns.Rate.PerSecond() > 0 { // of this client's publications
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
func (s *speaker) unsubscribeCommand(c *wire.Command) error {
	if !wire.ValidChannel(c.Channel) {
		return problem.BadChannel
	}
	if !s.Unsubscribe(c.Channel, s.frame("ok", answer("ok", c.ID, nil))) {
		return problem.NotSubscribed
	}
	return nil
}

// Denied implements session.Protocol.
func (s *speaker) Denied(channel string, f *problem.Error) bool {
	return s.Unsubscribe(channel, s.frame("unsubscribed", unsubscribedMessage(channel, f)))
}

// unsubscribedMessage tells that a channel may not be followed.
func unsubscribedMessage(channel string, f *problem.Error) []byte {
	b := wire.AppendString([]byte(`{"type":"unsubscribed","channel":`), channel)
	b = append(append(b, `,"code":"`...), f.Code...)
	return append(wire.AppendString(append(b, `","reason":`...), f.Message), '}')
}

// Resync implements session.Protocol.
func (s *speaker) Resync(channel string, r broker.Reply) []byte {
	return s.frame("resync", hub.ResyncMessage(channel, r))
}
