package ratelimit

import (
	"hash/maphash"
	"sync"
	"time"

	"weir/internal/units"
)

// Users bounds how often each user may ask, on all connections together.
type Users struct {
	// Set once by NewUsers.
	rate  units.Rate
	seed  maphash.Seed
	parts [16]part
}

type part struct {
	// Guarded by mu.
	mu    sync.Mutex
	users map[string]*Bucket
}

// remembered is how many users a part remembers. One that is forgotten starts with a full bucket again, so
// that it takes this many others to get more than one's share.
const remembered = 4096

// NewUsers bounds each user to a rate, and to twice its count at once.
func NewUsers(rate units.Rate) *Users { return &Users{rate: rate, seed: maphash.MakeSeed()} }

// Take takes one request of a user's. It returns false if that is one too many.
func (u *Users) Take(user string, now time.Time) bool {
	if u.rate.PerSecond() == 0 {
		return true
	}
	burst := 2 * float64(u.rate.Count)
	p := &u.parts[maphash.String(u.seed, user)%uint64(len(u.parts))]
	p.mu.Lock()
	defer p.mu.Unlock()
	b := p.users[user]
	if b == nil {
		p.makeRoom(now)
		b = new(Bucket)
		p.users[user] = b
	}
	return b.Take(u.rate, burst, now)
}

// makeRoom forgets users whose bucket is full again, or, if there is none, any other. It runs once in as many
// new users as it frees places.
func (p *part) makeRoom(now time.Time) {
	if p.users == nil {
		p.users = make(map[string]*Bucket)
	}
	if len(p.users) < remembered {
		return
	}
	for user, b := range p.users {
		if now.Sub(start) >= b.full {
			delete(p.users, user)
		}
	}
	for user := range p.users { // in no order, so that no client can choose which
		if len(p.users) <= remembered*3/4 {
			break
		}
		delete(p.users, user)
	}
}
