package session

import (
	"strings"
	"sync"
	"sync/atomic"

	"weir/relay/problem"
)

// revocations are the channels that access was lately taken away from. A client that is being decided about meanwhile, which
// may take a backend seconds, looks here before it is let in: what was decided before does not bring the access back.
type revocations struct {
	made atomic.Uint64 // how many there were

	// Guarded by mu, a leaf.
	mu   sync.Mutex
	last [1024]revocation // the n-th at n modulo the length
}

// revocation is of one user, or of one connection.
type revocation struct {
	user, connection, channel string
	why                       *problem.Error
}

// Revocations is how many times access to a channel was taken away.
func (m *Manager) Revocations() uint64 { return m.revocations.made.Load() }

// add notes one, before the subscriptions that there are end.
func (v *revocations) add(r revocation) {
	r.channel = strings.Clone(r.channel)
	v.mu.Lock()
	defer v.mu.Unlock()
	n := v.made.Load()
	v.last[n%uint64(len(v.last))] = r
	v.made.Store(n + 1)
}

// since says why access to a channel was taken away from a session after so many were made; nil: it was not. Who has
// missed some may have missed that one, and is to try again.
func (v *revocations) since(n uint64, s *Session, channel string) *problem.Error {
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
		if r := &v.last[n%uint64(len(v.last))]; r.channel == channel && (r.connection == s.id || r.user != "" && r.user == s.user) {
			return r.why
		}
	}
	return nil
}
