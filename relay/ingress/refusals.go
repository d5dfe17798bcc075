package ingress

import (
	"errors"
	"log/slog"
	"net/url"
	"sync"
	"time"

	"github.com/valyala/fasthttp"

	"weir/relay/auth"
	"weir/relay/problem"
)

// refusals tells operators why credentials and origins are refused: one line in the log for each reason and second, which
// says how many more there were. What is said is made of fixed words and of origins: nothing of a token or key is in it.
type refusals struct {
	// Guarded by mu, a leaf.
	mu   sync.Mutex
	told map[auth.Reason]lastRefusal
}

type lastRefusal struct {
	at    time.Time
	since int // more of the reason that were not told
}

// take reports whether a refusal is to be told, and how many were not told since the last that was.
func (v *refusals) take(reason auth.Reason, now time.Time) (since int, ok bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	last := v.told[reason]
	if now.Sub(last.at) < time.Second {
		last.since++
		v.told[reason] = last
		return 0, false
	}
	if v.told == nil {
		v.told = make(map[auth.Reason]lastRefusal)
	}
	v.told[reason] = lastRefusal{at: now}
	return last.since, true
}

// Reasons beside those of tokens.
const (
	ReasonOrigin auth.Reason = "origin"
	ReasonTicket auth.Reason = "ticket"
	ReasonKey    auth.Reason = "api_key"
	ReasonAdmin  auth.Reason = "admin"

	reasonAccess auth.Reason = "access"
)

// RefusedToken is the answer to a token that was refused, after that was counted and told.
func (g *Gate) RefusedToken(err error) *problem.Error {
	var refused *auth.Error
	if !errors.As(err, &refused) {
		g.hub.Counters.AuthFailures.Of(string(auth.ReasonOf(err))).Inc()
		return problem.Unauthorized
	}
	to := problem.Unauthorized
	if refused.Retry {
		to = problem.NoKeys
	}
	return g.Explain(to, "token refused", refused.Reason, refused.Explain())
}

// RefusedOrigin is the answer to a request that a page may not make, after that was counted and told.
func (g *Gate) RefusedOrigin(ctx *fasthttp.RequestCtx) *problem.Error {
	origins := ctx.Request.Header.PeekAll("Origin")
	why := "there is no header Origin: require_origin, or a cookie in place of a token, requires one"
	switch {
	case len(origins) > 1:
		why = "there is more than one header Origin: expected one"
	case len(origins) == 1:
		why = "the header Origin is not an origin: expected scheme://host[:port]"
		// Whatever else stands there may be a secret that has lost its way.
		if u, err := url.Parse(string(origins[0])); err == nil && u.Host != "" && u.Scheme+"://"+u.Host == string(origins[0]) && len(origins[0]) <= 128 {
			why = u.Scheme + "://" + u.Host + " is neither the relay's own origin nor in origins"
		}
	}
	return g.Explain(problem.ForeignOrigin, "origin refused", ReasonOrigin, why)
}

// Explain is the answer to something that was refused, which is counted and told. In development mode it says why;
// elsewhere that would help those who guess.
func (g *Gate) Explain(to *problem.Error, what string, reason auth.Reason, why string) *problem.Error {
	g.Refused(what, reason, why)
	if !g.hub.Config.Dev || to.Retryable {
		return to
	}
	told := *to
	told.Detail = string(reason) + ": " + why
	return &told
}

// Denied is the answer to a client that may not do something with a channel, after that was told: it is not counted here, since
// commands that fail are. Why is called if the log or, in development mode, the client is to be told.
func (g *Gate) Denied(why func() string) *problem.Error {
	since, ok := g.refusals.take(reasonAccess, time.Now())
	if !ok && !g.hub.Config.Dev {
		return problem.Forbidden
	}
	told := *problem.Forbidden
	text := why()
	if ok {
		g.hub.Log.Warn("access refused", slog.String("reason", string(reasonAccess)), slog.String("why", text), slog.Int("more", since))
	}
	if g.hub.Config.Dev {
		told.Detail = text
	}
	return &told
}

// Refused counts something that was refused, and has the log say why.
func (g *Gate) Refused(what string, reason auth.Reason, why string) {
	g.hub.Counters.AuthFailures.Of(string(reason)).Inc()
	if since, ok := g.refusals.take(reason, time.Now()); ok {
		g.hub.Log.Warn(what, slog.String("reason", string(reason)), slog.String("why", why), slog.Int("more", since))
	}
}
