package session

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"weir/internal/wire"
	"weir/relay/cluster"
)

// shareUser is the kind of the parts that connections of users are: the key is the user's own channel, the name the connection, and the value
// when it was opened.
const shareUser = "user"

// userLimits ends connections of users who have more than they may, on all nodes together. Each node lets in as many as one may have; the
// newest beyond are ended a moment later. It implements cluster.Merger for the users whose own channels this node owns.
type userLimits struct {
	manager *Manager

	// Guarded by mu, a leaf.
	mu    sync.Mutex
	users map[string]map[string]int64 // when each connection was opened, in Unix milliseconds, by the user's channel
}

// shareLimits has connections of users be counted on all nodes together.
func (m *Manager) shareLimits() {
	limit := m.hub.Config.Limit.PerUser
	if m.hub.Config.Mesh == nil || limit <= 0 || limit >= 1<<20 { // or nobody reaches it
		return
	}
	l := &userLimits{manager: m, users: make(map[string]map[string]int64)}
	m.sessions.report = l.report
	m.hub.Share(shareUser, l)
}

// report tells of a session that has begun or ended. The caller holds the lock of the user's part of the registry.
func (l *userLimits) report(s *Session, open bool) {
	var value []byte
	if open {
		value = l.value(s)
	}
	l.manager.hub.Cluster.Report(shareUser, wire.UserChannel(s.user), s.id, value, false)
}

func (l *userLimits) value(s *Session) []byte { return strconv.AppendInt(nil, s.opened, 10) }

// Each implements cluster.Merger.
func (l *userLimits) Each(of func(key string) bool, tell func(key, name string, since time.Time, value []byte)) {
	g := l.manager.sessions
	for i := range g.parts {
		p := &g.parts[i]
		p.mu.Lock()
		for newest := range p.users.All() {
			key := wire.UserChannel(newest.user)
			if !of(key) {
				continue
			}
			for s := newest; s != nil; s = s.sameUser {
				tell(key, s.id, time.UnixMilli(s.opened), l.value(s))
			}
		}
		p.mu.Unlock()
	}
}

// Opened implements cluster.Merger.
func (l *userLimits) Opened(func(key string) bool) {}

// Lost implements cluster.Merger.
func (l *userLimits) Lost(of func(key string) bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	maps.DeleteFunc(l.users, func(key string, _ map[string]int64) bool { return of(key) })
}

// Merge implements cluster.Merger.
func (l *userLimits) Merge(key, name string, parts []cluster.Part, _ cluster.Why) {
	l.mu.Lock()
	defer l.mu.Unlock()
	user := l.users[key]
	if len(parts) == 0 {
		if delete(user, name); len(user) == 0 {
			delete(l.users, key)
		}
		return
	}
	if user == nil {
		user = make(map[string]int64)
		l.users[key] = user
	}
	var opened int64
	_ = json.Unmarshal(parts[0].Value, &opened) // 0 is the oldest
	user[name] = opened
	if len(user) <= l.manager.hub.Config.Limit.PerUser {
		return
	}
	newest := slices.MaxFunc(slices.Collect(maps.Keys(user)), func(a, b string) int {
		return cmp.Or(cmp.Compare(user[a], user[b]), cmp.Compare(a, b))
	})
	delete(user, newest) // it is told to end
	m := l.manager
	m.hub.Counters.Refused.Of("per_user").Inc()
	m.hub.Background(func() { // not under this lock
		m.everywhere(actDisconnect, order{Connection: newest, Code: wire.CloseRateLimit, Reason: "too many connections"}, false)
	})
}
