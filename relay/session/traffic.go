package session

import "weir/internal/wire"

// Following is how many connections there are, and how many of them follow each channel. The relay's own channels, of users
// and of who is present, are left out.
func (m *Manager) Following() (connections int, subscribers map[string]int) {
	subscribers = map[string]int{}
	for _, s := range m.sessions.all() {
		connections++
		s.mu.Lock()
		for i := range s.subs {
			if name := s.subs[i].feed.Name; recorded(name) {
				subscribers[name]++
			}
		}
		s.mu.Unlock()
	}
	return connections, subscribers
}

// recorded reports whether a channel is one that a recording of the relay's traffic tells of.
func recorded(channel string) bool {
	ns := wire.Namespace(channel)
	return ns != wire.UserNamespace && ns != wire.PresenceNamespace
}
