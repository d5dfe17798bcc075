package auth

import (
	"container/list"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"sync"
	"time"
)

const (
	// ticketLife is how long a ticket can be redeemed.
	ticketLife = 30 * time.Second

	defaultTickets = 65536
	ticketBytes    = 24 // random, 192 bits
)

// errFull is returned when too many tickets are unused; the oldest goes within ticketLife.
var errFull = errors.New("limit reached: too many unused tickets")

// Tickets hands out one-use stand-ins for an Identity. They live in the memory of this process: a
// ticket is redeemed where it was issued, and a restart forgets it.
type Tickets struct {
	// Set once by NewTickets.
	max int
	now func() time.Time // monotonic: a change of the wall clock neither ends nor prolongs a ticket

	// Guarded by mu.
	mu     sync.Mutex
	byHash map[ticketHash]*list.Element
	queue  *list.List // of ticket, the oldest first
}

// ticketHash stands for a ticket, so that memory holds none that could be used.
type ticketHash [sha256.Size]byte

type ticket struct {
	hash     ticketHash
	identity *Identity
	issued   time.Time
}

// NewTickets bounds the outstanding tickets to limit; 65536 when limit is not positive.
func NewTickets(limit int) *Tickets {
	if limit <= 0 {
		limit = defaultTickets
	}
	return &Tickets{max: limit, now: time.Now, byHash: make(map[ticketHash]*list.Element), queue: list.New()}
}

// Issue returns a ticket for id: 32 characters of base64url. Those that have expired are forgotten
// first; errFull when as many as allowed are left.
func (t *Tickets) Issue(id *Identity) (string, error) {
	if id == nil {
		return "", errors.New("issue ticket: no identity")
	}
	var random [ticketBytes]byte
	_, _ = rand.Read(random[:]) // ends the process rather than failing
	text := base64.RawURLEncoding.EncodeToString(random[:])
	hash := ticketHash(sha256.Sum256([]byte(text)))

	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	t.expire(now)
	if t.queue.Len() >= t.max {
		return "", fmt.Errorf("issue ticket: %w", errFull)
	}
	t.byHash[hash] = t.queue.PushBack(ticket{hash, id, now})
	return text, nil
}

// Redeem returns the identity that a ticket was issued for, once: of several callers one gets it. False
// for tickets that are unknown, redeemed or expired. Identity.Expires is for the caller to look at.
func (t *Tickets) Redeem(text string) (*Identity, bool) {
	if base64.RawURLEncoding.DecodedLen(len(text)) != ticketBytes {
		return nil, false
	}
	hash := ticketHash(sha256.Sum256([]byte(text)))

	t.mu.Lock()
	defer t.mu.Unlock()
	t.expire(t.now())
	e, ok := t.byHash[hash]
	if !ok {
		return nil, false
	}
	return t.remove(e).identity, true
}

// expire forgets the tickets whose time is over. Called with mu held; each ticket is removed once, so
// the cost is spread over the calls that issued them.
func (t *Tickets) expire(now time.Time) {
	for e := t.queue.Front(); e != nil; e = t.queue.Front() {
		if now.Sub(e.Value.(ticket).issued) < ticketLife {
			return
		}
		t.remove(e)
	}
}

func (t *Tickets) remove(e *list.Element) ticket {
	gone := t.queue.Remove(e).(ticket)
	delete(t.byHash, gone.hash)
	return gone
}
