package hub

import (
	"strings"
	"testing"

	"weir/relay/auth"
	"weir/relay/config"
)

// The last step of an explanation is what decides.
func TestExplain(t *testing.T) {
	cfg := anOpenConfig()
	cfg.Known = []config.System{{Name: "analytics", Namespaces: []string{"analytics"}}}
	for _, access := range []config.Access{config.Public, config.Authenticated, config.Member, config.Capability, config.Backend, config.ByWebhook} {
		cfg.Namespaces[string(access)] = config.Namespace{Subscribe: access, Publish: access}
	}
	p := namespacesOf(t, cfg)
	p.Guard("analytics", func(id *auth.Identity, _ auth.Ops, _ string) Verdict {
		return map[bool]Verdict{true: Allowed, false: Denied}[id.HasRole("admin")]
	}, nil)
	p.Authorizer = answers{"webhook:yes": nil, "webhook:no": ErrDenied, "webhook:down": ErrUnavailable, "webhook:ask": ErrUndecided}
	guest := &auth.Identity{Anonymous: true}
	user := &auth.Identity{User: "u1"}
	grant := func(pattern string, ops auth.Ops) *auth.Identity {
		return &auth.Identity{User: "u1", Grants: []auth.Grant{{Pattern: "else:*", Ops: auth.AllOps}, {Pattern: pattern, Ops: ops}}}
	}
	for _, tt := range []struct {
		id      *auth.Identity
		op      auth.Ops
		channel string
		allowed bool
		code    string
		step    string
	}{
		{guest, auth.Subscribe, "public:1", true, "", "all clients may"},
		{guest, auth.Subscribe, "authenticated:1", false, "forbidden", "this client has none"},
		{user, auth.Publish, "unknown:1", true, "", "this client has one"},
		{user, auth.Publish, "backend:1", false, "forbidden", "only backends may"},
		{user, auth.Subscribe, "capability:1", false, "forbidden", "the token names no channels"},
		{guest, auth.Subscribe, "capability:1", false, "forbidden", "a token that names the channel"},
		{grant("capability:*", auth.Subscribe), auth.Subscribe, "capability:1", true, "", "this allows subscribe"},
		{grant("capability:*", auth.Subscribe), auth.Publish, "capability:1", false, "forbidden", "no pattern that covers the channel has publish"},
		{grant("capability:2", auth.Subscribe), auth.Subscribe, "capability:1", false, "forbidden", "no pattern covers the channel"},
		{grant("*", auth.AllOps), auth.Subscribe, "user:u2", false, "forbidden", "a pattern must name it, as user:* does"},
		{grant("presence:*", auth.AllOps), auth.Subscribe, "presence:capability:1", false, "forbidden", "no pattern covers the channel"},
		{user, auth.Subscribe, "presence:presence:1", false, "forbidden", "does not name a channel that can have members"},
		{user, auth.Subscribe, "user:u1", true, "", "the client's own channel"},
		{user, auth.Subscribe, "analytics:live", false, "forbidden", "the system of namespace analytics does not allow it"},
		{&auth.Identity{User: "u1", Roles: []string{"admin"}}, auth.Subscribe, "analytics:live", true, "", "the system of namespace analytics allows it"},
		{user, auth.Subscribe, "webhook:yes", true, "", "the backend allows it"},
		{user, auth.Subscribe, "webhook:no", false, "forbidden", "the backend does not allow it"},
		{user, auth.Subscribe, "webhook:down", false, "unavailable", "the backend gave no decision"},
		{user, auth.Subscribe, "webhook:ask", false, "", "the backend has to be asked"},
		{user, auth.Subscribe, "no channel", false, "bad_channel", "is not the name of a channel"},
	} {
		e := p.Explain(tt.id, tt.op, tt.channel, NoWait)
		if e.Allowed != tt.allowed || e.Code != tt.code || len(e.Steps) == 0 || !strings.Contains(e.Steps[len(e.Steps)-1], tt.step) {
			t.Errorf("%s, %v on %s: %+v", Client(tt.id), tt.op, tt.channel, e)
		}
	}
	many := &auth.Identity{User: "u1"}
	for range 100 {
		many.Grants = append(many.Grants, auth.Grant{Pattern: "else:*", Ops: auth.AllOps})
	}
	if e := p.Explain(many, auth.Subscribe, "capability:1", NoWait); len(e.Steps) > mostGrants+4 || !strings.Contains(e.String(), "and 92 more") {
		t.Error(e.Steps)
	}
}

// answers is an Authorizer with an answer for each channel, remembered.
type answers map[string]error

func (a answers) Authorize(_ *auth.Identity, _ auth.Ops, channel string) (Decision, error) {
	return Decision{}, a[channel]
}

func (a answers) Cached(_ *auth.Identity, _ auth.Ops, channel string) (Decision, error, bool) { //nolint:revive // it is a verdict
	return Decision{}, a[channel], true
}

func (answers) Forget(string, string) {}
