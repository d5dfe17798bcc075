package permit

import (
	"strconv"
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

// key tells subjects apart: none of the parts before the last has a newline.
func (a subject) key() string {
	return strconv.Itoa(int(a.op)) + "\n" + a.channel + "\n" + strconv.Quote(a.user) + "\n" + a.roles
}

// memory is what the backend has said.
type memory struct {
	// Guarded by mu, a leaf.
	mu      sync.Mutex
	answers map[subject]remark
	epoch   uint64 // grows with each forget: an answer to a question from before is not kept
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

// age is to be asked for before a question, for keep.
func (m *memory) age() uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.epoch
}

// keep remembers an answer, unless something was forgotten since its question.
func (m *memory) keep(about subject, allow bool, now time.Time, ttl time.Duration, age uint64) {
	about = subject{strings.Clone(about.user), strings.Clone(about.channel), about.op, about.roles} // the names of a command do not outlive it
	m.mu.Lock()
	defer m.mu.Unlock()
	if age != m.epoch {
		return
	}
	if m.answers == nil {
		m.answers = make(map[subject]remark)
	}
	if len(m.answers) >= remembered {
		m.makeRoom(now)
	}
	m.answers[about] = remark{allow, now.Add(ttl)}
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

// forget drops the answers about a user and a channel, or all channels if that is "".
func (m *memory) forget(user, channel string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.epoch++
	for about := range m.answers {
		if about.user == user && (channel == "" || about.channel == channel) {
			delete(m.answers, about)
		}
	}
}
