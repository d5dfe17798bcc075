package session

import (
	"strconv"
	"time"

	"weir/broker"
	"weir/internal/ratelimit"
	"weir/internal/wire"
	"weir/relay/auth"
	"weir/relay/hub"
	"weir/relay/problem"
)

// command runs one command of a client and appends its answer.
func (s *Session) command(b []byte) {
	if s.ending.Load() {
		return
	}
	now := time.Now()
	limit := s.manager.hub.Config.Limit.Commands
	if !s.commands.Take(limit, 2*float64(limit.Count), now) {
		s.close(closing{code: wire.CloseRateLimit, reason: "too many commands"})
		return
	}
	var c wire.Command
	var payload []byte
	err := c.Parse(b)
	if err == nil {
		s.manager.hub.Counters.Commands.Of(c.Type).Inc()
		if err = hub.ErrUndecided; !s.waits(lineOf(&c)) {
			payload, err = s.run(&c, now, hub.NoWait)
		}
		if err == hub.ErrUndecided || err == hub.ErrNotLoaded { //nolint:errorlint // they are not wrapped
			err = s.setAside(&c, b, now)
		}
	}
	switch {
	case err != nil:
		s.reply(s.Failure(c.ID, err))
	case payload != nil:
		s.reply(payload)
	}
}

// run carries out a command. It returns the answer, nil if that goes another way; an error becomes one.
func (s *Session) run(c *wire.Command, now time.Time, how hub.Wait) ([]byte, error) {
	switch c.Type {
	case "ping":
		s.Pinged()
		return Answer("pong", c.ID, nil), nil
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

// Answer is a reply without more than further members, each ending in nothing and beginning with a comma.
func Answer(kind string, id, more []byte) []byte {
	b := append(make([]byte, 0, 32+len(id)+len(more)), `{"type":"`...)
	b = append(b, kind...)
	b = append(b, '"')
	if len(id) > 0 {
		b = append(append(b, `,"id":`...), id...)
	}
	b = append(b, more...)
	return append(b, '}')
}

// identityNow is the session's identity if its token is still good.
func (s *Session) identityNow() (*auth.Identity, error) {
	id := s.identity.Load()
	if !id.Expires.IsZero() && !s.manager.Now().Before(id.Expires) {
		return nil, problem.TokenExpired
	}
	return id, nil
}

// allow reports whether the session may do op with the channel of a command. What was decided about an identity that is
// not the session's any more says nothing.
func (s *Session) allow(op auth.Ops, channel string, how hub.Wait) (d hub.Decision, err error) {
	if !wire.ValidChannel(channel) {
		return d, problem.BadChannel
	}
	for {
		id, err := s.identityNow()
		if err != nil {
			return d, err
		}
		d, err = s.manager.hub.Namespaces.Decide(id, op, channel, how)
		if how != hub.WaitForAll || err != nil && s.identity.Load() == id {
			return d, s.manager.denied(err, id, op, channel)
		}
		if now, late := s.identityNow(); late != nil || now == id {
			return d, late
		}
	}
}

// denied is the error to tell: that a client may not do something with a channel comes with the reason, as Gate.Denied says.
func (m *Manager) denied(err error, id *auth.Identity, op auth.Ops, channel string) error {
	if err != hub.ErrDenied { //nolint:errorlint // one that is wrapped says why itself
		return err
	}
	return m.gate.Denied(func() string {
		e := m.hub.Namespaces.Explain(id, op, channel, hub.NoWait)
		return hub.Client(id) + ": " + op.String() + " on " + channel + ": " + e.String()
	})
}

// moderate has a publication decided about by what it says. It may change it.
func (s *Session) moderate(m hub.Moderator, c *wire.Command, how hub.Wait) (drop bool, err error) {
	if how != hub.WaitForAll {
		return false, hub.ErrUndecided
	}
	id, err := s.identityNow()
	if err != nil {
		return false, err
	}
	connection := s.id
	if s.conn == nil { // of a request
		connection = ""
	}
	return m.Moderate(id, connection, c)
}

// publishCommand is the command: a client's own publication, where policy lets it.
func (s *Session) publishCommand(c *wire.Command, now time.Time, how hub.Wait) ([]byte, error) {
	receipt, err := s.submit(c, now, how)
	if err == nil && receipt.Wait != nil {
		receipt.Position, err = receipt.Wait()
	}
	if err != nil {
		return nil, err
	}
	return published(c.ID, receipt.Position), nil
}

// published is the answer to a publication.
func published(id []byte, at broker.Position) []byte {
	if at.Epoch == "" { // it was swallowed
		return Answer("ok", id, nil)
	}
	return Answer("ok", id, wire.AppendPosition([]byte(`,"position":`), at.Epoch, at.Seq))
}

// submit is publish without waiting for the disk.
func (s *Session) submit(c *wire.Command, now time.Time, how hub.Wait) (broker.Receipt, error) {
	d, err := s.allow(auth.Publish, c.Channel, how)
	if err != nil {
		return broker.Receipt{}, err
	}
	ns := s.manager.hub.Namespaces.Of(c.Channel)
	if how == hub.NoWait && s.manager.hub.Elsewhere(c.Channel) {
		return broker.Receipt{}, hub.ErrNotLoaded // the answer is to be waited for
	}
	if how == hub.NoWait && ns.Log.Durable && s.manager.hub.Disk != nil && (c.Ack != "memory" || s.manager.hub.EnsureLoaded(c.Channel, how) != nil) {
		return broker.Receipt{}, hub.ErrNotLoaded
	}
	if (how == hub.NoWait || s.conn == nil) && !s.takePublish(ns, now) { // others have been counted when they came
		return broker.Receipt{}, problem.RateLimited
	}
	if d.Moderator != nil {
		if drop, err := s.moderate(d.Moderator, c, how); drop || err != nil {
			return broker.Receipt{}, err
		}
	}
	c.Exclude = ""
	owner := ""
	if c.IdempotencyKey != "" {
		owner = s.user + "\x00"
	}
	publisher := s.manager.hub.Broker.Publisher()
	return s.manager.hub.Submit(&publisher, ns, c, owner)
}

// takePublish reports whether the session may publish to a namespace now, for all it has published.
func (s *Session) takePublish(ns *hub.Namespace, now time.Time) bool {
	if s.conn == nil { // of a request, which knows nothing of those before
		return ns.Posts.Take(s.user, now)
	}
	return s.bucketOf(ns).Take(ns.Rate, 2*float64(ns.Rate.Count), now)
}

// bucketOf limits the session's publishes to a namespace.
func (s *Session) bucketOf(ns *hub.Namespace) *ratelimit.Bucket {
	for i := range s.rates {
		if s.rates[i].ns == ns {
			return &s.rates[i].Bucket
		}
	}
	s.rates = append(s.rates, nsBucket{ns: ns})
	return &s.rates[len(s.rates)-1].Bucket
}

// historyCommand answers with changes from the log.
func (s *Session) historyCommand(c *wire.Command, how hub.Wait) ([]byte, error) {
	if _, err := s.allow(auth.History, c.Channel, how); err != nil {
		return nil, err
	}
	limit, err := PageSize(c.Limit)
	if err == nil {
		err = s.manager.hub.EnsureLoaded(c.Channel, how)
	}
	if err != nil {
		return nil, err
	}
	changes, more, _, ok := s.manager.hub.Broker.History(c.Channel, c.Before, limit)
	if !ok {
		if err := s.manager.hub.Broker.Load(c.Channel); err != nil {
			return nil, err
		}
		changes = []byte("[]")
	}
	b := append([]byte(`,"channel":"`), c.Channel...)
	b = append(append(b, `","changes":`...), changes...)
	b = strconv.AppendBool(append(b, `,"more":`...), more)
	return Answer("history", c.ID, b), nil
}

// The bounds of a page of history.
const (
	defaultPage = 100
	MaxPage     = 1000
)

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
func (s *Session) presenceCommand(c *wire.Command, how hub.Wait) ([]byte, error) {
	if _, err := s.allow(auth.Presence, c.Channel, how); err != nil {
		return nil, err
	}
	more := append([]byte(`,"channel":"`), c.Channel...)
	more = append(more, '"')
	more, err := s.manager.hub.Presence.AskUsers(more, c.Channel, c.Count, how)
	if err != nil {
		return nil, err
	}
	return Answer("presence", c.ID, more), nil
}

// refreshCommand extends the session with a new token of the same user.
func (s *Session) refreshCommand(c *wire.Command) ([]byte, error) {
	id, err := s.refresh(c.Token)
	if err != nil {
		return nil, err
	}
	s.renewed(id)
	more := append([]byte(`,"expiresAt":`), strconv.FormatInt(id.Expires.UnixMilli(), 10)...)
	more = s.appendExpiry(more)
	return Answer("ok", c.ID, more), nil
}

// renamed has the session's channels, and where else it has said it is, show what a new token says of its user.
func (s *Session) renamed(id *auth.Identity) {
	s.mu.Lock()
	channels := make([]string, 0, len(s.subs))
	for i := range s.subs {
		if s.subs[i].present {
			channels = append(channels, s.subs[i].feed.Name)
		}
	}
	s.mu.Unlock()
	for _, channel := range channels {
		s.manager.hub.Presence.Refresh(channel, id)
	}
	for _, f := range s.manager.refreshers {
		f(s.id, id)
	}
}
