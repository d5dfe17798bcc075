package hooks

import (
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"weir/relay/auth"
	"weir/relay/problem"
	"weir/relay/systems/internal/answers"
	"weir/relay/systems/internal/post"
)

// known is what the backend has said of a client: who it is, or that it may not come in.
type known struct {
	id  *auth.Identity
	bad *problem.Error // id is nil
}

// visit is what is kept with an identity that the backend has vouched for: its Vouched.By. Never written after it was made.
type visit struct {
	by         *credentials // to ask again with
	context    []byte       // JSON that comes back to the backend; nil: none
	contextKey [16]byte     // stands for context
	asked      time.Time    // when the question was asked
}

// visitOf returns what is kept with an identity; nil if the backend has not vouched for it.
func visitOf(id *auth.Identity) *visit {
	if id.Vouched == nil {
		return nil
	}
	v, _ := id.Vouched.By.(*visit)
	return v
}

// denialTime is for how long a refusal is remembered: short, since the user may be about to sign in.
const denialTime = time.Second

// Connect implements session.Connector.
func (s *System) Connect(ctx *fasthttp.RequestCtx) (*auth.Identity, *problem.Error) {
	if !s.routed(string(ctx.Path())) {
		return nil, nil
	}
	c := s.credentialsOf(ctx)
	if c.cookies != "" && !fromOwnPage(ctx) {
		return nil, s.host.RefusedOrigin(ctx)
	}
	if ticket := ctx.QueryArgs().Peek("resume"); len(ticket) > 0 {
		if id := s.resume(string(ticket), c); id != nil {
			s.counts.resumed.Inc()
			return id, nil
		}
	}
	return s.identify(c)
}

// routed reports whether clients of a path are asked about.
func (s *System) routed(path string) bool {
	if len(s.config.Connect.Routes) == 0 {
		return true
	}
	for _, route := range s.config.Connect.Routes {
		if prefix, all := strings.CutSuffix(route, "*"); route == path || all && strings.HasPrefix(path, prefix) {
			return true
		}
	}
	return false
}

// identify returns who a client is: from memory, or because the backend says so.
func (s *System) identify(c *credentials) (*auth.Identity, *problem.Error) {
	now := s.now()
	if k, ok := s.clients.Get(c.key, now); ok && k.standsAt(now) {
		s.hooks[askConnect].counts.remembered.Inc()
		return k.id, k.bad
	}
	q, first := s.clients.Join(c.key, now)
	if first {
		s.connect(q, c)
	}
	<-q.Done // within the timeout
	switch {
	case q.Err == nil && !q.Dropped && (q.Value.id == nil || s.Stands(q.Value.id)):
		return q.Value.id, q.Value.bad
	case q.Err == nil: // it was taken back while it was asked
		return nil, problem.Unavailable
	}
	if k, ok := s.clients.Old(c.key, s.now()); ok && k.standsAt(s.now()) {
		s.hooks[askConnect].counts.stale.Inc()
		return k.id, k.bad
	}
	return nil, problem.Unavailable
}

// standsAt reports whether it is not over.
func (k *known) standsAt(now time.Time) bool {
	return k.id == nil || now.Before(k.id.Expires.Time())
}

// connect asks the backend who a client is, remembers the answer and ends the question.
func (s *System) connect(q *answers.Question[*known], c *credentials) {
	err := errors.New("no response")
	var e answers.Answer[*known]
	defer func() { s.clients.End(q, c.key, e, err, s.now()) }()
	asked := s.now()
	var k *known
	if k, err = s.askConnect(c, asked); err != nil {
		return
	}
	e = s.remember(k, asked)
}

// remember is an answer with the times for which it holds.
func (s *System) remember(k *known, asked time.Time) answers.Answer[*known] {
	if k.id == nil {
		return answers.Answer[*known]{Value: k, Fresh: asked.Add(min(denialTime, s.config.Connect.Cache)), Stale: time.Time{}}
	}
	fresh := asked.Add(s.config.Connect.Cache)
	if refresh := k.id.Vouched.Refresh; refresh.Before(fresh) {
		fresh = refresh
	}
	return answers.Answer[*known]{Value: k, Fresh: fresh, Stale: asked.Add(s.config.Connect.Stale)}
}

// askConnect asks the backend who a client is.
func (s *System) askConnect(c *credentials, asked time.Time) (*known, error) {
	h := s.hooks[askConnect]
	k := new(known)
	err := s.ask(h, struct {
		Origin string `json:"origin,omitempty"`
	}{c.origin}, c.header.Clone(), func(r *post.Response) (err error) {
		switch r.Status {
		case http.StatusOK:
			k.id, err = s.parseConnect(r.Body, c, asked)
			return err
		case http.StatusNoContent:
			k.id, err = s.parseConnect([]byte(`{}`), c, asked)
			return err
		case http.StatusUnauthorized, http.StatusForbidden:
			return refused(r)
		}
		return unexpected(r, "200 with a user, 204, 401 or 403")
	})
	var no *refusal
	switch {
	case errors.As(err, &no):
		h.counts.outcomes[outcomeRefused].Inc()
		k.bad = problem.Unauthorized.With("you are not signed in")
		if no.status == http.StatusForbidden {
			k.bad = problem.Forbidden
		}
		if no.reason != "" {
			k.bad = k.bad.With(no.reason)
		}
		s.explain(c, no)
		return k, nil
	case err != nil:
		return nil, err
	}
	h.counts.outcomes[outcomeAllowed].Inc()
	return k, nil
}

// explain logs why a client was not let in, once in a while: most often nobody is signed in, but that may have a cause.
func (s *System) explain(c *credentials, no *refusal) {
	now := s.now().Unix()
	if last := s.explained.Load(); now-last < 10 || !s.explained.CompareAndSwap(last, now) {
		return
	}
	why := "the response gives no reason"
	switch {
	case no.page && no.status == http.StatusForbidden:
		why = "the response is an HTML page: is the route exempt from the check for forged requests (CSRF)?"
	case c.cookies == "" && len(s.config.Cookies) > 0:
		why = "the client has sent none of hooks.cookies"
	case no.reason != "":
		why = "the response gives a reason, which the client gets" // the words are not ours to log
	}
	s.host.Log().Info("the backend refused a client", "hook", askConnect, "status", no.status, "why", why)
}

// Stands implements session.Connector.
func (s *System) Stands(id *auth.Identity) bool {
	v := visitOf(id)
	return v == nil || !s.revoked.since(userKey(id.User), v.asked)
}

// Dismiss implements session.Connector.
func (s *System) Dismiss(user, connection string) {
	if err := s.dismiss(user, connection); err != nil {
		s.host.Log().Warn("a revocation is not stored: after a restart the client can come back with its resume ticket", "error", err.Error())
	}
}

func (s *System) dismiss(user, connection string) error {
	return s.dismissAt(user, connection, s.now())
}

func (s *System) dismissAt(user, connection string, now time.Time) error {
	if user == "" {
		return s.revoked.add(connectionKey(connection), now)
	}
	err := s.revoked.add(userKey(user), now) // before what is remembered goes: nothing from before comes back
	s.clients.Forget(func(_ credentialKey, k *known) bool { return k.id != nil && k.id.User == user }, nil)
	return err
}
