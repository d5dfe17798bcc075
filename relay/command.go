package relay

import (
	"strconv"
	"time"

	"weir/broker"
	"weir/internal/ratelimit"
	"weir/internal/wire"
	"weir/relay/auth"
	"weir/relay/problem"
)

// command runs one command of a client and appends its answer.
func (s *session) command(b []byte) {
	if s.ending.Load() {
		return
	}
	now := time.Now()
	limit := s.relay.cfg.Limit.Commands
	if !s.commands.Take(limit, 2*float64(limit.Count), now) {
		s.end(closing{code: wire.CloseRateLimit, reason: "too many commands"})
		return
	}
	var c wire.Command
	var payload []byte
	err := c.Parse(b)
	if err == nil {
		s.relay.metrics.Commands.Of(c.Type).Inc()
		if err = errAsk; !s.waits(lineOf(&c)) {
			payload, err = s.run(&c, now, inTurn)
		}
		if err == errAsk || err == errDisk { //nolint:errorlint // they are not wrapped
			err = s.setAside(&c, b, now)
		}
	}
	switch {
	case err != nil:
		s.reply(s.failure(c.ID, err))
	case payload != nil:
		s.reply(payload)
	}
}

// run carries out a command. It returns the answer, nil if that goes another way; an error becomes one.
func (s *session) run(c *wire.Command, now time.Time, how haste) ([]byte, error) {
	switch c.Type {
	case "ping":
		s.pinged()
		return answer("pong", c.ID, nil), nil
	case "subscribe":
		return nil, s.subscribe(c, how)
	case "unsubscribe":
		return nil, s.unsubscribe(c)
	case "publish":
		return s.publish(c, now, how)
	case "message":
		return s.messageEvent(c, now, how)
	case "event":
		return s.event(c, how)
	case "history":
		return s.history(c, how)
	case "presence":
		return s.who(c, how)
	case "refresh":
		return s.refresh(c)
	case "":
		return nil, problem.BadField.With("type is missing")
	}
	return nil, problem.UnknownType
}

// answer is a reply without more than further members, each ending in nothing and beginning with a comma.
func answer(kind string, id, more []byte) []byte {
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
func (s *session) identityNow() (*auth.Identity, error) {
	id := s.identity.Load()
	if !id.Expires.IsZero() && !s.relay.now().Before(id.Expires) {
		return nil, problem.TokenExpired
	}
	return id, nil
}

// allow says whether the session may do op with the channel of a command. What was decided about an identity that is
// not the session's any more says nothing.
func (s *session) allow(op auth.Ops, channel string, how haste) error {
	if !wire.ValidChannel(channel) {
		return problem.BadChannel
	}
	for {
		id, err := s.identityNow()
		if err != nil {
			return err
		}
		err = s.relay.policies.may(id, op, channel, how)
		if how != beside || err != nil && s.identity.Load() == id {
			return err
		}
		if now, late := s.identityNow(); late != nil || now == id {
			return late
		}
	}
}

// loaded says whether a channel can be used without waiting for the disk, or sees to it.
func (r *Relay) loaded(channel string, how haste) error {
	if r.disk == nil || !r.policies.of(channel).log.Durable {
		return nil
	}
	if how != inTurn {
		_ = r.broker.Load(channel) // who uses the channel is told what is wrong
		return nil
	}
	if publisher := r.broker.Publisher(); !publisher.Ready(channel) {
		return errDisk
	}
	return nil
}

// publish is the command: a client's own publication, where policy lets it.
func (s *session) publish(c *wire.Command, now time.Time, how haste) ([]byte, error) {
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
	return answer("ok", id, wire.AppendPosition([]byte(`,"position":`), at.Epoch, at.Seq))
}

// submit is publish without waiting for the disk.
func (s *session) submit(c *wire.Command, now time.Time, how haste) (broker.Receipt, error) {
	if err := s.allow(auth.Publish, c.Channel, how); err != nil {
		return broker.Receipt{}, err
	}
	ns := s.relay.policies.of(c.Channel)
	if how == inTurn && ns.log.Durable && s.relay.disk != nil && (c.Ack != "memory" || s.relay.loaded(c.Channel, how) != nil) {
		return broker.Receipt{}, errDisk
	}
	if (how == inTurn || s.conn == nil) && !s.takePublish(ns, now) { // others have been counted when they came
		return broker.Receipt{}, problem.RateLimited
	}
	c.Exclude = ""
	owner := ""
	if c.IdempotencyKey != "" {
		owner = s.user + "\x00"
	}
	publisher := s.relay.broker.Publisher()
	return s.relay.submit(&publisher, ns, c, owner)
}

// takePublish says whether the session may publish to a namespace now, for all it has published.
func (s *session) takePublish(ns *namespace, now time.Time) bool {
	if s.conn == nil { // of a request, which knows nothing of those before
		return ns.posts.Take(s.user, now)
	}
	return s.bucketOf(ns).Take(ns.rate, 2*float64(ns.rate.Count), now)
}

// bucketOf limits the session's publishes to a namespace.
func (s *session) bucketOf(ns *namespace) *ratelimit.Bucket {
	for i := range s.rates {
		if s.rates[i].ns == ns {
			return &s.rates[i].Bucket
		}
	}
	s.rates = append(s.rates, nsBucket{ns: ns})
	return &s.rates[len(s.rates)-1].Bucket
}

// history answers with changes from the log.
func (s *session) history(c *wire.Command, how haste) ([]byte, error) {
	if err := s.allow(auth.History, c.Channel, how); err != nil {
		return nil, err
	}
	limit, err := pageSize(c.Limit)
	if err == nil {
		err = s.relay.loaded(c.Channel, how)
	}
	if err != nil {
		return nil, err
	}
	changes, more, _, ok := s.relay.broker.History(c.Channel, c.Before, limit)
	if !ok {
		if err := s.relay.broker.Load(c.Channel); err != nil {
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
	maxPage     = 1000
)

func pageSize(limit int) (int, error) {
	switch {
	case limit == 0:
		return defaultPage, nil
	case limit < 0 || limit > maxPage:
		return 0, problem.BadField.With("limit must be 1 to 1000")
	}
	return limit, nil
}

// who answers with the users of a channel.
func (s *session) who(c *wire.Command, how haste) ([]byte, error) {
	if err := s.allow(auth.Presence, c.Channel, how); err != nil {
		return nil, err
	}
	more := append([]byte(`,"channel":"`), c.Channel...)
	more = append(more, '"')
	return answer("presence", c.ID, s.relay.presence.appendUsers(more, c.Channel, c.Count)), nil
}

// refresh extends the session with a new token of the same user.
func (s *session) refresh(c *wire.Command) ([]byte, error) {
	id, err := s.relay.verifier.Verify(c.Token)
	if err != nil {
		return nil, s.relay.refusedToken(err)
	}
	if id.User != s.user {
		return nil, problem.Forbidden.With("the token is another user's")
	}
	s.identity.Store(id)
	s.relay.expiries.set(s, id.Expires)
	s.revoke()
	s.renamed(id)
	more := append([]byte(`,"expiresAt":`), strconv.FormatInt(id.Expires.UnixMilli(), 10)...)
	more = s.appendExpiry(more)
	return answer("ok", c.ID, more), nil
}

// renamed has the session's channels, and where else it has said it is, show what a new token says of its user.
func (s *session) renamed(id *auth.Identity) {
	s.mu.Lock()
	channels := make([]string, 0, len(s.subs))
	for i := range s.subs {
		if s.subs[i].present {
			channels = append(channels, s.subs[i].feed.name)
		}
	}
	s.mu.Unlock()
	for _, channel := range channels {
		s.relay.presence.refreshed(channel, id)
	}
	for _, f := range s.relay.refreshers {
		f(s.id, id)
	}
}

// submit checks what client and backend publications have in common and hands the change to the broker. The caller
// has checked that the publisher may. Idempotency keys are known by their owner: one user's are not another's. A
// ticket with a Wait is not to be acknowledged before that.
func (r *Relay) submit(publisher *broker.Publisher, ns *namespace, c *wire.Command, owner string) (broker.Receipt, error) {
	if len(c.Data) > ns.message {
		return broker.Receipt{}, problem.TooLarge
	}
	p := broker.Publication{Group: c.Group, Key: c.Key, Data: c.Data, TTL: time.Duration(c.TTL) * time.Millisecond, Exclude: c.Exclude}
	if c.IdempotencyKey != "" {
		p.IdempotencyKey = owner + c.IdempotencyKey
	}
	switch {
	case c.Key != "" && !wire.ValidName(c.Key), c.Group != "" && !wire.ValidName(c.Group):
		return broker.Receipt{}, problem.BadName
	case len(c.IdempotencyKey) > maxIdempotencyKey:
		return broker.Receipt{}, problem.BadField.With("idempotencyKey is longer than 256 bytes")
	case c.TTL > maxTTL:
		return broker.Receipt{}, problem.BadField.With("ttl is longer than a year")
	}
	switch c.Ack {
	case "", "disk": // disk is what a durable namespace does anyway
		if c.Ack != "" && !ns.log.Durable {
			return broker.Receipt{}, problem.BadField.With("ack disk is for durable namespaces")
		}
	case "memory":
		p.Ack = broker.AckMemory
	default:
		return broker.Receipt{}, problem.BadField.With("ack must be memory or disk")
	}
	switch c.Op {
	case "":
		p.Op = broker.Send
		if c.Key != "" {
			p.Op = broker.Set
		}
	case "set":
		p.Op = broker.Set
	case "send":
		p.Op = broker.Send
	case "delete":
		p.Op = broker.Delete
	default:
		return broker.Receipt{}, problem.BadField.With("op must be set, delete or send")
	}
	if c.Data == nil && p.Op != broker.Delete {
		return broker.Receipt{}, problem.BadField.With("data is missing")
	}
	if err := r.admit(p.Op, len(p.Data)); err != nil {
		return broker.Receipt{}, err
	}
	receipt, err := publisher.Submit(c.Channel, &p)
	if err == nil {
		ns.counted.Published.Inc()
	}
	return receipt, err
}

const (
	maxIdempotencyKey = 256
	maxTTL            = 366 * 24 * 3600 * 1000
)

// admit refuses new work before old work suffers: items when nine tenths of the memory are in use, everything when
// nearly all of it is, and when more is accepted than can be delivered.
func (r *Relay) admit(op broker.Op, bytes int) error {
	var size int64
	if op == broker.Set {
		size = itemCost(bytes)
	}
	switch {
	case !r.memory.Admits(size):
		r.metrics.Shed.Of("memory").Inc()
		return problem.Overloaded
	case r.full():
		r.metrics.Shed.Of("backlog").Inc()
		return problem.Overloaded
	}
	return nil
}

// itemCost is about what an item of some bytes takes, in the log and by itself.
func itemCost(size int) int64 { return 2*int64(size) + 512 }

// full says that more is accepted than can be delivered, and publishers must be refused.
func (r *Relay) full() bool {
	for _, b := range r.batchers {
		if b.Full() {
			return true
		}
	}
	return r.pool.Full()
}
