package native

import (
	"time"

	"weir/broker"
	"weir/internal/ratelimit"
	"weir/internal/wire"
	"weir/relay/auth"
	"weir/relay/hub"
	"weir/relay/problem"
)

// moderate has a publication decided about by what it says. It may change it.
func (s *speaker) moderate(m hub.Moderator, c *wire.Command, how hub.Wait) (drop bool, err error) {
	if how != hub.WaitForAll {
		return false, hub.ErrUndecided
	}
	id, err := s.IdentityNow()
	if err != nil {
		return false, err
	}
	connection := s.ID()
	if s.Conn() == nil { // of a request
		connection = ""
	}
	return m.Moderate(id, connection, c)
}

// publishCommand is the command: a client's own publication, where policy lets it.
func (s *speaker) publishCommand(c *wire.Command, now time.Time, how hub.Wait) ([]byte, error) {
	receipt, err := s.submit(c, now, how)
	if err == nil {
		receipt.Position, err = receipt.Settle()
	}
	if err != nil {
		return nil, err
	}
	return published(c.ID, receipt.Position), nil
}

// published is the answer to a publication.
func published(id []byte, at broker.Position) []byte {
	if at.Epoch == "" { // it was swallowed
		return answer("ok", id, nil)
	}
	return answer("ok", id, wire.AppendPosition([]byte(`,"position":`), at.Epoch, at.Seq))
}

// submit is publish without waiting for the disk.
func (s *speaker) submit(c *wire.Command, now time.Time, how hub.Wait) (broker.Receipt, error) {
	d, err := s.allow(auth.Publish, c.Channel, how)
	if err != nil {
		return broker.Receipt{}, err
	}
	ns := s.server.hub.Namespaces.Of(c.Channel)
	if how == hub.NoWait && s.server.hub.Elsewhere(c.Channel) {
		return broker.Receipt{}, hub.ErrNotLoaded // the answer is to be waited for
	}
	if how == hub.NoWait && ns.Log.Durable && s.server.hub.Keeps() && (c.Ack != "memory" || s.server.hub.EnsureLoaded(c.Channel, how) != nil) {
		return broker.Receipt{}, hub.ErrNotLoaded
	}
	if (how == hub.NoWait || s.Conn() == nil) && !s.takePublish(ns, now) { // others have been counted when they came
		return broker.Receipt{}, problem.RateLimited
	}
	if d.Moderator != nil {
		if drop, err := s.moderate(d.Moderator, c, how); drop || err != nil {
			return broker.Receipt{}, err
		}
	}
	c.Exclude, c.Traceparent = "", "" // a user does not say what is traced
	owner := ""
	if c.IdempotencyKey != "" {
		owner = s.User() + "\x00"
	}
	publisher := s.server.hub.Broker.Publisher()
	return s.server.hub.Submit(&publisher, ns, c, owner)
}

// takePublish reports whether the session may publish to a namespace now, for all it has published.
func (s *speaker) takePublish(ns *hub.Namespace, now time.Time) bool {
	if s.Conn() == nil { // of a request, which knows nothing of those before
		return ns.Posts.Take(s.User(), now)
	}
	return s.bucketOf(ns).Take(ns.Rate, 2*float64(ns.Rate.Count), now)
}

// bucketOf limits the session's publications to a namespace.
func (s *speaker) bucketOf(ns *hub.Namespace) *ratelimit.Bucket {
	for b := s.rates; b != nil; b = b.next {
		if b.ns == ns {
			return &b.Bucket
		}
	}
	s.rates = &nsBucket{ns: ns, next: s.rates}
	return &s.rates.Bucket
}
