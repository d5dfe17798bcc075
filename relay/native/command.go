package native

import (
	"strconv"
	"sync"
	"time"

	"weir/internal/wire"
	"weir/relay/auth"
	"weir/relay/hub"
	"weir/relay/problem"
)

// commands are used again: a moderator is shown the command, so that it does not stay on the stack.
var commands = sync.Pool{New: func() any { return new(wire.Command) }}

// command runs one command of a client and appends its answer. Nothing of the command outlives it.
func (s *speaker) command(b []byte) {
	now := time.Now()
	if !s.Take(now, 1, "too many commands") {
		return
	}
	c := commands.Get().(*wire.Command)
	var payload []byte
	err := c.Parse(b)
	if err == nil {
		s.server.hub.Counters.Commands.Of(c.Type).Inc()
		if err = hub.ErrUndecided; !s.Waits(lineOf(c)) {
			payload, err = s.run(c, now, hub.NoWait)
		}
		if hub.MustWait(err) {
			err = s.setAside(c, b, now)
		}
	}
	switch {
	case err != nil:
		s.reply(s.Failure(c.ID, err))
	case payload != nil:
		s.reply(payload)
	}
	*c = wire.Command{} // nor what it is made of
	commands.Put(c)
}

// run carries out a command. It returns the answer, nil if that goes another way; an error becomes one.
func (s *speaker) run(c *wire.Command, now time.Time, how hub.Wait) ([]byte, error) {
	switch c.Type {
	case "ping":
		s.Pinged()
		return Pong(c.ID), nil
	case "subscribe":
		return nil, s.subscribeCommand(c, how)
	case "unsubscribe":
		return nil, s.unsubscribeCommand(c)
	case "publish":
		return s.publishCommand(c, now, how)
	case "message":
		return s.messageCommand(c, now, how)
	case "event":
		return s.eventCommand(c, how)
	case "history":
		return s.historyCommand(c, how)
	case "presence":
		return s.presenceCommand(c, how)
	case "call":
		return s.callCommand(c, how)
	case "refresh":
		return s.refreshCommand(c)
	case "":
		return nil, problem.BadField.With("type is missing")
	}
	return nil, problem.UnknownType
}

// allow reports whether the session may do op with the channel of a command. What was decided about an identity that is
// not the session's any more says nothing.
func (s *speaker) allow(op auth.Ops, channel string, how hub.Wait) (d hub.Decision, err error) {
	if !wire.ValidChannel(channel) {
		return d, problem.BadChannel
	}
	for {
		id, err := s.IdentityNow()
		if err != nil {
			return d, err
		}
		d, err = s.server.hub.Namespaces.Decide(id, op, channel, how)
		if how != hub.WaitForAll || err != nil && s.Identity() == id {
			return d, s.server.denied(err, id, op, channel)
		}
		if now, late := s.IdentityNow(); late != nil || now == id {
			return d, late
		}
	}
}

// denied is the error to tell: that a client may not do something with a channel comes with the reason, as Gate.Denied says.
func (m *Server) denied(err error, id *auth.Identity, op auth.Ops, channel string) error {
	if err != hub.ErrDenied { //nolint:errorlint // one that is wrapped says why itself
		return err
	}
	return m.gate.Denied(func() string {
		e := m.hub.Namespaces.Explain(id, op, channel, hub.NoWait)
		return hub.Client(id) + ": " + op.String() + " on " + channel + ": " + e.String()
	})
}

// historyCommand answers with changes from the log.
func (s *speaker) historyCommand(c *wire.Command, how hub.Wait) ([]byte, error) {
	if _, err := s.allow(auth.History, c.Channel, how); err != nil {
		return nil, err
	}
	limit, err := PageSize(c.Limit)
	if err == nil {
		err = s.server.hub.EnsureLoaded(c.Channel, how)
	}
	if err != nil {
		return nil, err
	}
	history := s.server.hub.Broker.HistoryOfSets
	if s.Appends() {
		history = s.server.hub.Broker.History
	}
	changes, more, _, ok := history(c.Channel, c.Before, limit)
	if !ok {
		if err := s.server.hub.Broker.Load(c.Channel); err != nil {
			return nil, err
		}
		changes = []byte("[]")
	}
	b := append([]byte(`,"channel":"`), c.Channel...)
	b = append(append(b, `","changes":`...), changes...)
	b = strconv.AppendBool(append(b, `,"more":`...), more)
	return answer("history", c.ID, b), nil
}

// The bounds of a page of history.
const (
	defaultPage = 100
	MaxPage     = 1000
)

// PageSize returns how many entries a page has for which limit was asked; 0 stands for the default. Errors: limit is negative or too large.
func PageSize(limit int) (int, error) {
	switch {
	case limit == 0:
		return defaultPage, nil
	case limit < 0 || limit > MaxPage:
		return 0, problem.BadField.With("limit must be 1 to 1000")
	}
	return limit, nil
}

// presenceCommand answers with the users of a channel.
func (s *speaker) presenceCommand(c *wire.Command, how hub.Wait) ([]byte, error) {
	if _, err := s.allow(auth.Presence, c.Channel, how); err != nil {
		return nil, err
	}
	more := append([]byte(`,"channel":"`), c.Channel...)
	more = append(more, '"')
	more, err := s.server.hub.AppendUsers(more, c.Channel, c.Count, how)
	if err != nil {
		return nil, err
	}
	return answer("presence", c.ID, more), nil
}

// refreshCommand extends the session with a new token of the same user.
func (s *speaker) refreshCommand(c *wire.Command) ([]byte, error) {
	id, err := s.Refresh(c.Token)
	if err != nil {
		return nil, err
	}
	s.Renewed(id)
	more := append([]byte(`,"expiresAt":`), strconv.FormatInt(id.Expires.Time().UnixMilli(), 10)...)
	more = s.appendExpiry(more)
	return answer("ok", c.ID, more), nil
}
