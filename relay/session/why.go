package session

import (
	"errors"
	"fmt"
	"time"

	"weir/internal/wire"
	"weir/relay/auth"
	"weir/relay/hub"
	"weir/relay/problem"
)

// Why decides about a client with a token, "" for an anonymous one, and a channel as a session does, and says how that came
// about, for people. It may wait for keys, the disk and a backend.
func (m *Manager) Why(token string, op auth.Ops, channel string) hub.Explanation {
	id, steps, err := m.whose(token)
	if err != nil {
		return hub.Explanation{Code: problem.Unauthorized.Code, Steps: append(steps, err.Error())}
	}
	steps = append(steps, "the client is "+hub.Client(id))
	e := m.hub.Namespaces.Explain(id, op, channel, hub.WaitForAll)
	e.Steps = append(steps, e.Steps...)
	return e
}

// whose is the client of a token, as Identify finds it.
func (m *Manager) whose(token string) (id *auth.Identity, steps []string, err error) {
	if token == "" {
		switch {
		case m.hub.Config.Auth.Anonymous:
			return &auth.Identity{Anonymous: true}, []string{"there is no token: auth.anonymous allows clients without one"}, nil
		case m.connector != nil:
			return nil, nil, errors.New("there is no token: the hook connect decides who the client is, by its cookies")
		}
		return nil, nil, errors.New("there is no token, and auth.anonymous is false")
	}
	id, err = m.verifier.VerifyWaiting(token)
	if refused, ok := errors.AsType[*auth.Error](err); ok {
		return nil, nil, errors.New("the token is refused: " + string(refused.Reason) + ": " + refused.Explain())
	}
	if err != nil {
		return nil, nil, fmt.Errorf("the token is refused: %w", err)
	}
	if !wire.ValidChannel(wire.UserChannel(id.User)) {
		return nil, nil, errors.New("the token is refused: claims: sub is too long for the name of a channel")
	}
	return id, []string{"the token is signed by " + auth.KeyOf(token), "it is valid until " + id.Expires.Time().UTC().Format(time.RFC3339)}, nil
}
