package relay

import (
	"errors"

	"weir/relay/config"
)

// System is a part of the relay that is built on its channels and topics: chat, notifications, documents.
// It is given to New.
type System interface {
	// Name is what the configuration calls it.
	Name() string

	// Start is called once, by New, before anything is served. Here the system says what it takes part in;
	// nothing of host's that says "at start" may be called later. Errors are about the configuration.
	Start(host Host) error

	// Close ends the system's goroutines and waits for them. It is called once, when the last session has
	// ended and before the channels close: it may still publish.
	Close()
}

// Reloader is a System with settings that take effect without a restart.
type Reloader interface {
	// Reload takes new settings. On an error nothing has changed.
	Reload(cfg *config.Config) error
}

// startSystems lets the systems say what they take part in.
func (r *Relay) startSystems(systems []System) error {
	defer close(r.hub.Started)
	for i, s := range systems {
		if err := s.Start(&host{r.hub, r.sessions, r, s.Name()}); err != nil {
			for _, started := range systems[:i] {
				started.Close()
			}
			return err
		}
	}
	r.systems = systems
	r.sessions.SystemsStarted()
	if r.hub.Namespaces.Authorizer == nil && r.hub.Namespaces.Asks() {
		r.systems = nil
		for _, s := range systems {
			s.Close()
		}
		return errors.New("a namespace has the access webhook, but no backend is configured to ask: set auth.webhook.url or, better, hooks.url")
	}
	return nil
}
