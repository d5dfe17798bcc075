//go:build !linux

package relay

// front is for Linux; elsewhere the HTTP server takes connections from the door.
type front struct{ lane *lane }

func newFront(*Gate, *door) *front { return nil }

func (*front) run() error { return nil }

func (*front) end() {}

func (*front) wait() {}
