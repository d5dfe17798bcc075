package authz

import (
	"strings"
	"sync"
	"time"

	"weir/relay/auth"
)

// remembered bounds the answers that are kept.
const remembered = 1 << 16

// subject is what a decision is about.
type subject struct {
	user, channel string
	op            auth.Ops
	roles         string // with NUL between them
}

// memory is what the backend has said.
type memory struct {
	// Guarded by mu, a leaf.
	mu      sync.Mutex
	answers map[subject]remark
	asked   map[subject]*inquiry // one at a time about each subject
}

// inquiry is a question that is under way.
type inquiry struct {
	done chan struct{} // closed when the rest is known

	// Set before done is closed, and guarded by the memory's mu until then.
	allow bool
	err   error
	taken bool // access was taken away meanwhile, whatever the answer
}

type remark struct {
	allow bool
	until time.Time
}

// recall is the answer that holds; false if there is none.
func (m *memory) recall(about subject, now time.Time) (allow, known bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r, ok := m.answers[about]
	if !ok || !now.Before(r.until) {
		return false, false
	}
	return r.allow, true
}

// ask answers the inquiry about a subject: one that is under way, or a new one, which the caller is to make and to end.
func (m *memory) ask(about subject) (q *inquiry, fresh bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if q = m.asked[about]; q != nil {
		return q, false
	}
	if m.asked == nil {
		m.asked = make(map[subject]*inquiry)
	}
	q = &inquiry{done: make(chan struct{})}
	m.asked[about.clone()] = q
	return q, true
}

// end ends an inquiry. The answer is remembered, unless there is none, or the access was taken away meanwhile.
func (m *memory) end(q *inquiry, about subject, allow bool, err error, now time.Time, ttl time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	defer close(q.done)
	q.allow, q.err = allow, err
	if m.asked[about] == q {
		delete(m.asked, about)
	}
	if err == nil && !q.taken {
		m.keep(about, allow, now, ttl)
	}
}

// keep remembers an answer. The caller holds mu.
func (m *memory) keep(about subject, allow bool, now time.Time, ttl time.Duration) {
	if m.answers == nil {
		m.answers = make(map[subject]remark)
	}
	if len(m.answers) >= remembered {
		m.makeRoom(now)
	}
	m.answers[about.clone()] = remark{allow, now.Add(ttl)}
}

// clone is the subject in memory of its own: the names of a command do not outlive it.
func (a subject) clone() subject {
	return subject{strings.Clone(a.user), strings.Clone(a.channel), a.op, a.roles}
}

// makeRoom drops what has run out, or, if that is little, any others. It runs once in as many new answers as it
// frees places.
func (m *memory) makeRoom(now time.Time) {
	for about, r := range m.answers {
		if !now.Before(r.until) {
			delete(m.answers, about)
		}
	}
	for about := range m.answers { // in no order, so nobody can aim at one
		if len(m.answers) <= remembered*3/4 {
			break
		}
		delete(m.answers, about)
	}
}

// forget drops the answers about a user and a channel, or all channels if that is "". Those that are still to come are
// for nobody: who asks from now on is asked about anew.
func (m *memory) forget(user, channel string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for about, q := range m.asked {
		if about.user == user && (channel == "" || about.channel == channel) {
			q.taken = true
			delete(m.asked, about)
		}
	}
	for about := range m.answers {
		if about.user == user && (channel == "" || about.channel == channel) {
			delete(m.answers, about)
		}
	}
}
