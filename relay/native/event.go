package native

import (
	"strings"
	"time"

	"weir/internal/wire"
	"weir/relay/auth"
	"weir/relay/hub"
	"weir/relay/problem"
)

// The topics that the relay knows itself.
const (
	topicMessage   = "message.received"
	topicHeartbeat = "presence.heartbeat"
)

// messageCommand is the command message: something for the backend, which decides what comes of it.
func (s *speaker) messageCommand(c *wire.Command, now time.Time, how hub.Wait) ([]byte, error) {
	if c.Content == nil {
		return nil, problem.BadField.With("content is missing")
	}
	if c.Channel != "" && !wire.ValidChannel(c.Channel) {
		return nil, problem.BadChannel
	}
	if _, err := s.IdentityNow(); err != nil {
		return nil, err
	}
	if how == hub.NoWait && s.Patient() {
		return nil, hub.ErrNotLoaded
	}
	b := wire.AppendString([]byte(`{"userId":`), s.User())
	if c.Channel != "" {
		b = wire.AppendString(append(b, `,"channel":`...), c.Channel)
	}
	b = append(append(b, `,"content":`...), c.Content...)
	b = wire.AppendString(append(b, `,"timestamp":`...), now.UTC().Format("2006-01-02T15:04:05.000Z07:00"))
	key := strings.Clone(c.Channel) // the names of a command do not outlive it
	if key == "" {
		key = wire.UserChannel(s.User())
	}
	if err := s.server.hub.Emit(&hub.Event{Topic: topicMessage, Key: key, Data: append(b, '}'), User: s.User()}); err != nil {
		return nil, err
	}
	return answer("ok", c.ID, nil), nil
}

// eventCommand is the command: a client emits a topic that a system or the configuration leaves to clients, or that its
// token allows as publishing on "event:{topic}".
// The user is the session's, whatever the payload says.
func (s *speaker) eventCommand(c *wire.Command, how hub.Wait) ([]byte, error) {
	if c.Topic == topicHeartbeat && !s.server.hub.Topics.Open(topicHeartbeat) { // a sign of life, and the connection's own heartbeat is one, too
		return answer("ok", c.ID, nil), nil
	}
	id, err := s.IdentityNow()
	if err != nil {
		return nil, err
	}
	if !wire.ValidName(c.Topic) {
		return nil, problem.BadField.With("topic is missing or not a valid name")
	}
	if !s.server.hub.Topics.Open(c.Topic) && !s.server.hub.Config.Events.Open(c.Topic) && !hub.Named(id, auth.Publish, hub.EventNamespace+":"+c.Topic, hub.EventNamespace) {
		return nil, problem.Forbidden.With("neither the token nor the configuration allows this topic")
	}
	if how == hub.NoWait && s.Patient() {
		return nil, hub.ErrNotLoaded
	}
	data := c.Data
	if data == nil {
		data = []byte("null")
	}
	if err := s.server.hub.Emit(&hub.Event{Topic: strings.Clone(c.Topic), Key: wire.UserChannel(s.User()), Data: data, User: s.User(), Connection: s.ID(), Identity: id}); err != nil {
		return nil, err
	}
	return answer("ok", c.ID, nil), nil
}
