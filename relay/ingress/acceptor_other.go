//go:build !linux

package ingress

// acceptor is for Linux; elsewhere the HTTP server takes connections from the listener.
type acceptor struct{ handoff *Handoff }

func newAcceptor(*Gate, *listener) *acceptor { return nil }

func (*acceptor) run() error { return nil }

func (*acceptor) end() {}

func (*acceptor) wait() {}
