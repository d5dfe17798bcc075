package relay

import (
	"hash/maphash"
	"sync"
	"time"

	"weir/internal/units"
)

// quotas bounds how often each user may ask, over HTTP, on all connections together.
type quotas struct {
	// Set once by newQuotas.
	rate  units.Rate
	seed  maphash.Seed
	parts [16]quotaPart
}

type quotaPart struct {
	// Guarded by mu.
	mu    sync.Mutex
	users map[string]*bucket
}

// quotaUsers is how many users a part remembers. One that is forgotten starts with a full bucket again, so
// that it takes this many others to get more than one's share.
const quotaUsers = 4096

func newQuotas(rate units.Rate) *quotas { return &quotas{rate: rate, seed: maphash.MakeSeed()} }

// take takes one request of a user's. It answers false if that is one too many.
func (q *quotas) take(user string, now time.Time) bool {
	if q.rate.PerSecond() == 0 {
		return true
	}
	burst := 2 * float64(q.rate.Count)
	part := &q.parts[maphash.String(q.seed, user)%uint64(len(q.parts))]
	part.mu.Lock()
	defer part.mu.Unlock()
	b := part.users[user]
	if b == nil {
		part.makeRoom(q.rate, burst, now)
		b = new(bucket)
		part.users[user] = b
	}
	return b.take(q.rate, burst, now)
}

// makeRoom forgets users whose bucket is full again, or, if there is none, any other. It runs once in as many
// new users as it frees places.
func (p *quotaPart) makeRoom(rate units.Rate, burst float64, now time.Time) {
	if p.users == nil {
		p.users = make(map[string]*bucket)
	}
	if len(p.users) < quotaUsers {
		return
	}
	idle := time.Duration(burst / rate.PerSecond() * float64(time.Second))
	for user, b := range p.users {
		if now.Sub(b.at) >= idle {
			delete(p.users, user)
		}
	}
	for user := range p.users { // in no order, so nobody can aim at one
		if len(p.users) <= quotaUsers*3/4 {
			break
		}
		delete(p.users, user)
	}
}
