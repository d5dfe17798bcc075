package pusher

import (
	"bytes"
	"errors"
	"strings"
	"time"
	"unicode/utf8"

	"weir/broker"
	"weir/internal/wire"
	"weir/relay"
	"weir/relay/systems/pusher/protocol"
)

// maxUserID bounds the id of a user, in characters.
const maxUserID = 128

// subscribeMessage is pusher:subscribe. It returns false if it is none.
func (s *socket) subscribeMessage(data []byte) bool {
	var channel, auth, member []byte
	_, err := protocol.Read(data, protocol.Field{Name: "channel", Value: &channel}, protocol.Field{Name: "auth", Value: &auth}, protocol.Field{Name: "channel_data", Value: &member})
	name, signature, channelData := protocol.TextOf(channel), protocol.TextOf(auth), protocol.TextOf(member)
	if err != nil || name == "" {
		return false
	}
	if len(name) > protocol.MaxChannel {
		s.refusedLimit(name[:protocol.MaxChannel], "The name of the channel is longer than 200 characters", 4009)
		return true
	}
	k := protocol.KindOf(name)
	switch {
	case !protocol.ValidChannel(name):
		s.unauthorized(name, "Invalid channel name: expected letters, digits and _ - = @ , . ;")
	case k.User && !s.isUser(strings.TrimPrefix(name, protocol.UserPrefix)):
		s.unauthorized(name, "Only the signed-in user may subscribe")
	case (k.Private || k.Presence) && !s.signed(signature, name, channelData):
		s.app.refuse(refusedSignature)
		s.unauthorized(name, "Invalid signature: expected HMAC SHA256 of the socket's id, the channel and the channel data, with the secret of the key")
	default:
		if k.Private || k.Presence {
			s.known()
		}
		s.subscribe(name, k, channelData)
	}
	return true
}

// unauthorized tells that the client may not subscribe to a channel.
func (s *socket) unauthorized(channel, text string) {
	s.client.Send(protocol.ErrorMessage(4009, text, channel))
	s.client.Send(protocol.SubscriptionError(channel, "AuthError", text, 401))
}

// signed reports whether a subscription is signed as it should be.
func (s *socket) signed(auth, channel, data string) bool {
	who, signature := s.signatureOf(auth)
	if who == nil {
		return false
	}
	if data == "" {
		return who.Verify(signature, s.id, ":", channel)
	}
	return who.Verify(signature, s.id, ":", channel, ":", data)
}

// memberOf is the member that a subscription to a presence channel is for; a text says what is wrong.
func (s *socket) memberOf(channelData string) (m protocol.Member, wrong string) {
	data := []byte(channelData)
	if channelData == "" {
		s.mu.Lock()
		signedIn := s.data
		s.mu.Unlock()
		if signedIn == nil {
			return m, "channel_data is missing, and nobody is signed in"
		}
		return protocol.Member{ID: signedIn.ID, Info: signedIn.Info}, ""
	}
	m, ok := protocol.ParseMember(data)
	if !ok {
		return m, "channel_data must be {\"user_id\": a string or a number, \"user_info\"?: any JSON}"
	}
	// One line, as what is published: white space of the text that was signed may hold line breaks.
	m.ID, m.Info = bytes.Clone(wire.OneLine(m.ID)), bytes.Clone(wire.OneLine(m.Info))
	return m, ""
}

// subscribe subscribes the client to a channel that it may have, or answers again.
func (s *socket) subscribe(name string, k protocol.Kind, channelData string) {
	a := s.app
	n := a.settings.Load()
	s.mu.Lock()
	sub, again := s.subs[name]
	s.mu.Unlock()
	if !again {
		var item *protocol.Member
		if k.Presence {
			m, wrong := s.memberOf(channelData)
			id, _, _ := protocol.IDText(m.ID)
			switch {
			case wrong != "":
				s.unauthorized(name, wrong)
				return
			case utf8.RuneCountInString(id) > maxUserID:
				a.refuse(refusedSize)
				s.refusedLimit(name, "The id of the user is longer than 128 characters", 4301)
				return
			case len(m.Info) > int(n.Limit.Member):
				a.refuse(refusedSize)
				s.refusedLimit(name, "user_info is larger than "+n.Limit.Member.String(), 4301)
				return
			}
			item = &m
		}
		ch, member, err := a.enter(name, item)
		switch {
		case errors.Is(err, errMembers):
			a.refuse(refusedMembers)
			s.refusedLimit(name, "The channel has reached its limit of members", 4100)
			return
		case err != nil:
			s.refusedLimit(name, failed(err), 4100)
			return
		}
		sub = &subscription{channel: ch, member: member}
		if item != nil {
			sub.userID = item.ID
		}
	}
	missed := false
	err := s.client.Follow(relay.Follow{Channel: sub.channel.weir, First: func(r broker.Reply) [][]byte {
		state := protocol.ParseState(r.State)
		first := [][]byte{protocol.Succeeded(name, state)}
		if k.Cache {
			if state.Cached != nil {
				first = append(first, protocol.AppendEvent(nil, name, state.Cached))
			} else {
				missed = true
				first = append(first, append(wire.AppendString([]byte(`{"event":"pusher:cache_miss","channel":`), name), '}'))
			}
		}
		return first
	}})
	if err != nil {
		if !again {
			sub.channel.leave(sub.member, false)
		}
		s.refusedLimit(name, failed(err), 4100)
		return
	}
	if missed {
		a.missed(sub.channel)
	}
	if again {
		return
	}
	s.mu.Lock()
	open := s.subs != nil
	if open {
		s.subs[name] = sub
	}
	s.mu.Unlock()
	if !open { // it has ended meanwhile
		sub.channel.leave(sub.member, true)
		return
	}
	sub.channel.tellCount()
}

// unsubscribe ends a subscription. It returns false if there is none.
func (s *socket) unsubscribe(name string) bool {
	s.mu.Lock()
	sub := s.subs[name]
	delete(s.subs, name)
	s.mu.Unlock()
	if sub == nil {
		return false
	}
	s.client.Unfollow(sub.channel.weir)
	sub.channel.leave(sub.member, false)
	return true
}

// clientEvent relays an event to everybody else in a channel.
func (s *socket) clientEvent(r *request) {
	a := s.app
	n := a.settings.Load()
	wrong, why := "", refusedForm
	k := protocol.KindOf(r.channel)
	s.mu.Lock()
	sub := s.subs[r.channel]
	s.mu.Unlock()
	switch {
	case !*n.Feature.ClientEvents:
		wrong = "Client events are not enabled for this app"
	case !k.Private && !k.Presence || k.Encrypted:
		wrong = "Client events are for private and presence channels, which are not encrypted"
	case sub == nil:
		wrong = "Client events need a subscription to their channel"
	case len(r.event) > protocol.MaxChannel:
		wrong, why = "The name of the event is longer than 200 characters", refusedSize
	case len(r.data) > int(n.Limit.Payload):
		wrong, why = "The data of the event is larger than "+n.Limit.Payload.String(), refusedSize
	case !s.events.Take(n.Limit.ClientEvents, max(float64(n.Limit.ClientEvents.Count), 1), time.Now()):
		wrong, why = "The connection has reached its limit of client events a second", refusedRate
	case a.full():
		wrong, why = "The app has reached its limit of events that wait to be sent", refusedBacklog
	}
	if wrong == "" {
		data := r.data
		if data == nil {
			data = []byte("null")
		}
		b := wire.AppendString(append(make([]byte, 0, len(data)+len(r.event)+64), `{"event":`...), r.event)
		b = append(append(b, `,"data":`...), wire.OneLine(data)...)
		if sub.userID != nil {
			b = append(append(b, `,"user_id":`...), sub.userID...)
		}
		_, err := a.system.host.Submit(sub.channel.weir, &broker.Publication{Op: broker.Send, Data: append(b, '}'), Exclude: s.id})
		if err == nil {
			a.counters.clientEvents.Inc()
			s.tellClientEvent(sub, r.event, data)
			return
		}
		wrong = failed(err)
	}
	a.refuse(why)
	s.client.Send(protocol.ErrorMessage(4301, wrong, r.channel))
}

// tellClientEvent tells webhooks of an event of the client's.
func (s *socket) tellClientEvent(sub *subscription, event string, data []byte) {
	if !s.app.settings.Load().told["client_event"] {
		return
	}
	b := wire.AppendString([]byte(`,"event":`), event)
	b = append(b, `,"data":`...)
	if data[0] == '"' {
		b = append(b, data...)
	} else {
		b = protocol.AppendQuoted(b, data)
	}
	b = wire.AppendString(append(b, `,"socket_id":`...), s.id)
	if sub.userID != nil {
		id, _, _ := protocol.IDText(sub.userID)
		b = wire.AppendString(append(b, `,"user_id":`...), id)
	}
	s.app.tell("client_event", sub.channel.name, b)
}
