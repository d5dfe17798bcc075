package session

import (
	"testing"
	"time"
)

// A heartbeat that is due while a client is being let in waits: nothing may come before the answer to the
// handshake, and the session has no connection yet.
func TestNothingBeforeTheHandshake(t *testing.T) {
	for _, s := range []*Session{{}, {events: true}} {
		s.socket.Heard.Store(true)
		s.Heartbeat(time.Now()) // it would panic
		s.Check(time.Now())
	}
}
