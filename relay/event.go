package relay

import (
	"log/slog"
	"strings"
	"time"

	"weir/internal/wire"
	"weir/relay/auth"
	"weir/relay/problem"
)

// eventNamespace holds the events for backends: what is emitted on a topic is sent on the channel
// "event:{topic}", which a backend's worker follows with a token that names it.
const eventNamespace = "event"

// The topics that the relay knows itself.
const (
	topicMessage   = "message.received"
	topicHeartbeat = "presence.heartbeat"
)

// messageEvent is the command message: something for the backend, which decides what comes of it.
func (s *session) messageEvent(c *wire.Command, now time.Time, how haste) ([]byte, error) {
	if c.Content == nil {
		return nil, problem.BadField.With("content is missing")
	}
	if c.Channel != "" && !wire.ValidChannel(c.Channel) {
		return nil, problem.BadChannel
	}
	if _, err := s.identityNow(); err != nil {
		return nil, err
	}
	if how == inTurn && s.relay.patient {
		return nil, errDisk
	}
	b := wire.AppendString([]byte(`{"userId":`), s.user)
	if c.Channel != "" {
		b = wire.AppendString(append(b, `,"channel":`...), c.Channel)
	}
	b = append(append(b, `,"content":`...), c.Content...)
	b = wire.AppendString(append(b, `,"timestamp":`...), now.UTC().Format("2006-01-02T15:04:05.000Z07:00"))
	key := strings.Clone(c.Channel) // the names of a command do not outlive it
	if key == "" {
		key = wire.UserChannel(s.user)
	}
	if err := s.relay.emit(&Event{Topic: topicMessage, Key: key, Data: append(b, '}'), User: s.user}); err != nil {
		return nil, err
	}
	return answer("ok", c.ID, nil), nil
}

// event is the command: a client emits a topic that a system or the configuration leaves to clients, or that its
// token allows as publishing on "event:{topic}".
// The user is the session's, whatever the payload says.
func (s *session) event(c *wire.Command, how haste) ([]byte, error) {
	if c.Topic == topicHeartbeat && !s.relay.topics.open(topicHeartbeat) { // a sign of life, and the connection's own heartbeat is one, too
		return answer("ok", c.ID, nil), nil
	}
	id, err := s.identityNow()
	if err != nil {
		return nil, err
	}
	if !wire.ValidName(c.Topic) {
		return nil, problem.BadField.With("topic is missing or not a name")
	}
	if !s.relay.topics.open(c.Topic) && !s.relay.cfg.Events.Open(c.Topic) && !named(id, auth.Publish, eventNamespace+":"+c.Topic, eventNamespace) {
		return nil, problem.Forbidden.With("neither the token nor the configuration allows this topic")
	}
	if how == inTurn && s.relay.patient {
		return nil, errDisk
	}
	data := c.Data
	if data == nil {
		data = []byte("null")
	}
	if err := s.relay.emit(&Event{Topic: strings.Clone(c.Topic), Key: wire.UserChannel(s.user), Data: data, User: s.user, Connection: s.id, Identity: id}); err != nil {
		return nil, err
	}
	return answer("ok", c.ID, nil), nil
}

// side runs work that may take a while off the caller's goroutine, on a bounded pool. It answers false,
// without running it, if that is full.
func (r *Relay) side(work func()) bool {
	r.workers.Add(1)
	err := r.workerPool.Submit(func() {
		defer r.workers.Done()
		r.contain.Do("side work", work)
	})
	if err != nil {
		r.workers.Done()
		r.metrics.Overflows.Inc()
		r.log.Warn("side work refused", slog.String("error", err.Error()))
	}
	return err == nil
}
