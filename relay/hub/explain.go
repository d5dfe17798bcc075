package hub

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"weir/internal/wire"
	"weir/relay/auth"
	"weir/relay/config"
	"weir/relay/problem"
)

// Explanation is a decision about a client and a channel with the way to it, for people.
type Explanation struct {
	Allowed bool     `json:"allowed"`
	Code    string   `json:"code,omitempty"` // why not, as clients are told; "" if it is allowed
	Steps   []string `json:"steps"`          // what was looked at, in order; the last one decided
}

// mostGrants is how many grants of a token an Explanation names.
const mostGrants = 8

// String is the steps as one line.
func (e *Explanation) String() string { return strings.Join(e.Steps, "; ") }

// Explain is Decide for people: the decision is Decide's own, the steps say how it came about. It may wait as how says; what is
// not decided without waiting is not allowed, with the step that would have to wait.
func (p *Namespaces) Explain(id *auth.Identity, op auth.Ops, channel string, how Wait) Explanation {
	var e Explanation
	if !wire.ValidChannel(channel) {
		e.Code = problem.BadChannel.Code
		e.say("%q is not the name of a channel: %s", channel, problem.BadChannel.Message)
		return e
	}
	_, err := p.Decide(id, op, channel, how)
	e.Allowed = err == nil
	p.explain(&e, id, op, channel, err)
	if err != nil && !errors.Is(err, ErrUndecided) && !errors.Is(err, ErrNotLoaded) {
		e.Code = problem.Of(err).Code
	}
	return e
}

func (e *Explanation) say(format string, args ...any) {
	e.Steps = append(e.Steps, fmt.Sprintf(format, args...))
}

// explain follows Decide. err is what that has returned.
func (p *Namespaces) explain(e *Explanation, id *auth.Identity, op auth.Ops, channel string, err error) {
	ns := p.Of(channel)
	if ns.Name == wire.PresenceNamespace && op != auth.Publish {
		followed := channel[len(wire.PresenceNamespace)+1:]
		if !wire.ValidChannel(followed) || wire.Namespace(followed) == wire.PresenceNamespace {
			e.say("%s does not name a channel that can have members", channel)
			return
		}
		e.say("%s has the members of %s: the operation presence on that channel decides", channel, followed)
		p.explain(e, id, auth.Presence, followed, err)
		return
	}
	if ns.Name == wire.UserNamespace && op != auth.Publish && !id.Anonymous && channel == wire.UserChannel(id.User) {
		e.say("%s is the client's own channel", channel)
		return
	}
	if w, ok := p.guards[wire.Namespace(channel)]; ok {
		switch {
		case errors.Is(err, ErrNotLoaded):
			e.say("the system of namespace %s decides when the channel has been read from disk", ns.Name)
			return
		case w.verdict(id, op, channel) == Allowed:
			e.say("the system of namespace %s allows it", ns.Name)
			return
		case w.verdict(id, op, channel) == Denied:
			e.say("the system of namespace %s does not allow it: ask it for access, such as membership of the room", ns.Name)
			return
		}
	}
	p.explainAccess(e, ns, id, op, channel, err)
}

// explainAccess follows Open.
func (p *Namespaces) explainAccess(e *Explanation, ns *Namespace, id *auth.Identity, op auth.Ops, channel string, err error) {
	access, key := ns.subscribe, "subscribe"
	if op == auth.Publish {
		access, key = ns.Publish, "publish"
	}
	where := "namespace " + ns.Name
	if ns == p.Fallback {
		where = fmt.Sprintf("namespace %s, since none is named %q", ns.Name, wire.Namespace(channel))
	}
	e.say("%s: %s is %q", where, key, access)
	switch access {
	case config.Public:
		e.say("all clients may")
	case config.Authenticated:
		e.say("clients with a token may; this client has %s", map[bool]string{true: "none", false: "one"}[id.Anonymous])
	case config.Backend:
		e.say("only backends may, over the API")
	case config.ByWebhook:
		p.explainHook(e, err)
	case config.Member, config.Capability:
		explainGrants(e, ns, id, op, channel)
	}
}

// explainHook says what the backend said.
func (p *Namespaces) explainHook(e *Explanation, err error) {
	switch {
	case p.Authorizer == nil:
		e.say("there is no backend to ask: set hooks.url")
	case err == nil:
		e.say("the backend allows it (a remembered answer, if there is one)")
	case errors.Is(err, ErrDenied):
		e.say("the backend does not allow it (a remembered answer, if there is one)")
	case errors.Is(err, ErrUndecided):
		e.say("the backend has to be asked")
	default:
		e.say("the backend gave no decision: %s", problem.Of(err).Message)
	}
}

// explainGrants says what the client's grants say of the channel.
func explainGrants(e *Explanation, ns *Namespace, id *auth.Identity, op auth.Ops, channel string) {
	by := "the token"
	if id.Vouched != nil {
		by = "the response to connect"
	}
	switch {
	case id.Anonymous:
		e.say("clients with a token that names the channel may; this client has no token")
		return
	case len(id.Grants) == 0:
		e.say("%s names no channels: expected %s with %s", by, channel, op)
		return
	}
	var covering auth.Ops
	for i, g := range id.Grants {
		if i == mostGrants {
			e.say("and %d more", len(id.Grants)-i)
		}
		covers := auth.MatchPattern(g.Pattern, channel)
		if covers {
			covering |= g.Ops
		}
		if i < mostGrants {
			e.say("%s has %q with %s, which %s the channel", by, g.Pattern, g.Ops, map[bool]string{true: "covers", false: "does not cover"}[covers])
		}
	}
	switch {
	case covering&op == 0 && covering != 0:
		e.say("no pattern that covers the channel has %s", op)
	case covering&op == 0:
		e.say("no pattern covers the channel: a pattern is the name of a channel, or ends in :*")
	case ns.reserved && !Named(id, op, channel, ns.Name):
		e.say("namespace %s is one of the relay's own: a pattern must name it, as %s:* does, and not be \"*\"", ns.Name, ns.Name)
	default:
		e.say("this allows %s", op)
	}
}

// Client is who a client is, in a few words for people.
func Client(id *auth.Identity) string {
	if id.Anonymous {
		return "an anonymous client"
	}
	text := "user " + id.User
	if len(id.Roles) > 0 {
		roles := slices.Clone(id.Roles[:min(len(id.Roles), mostGrants)])
		text += " with the roles " + strings.Join(roles, ", ")
	}
	return text
}
