package revoked

import (
	"strings"
	"sync"
	"sync/atomic"

	"weir/relay/problem"
)

// List is the channels that access was lately taken away from. A client that is being decided about meanwhile, which
// may take a backend seconds, looks here before it is let in: what was decided before does not bring the access back.
type List struct {
	made atomic.Uint64 // how many there were

	// Guarded by mu, a leaf.
	mu   sync.Mutex
	last [1024]Revocation // the n-th at n modulo the length
}

// Revocation is of one user, or of one connection.
type Revocation struct {
	User, Connection, Channel string
	Why                       *problem.Error
}

// Made is how many times access to a channel was taken away.
func (v *List) Made() uint64 { return v.made.Load() }

// Add notes one, before the subscriptions that there are end.
func (v *List) Add(r Revocation) {
	r.Channel = strings.Clone(r.Channel)
	v.mu.Lock()
	defer v.mu.Unlock()
	n := v.made.Load()
	v.last[n%uint64(len(v.last))] = r
	v.made.Store(n + 1)
}

// Since returns why access to a channel was taken away from a connection after so many were made; nil: it was not. A client that has
// missed some may have missed that one, and is to try again.
func (v *List) Since(n uint64, user, connection, channel string) *problem.Error {
	if v.made.Load() == n {
		return nil
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	made := v.made.Load()
	if made-n > uint64(len(v.last)) {
		return problem.Unavailable.With("access to channels was revoked meanwhile: try again")
	}
	for ; n < made; n++ {
		if r := &v.last[n%uint64(len(v.last))]; r.Channel == channel && (r.Connection == connection || r.User != "" && r.User == user) {
			return r.Why
		}
	}
	return nil
}
