package authz

import (
	"strings"
	"sync"
	"time"

	"weir/relay/auth"
)

// maxCached bounds the answers that are kept.
const maxCached = 1 << 16

// subject is what a decision is about.
type subject struct {
	user, channel string
	op            auth.Ops
	roles         string // joined by NUL
}

// cache holds the answers of the backend and the requests under way.
type cache struct {
	// Guarded by mu, a leaf.
	mu       sync.Mutex
	answers  map[subject]cached
	requests map[subject]*request // at most one about each subject
}

// request is a request that is under way.
type request struct {
	done chan struct{} // closed by end

	// Set before done is closed, and guarded by the cache's mu until then.
	allow   bool
	err     error
	revoked bool // the access was revoked meanwhile, whatever the answer
}

// cached is an answer and when it expires.
type cached struct {
	allow bool
	until time.Time
}

// get returns the answer about a subject; known is false if there is none that holds.
func (c *cache) get(about subject, now time.Time) (allow, known bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	a, ok := c.answers[about]
	if !ok || !now.Before(a.until) {
		return false, false
	}
	return a.allow, true
}

// join returns the request about a subject. If first is true it is a new one, which the caller sends and ends.
func (c *cache) join(about subject) (r *request, first bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r = c.requests[about]; r != nil {
		return r, false
	}
	if c.requests == nil {
		c.requests = make(map[subject]*request)
	}
	r = &request{done: make(chan struct{})}
	c.requests[about.clone()] = r
	return r, true
}

// end ends a request. The answer is cached, unless there is none, or the access was revoked meanwhile.
func (c *cache) end(r *request, about subject, allow bool, err error, now time.Time, ttl time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer close(r.done)
	r.allow, r.err = allow, err
	if c.requests[about] == r {
		delete(c.requests, about)
	}
	if err == nil && !r.revoked {
		c.put(about, allow, now, ttl)
	}
}

// put caches an answer. The caller holds mu.
func (c *cache) put(about subject, allow bool, now time.Time, ttl time.Duration) {
	if c.answers == nil {
		c.answers = make(map[subject]cached)
	}
	if len(c.answers) >= maxCached {
		c.makeRoom(now)
	}
	c.answers[about.clone()] = cached{allow, now.Add(ttl)}
}

// clone copies the subject: the strings of a command are valid as long as the command only.
func (a subject) clone() subject {
	return subject{strings.Clone(a.user), strings.Clone(a.channel), a.op, a.roles}
}

// makeRoom drops the expired answers, and others until a quarter of the places is free. It runs once for as many new
// answers as it frees places.
func (c *cache) makeRoom(now time.Time) {
	for about, a := range c.answers {
		if !now.Before(a.until) {
			delete(c.answers, about)
		}
	}
	for about := range c.answers { // in random order, so that no client can choose which
		if len(c.answers) <= maxCached*3/4 {
			break
		}
		delete(c.answers, about)
	}
}

// forget drops the answers about a user and a channel, or about all channels if channel is "". Requests under way are
// marked as revoked, and no later caller joins them.
func (c *cache) forget(user, channel string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for about, r := range c.requests {
		if about.user == user && (channel == "" || about.channel == channel) {
			r.revoked = true
			delete(c.requests, about)
		}
	}
	for about := range c.answers {
		if about.user == user && (channel == "" || about.channel == channel) {
			delete(c.answers, about)
		}
	}
}
