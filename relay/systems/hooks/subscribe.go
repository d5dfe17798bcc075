package hooks

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"weir/relay/auth"
	"weir/relay/hub"
	"weir/relay/systems/internal/answers"
	"weir/relay/systems/internal/post"
)

// subject is what a decision is about.
type subject struct {
	user, channel string
	op            auth.Ops
	roles         string   // joined by NUL
	context       [16]byte // stands for what comes back to the backend
}

// subjectOf copies its strings: those of a command are valid as long as the command only.
func subjectOf(id *auth.Identity, op auth.Ops, channel string) subject {
	about := subject{user: id.User, channel: strings.Clone(channel), op: op, roles: strings.Join(id.Roles, "\x00")}
	if v := visitOf(id); v != nil {
		about.context = v.contextKey
	}
	return about
}

// decision is an answer about a subject.
type decision struct {
	allow   bool
	reason  string    // of a denial; "" if the backend has said none
	data    []byte    // for the client; nil: none
	expires time.Time // when it is over; zero: with the identity
	err     error     // the denial, made once
}

// verdict is the decision as the relay knows it.
func (d *decision) verdict() (hub.Decision, error) {
	if !d.allow {
		return hub.Decision{}, d.err
	}
	return hub.Decision{Data: d.data, Expires: d.expires}, nil
}

const (
	maxDecision = time.Hour        // that an answer is remembered
	denied      = 5 * time.Second  // that a denial without a ttl is: short, since the user waits to be let in
	patience    = 10 * time.Second // after which a decision from before is looked at again that holds while the backend does not answer
)

// Cached implements hub.Authorizer. It needs no question for what the backend has granted with connect.
func (s *System) Cached(id *auth.Identity, op auth.Ops, channel string) (d hub.Decision, err error, known bool) { //nolint:revive // it is a verdict
	if visitOf(id) != nil && id.May(op, channel) {
		return d, nil, true
	}
	if op == auth.Publish {
		return d, nil, false
	}
	now := s.now()
	if x, ok := s.decisions.Get(subjectOf(id, op, channel), now); ok && !x.over(now) {
		s.hooks[askSubscribe].counts.remembered.Inc()
		d, err = x.verdict()
		return d, err, true
	}
	return d, nil, false
}

// over reports whether a decision holds no longer.
func (d *decision) over(now time.Time) bool { return !d.expires.IsZero() && !now.Before(d.expires) }

// Authorize implements hub.Authorizer.
func (s *System) Authorize(id *auth.Identity, op auth.Ops, channel string) (hub.Decision, error) {
	if d, err, known := s.Cached(id, op, channel); known {
		return d, err
	}
	if op == auth.Publish {
		if s.hooks[askPublish] == nil {
			return hub.Decision{}, hub.ErrDenied
		}
		return hub.Decision{Moderator: s}, nil
	}
	if s.hooks[askSubscribe] == nil {
		return hub.Decision{}, hub.ErrDenied
	}
	about := subjectOf(id, op, channel)
	q, first := s.decisions.Join(about, s.now())
	if first {
		s.decide(q, about, id)
	}
	<-q.Done // within the timeout
	switch {
	case q.Dropped:
		return hub.Decision{}, hub.ErrDenied
	case q.Err == nil:
		return q.Value.verdict()
	}
	now := s.now()
	if x, ok := s.decisions.Old(about, now); ok {
		s.hooks[askSubscribe].counts.stale.Inc()
		d, err := x.verdict()
		if !d.Expires.IsZero() {
			d.Expires = now.Add(patience)
		}
		return d, err
	}
	return hub.Decision{}, hub.ErrUnavailable
}

// decide asks the backend about a subject, remembers the answer and ends the question.
func (s *System) decide(q *answers.Question[*decision], about subject, id *auth.Identity) {
	err := errors.New("no response")
	var e answers.Answer[*decision]
	defer func() { s.decisions.End(q, about, e, err, s.now()) }()
	asked := s.now()
	var d *decision
	var ttl time.Duration
	if d, ttl, err = s.askSubscribe(about, id, asked); err != nil {
		return
	}
	e = answers.Answer[*decision]{Value: d, Fresh: asked.Add(ttl), Stale: asked.Add(ttl)}
	if d.allow {
		end := asked.Add(ttl)
		if d.expires.After(end) { // the subscription holds for longer than the answer
			end = d.expires
		}
		e.Stale = end.Add(s.config.Connect.Stale)
	}
}

// askSubscribe asks the backend whether a client may do something with a channel. It returns for how long the answer is to be
// remembered.
func (s *System) askSubscribe(about subject, id *auth.Identity, asked time.Time) (d *decision, ttl time.Duration, err error) {
	h := s.hooks[askSubscribe]
	err = s.ask(h, struct {
		Op      string `json:"op"` // subscribe, history or presence
		Channel string `json:"channel"`
		client
	}{about.op.String(), about.channel, clientOf(id, "")}, nil, func(r *post.Response) error {
		var a struct {
			Allow     *bool           `json:"allow"`
			TTL       *float64        `json:"ttl"`       // seconds
			ExpiresIn *float64        `json:"expiresIn"` // seconds
			Data      json.RawMessage `json:"data"`
			Reason    string          `json:"reason"`
		}
		switch {
		case r.Status == http.StatusUnauthorized || r.Status == http.StatusForbidden:
			no := refused(r)
			d, ttl = &decision{reason: no.reason}, min(s.config.Subscribe.Cache, denied)
			return nil
		case r.Status != http.StatusOK:
			return unexpected(r, "200, 401 or 403")
		}
		if err := object(r.Body, &a); err != nil {
			return err
		}
		if a.Allow == nil {
			return errors.New(`unexpected response: expected {"allow": true or false}`)
		}
		d, ttl = &decision{allow: *a.Allow, reason: readable(a.Reason)}, s.config.Subscribe.Cache
		if !d.allow {
			ttl = min(ttl, denied)
		}
		var err error
		if ttl, err = seconds("ttl", a.TTL, ttl, maxDecision); err != nil {
			return err
		}
		if a.ExpiresIn != nil {
			expiry, err := seconds("expiresIn", a.ExpiresIn, 0, maxExpiry)
			if err != nil {
				return err
			}
			d.expires, ttl = asked.Add(max(expiry, time.Second)), min(ttl, expiry)
		}
		d.data, err = oneLine("data", a.Data, maxAnswer)
		return err
	})
	if err != nil {
		return nil, 0, err
	}
	outcome := outcomeAllowed
	if !d.allow {
		outcome = outcomeRefused
		d.err = denial(d.reason)
	}
	h.counts.outcomes[outcome].Inc()
	return d, ttl, nil
}

// denial is the error of a client that may not.
func denial(reason string) error {
	if reason == "" {
		return hub.ErrDenied
	}
	return deniedFor(reason)
}

// Forget implements hub.Authorizer.
func (s *System) Forget(user, channel string) {
	about := func(a subject) bool { return a.user == user && (channel == "" || a.channel == channel) }
	s.decisions.Forget(func(a subject, _ *decision) bool { return about(a) }, about)
}
