package pusher

import (
	"slices"
	"sync"
	"time"
	"weir/relay/systems/pusher/protocol"
)

// users is who is signed in to an app, and who watches whom.
type users struct {
	app *app // set once

	// Guarded by mu, a leaf.
	mu   sync.Mutex
	byID map[string]*user // who is signed in, was until a moment ago, or is watched
}

// user is one of them. Guarded by users.mu.
type user struct {
	id       string
	sockets  []*socket
	watchers []*socket
	isOnline bool // as watchers know it
	leaving  *time.Timer
}

// signIn is pusher:signin. It returns false if it is none.
func (s *socket) signIn(data []byte) bool {
	var auth, value []byte
	_, err := protocol.Read(data, protocol.Field{Name: "auth", Value: &auth}, protocol.Field{Name: "user_data", Value: &value})
	userData := protocol.TextOf(value)
	if err != nil || userData == "" {
		return false
	}
	who, hexes := s.signatureOf(protocol.TextOf(auth))
	if who == nil || !who.Verify(hexes, s.id, "::user::", userData) {
		s.app.refuse(refusedSignature)
		s.close(&protocol.Closing{Code: 4009, Text: "Connection not authorized: the signature of the user is wrong"})
		return true
	}
	in, cut, ok := protocol.ParseSignIn(userData)
	s.mu.Lock()
	before := s.user
	s.mu.Unlock()
	switch {
	case !ok:
		s.client.Send(protocol.ErrorMessage(4009, "user_data must be JSON with an id that is not empty", ""))
		return true
	case before != nil && before.id != in.Text:
		s.client.Send(protocol.ErrorMessage(4009, "The connection is signed in as somebody else", ""))
		return true
	}
	s.known()
	success := protocol.Message("pusher:signin_success", append(protocol.AppendQuoted([]byte(`{"user_data":`), []byte(userData)), '}'))
	if before != nil {
		s.client.Send(success)
		return true
	}
	if !*s.app.settings.Load().Feature.Watchlists {
		in.Watchlist, cut = nil, false
	}
	first := [][]byte{success}
	if cut {
		first = append(first, protocol.ErrorMessage(4302, "The watchlist has more than 100 users: those beyond are not watched", ""))
	}
	u := s.app.users.enter(s, &in, first)
	s.mu.Lock()
	s.user, s.data = u, &in
	s.mu.Unlock()
	return true
}

// isUser reports whether the client is signed in as a user.
func (s *socket) isUser(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.user != nil && s.user.id == id
}

// find is a user, made if need be. The caller holds mu.
func (u *users) find(id string) *user {
	if u.byID == nil {
		u.byID = make(map[string]*user)
	}
	x := u.byID[id]
	if x == nil {
		x = &user{id: id}
		u.byID[id] = x
	}
	return x
}

// settle forgets a user of whom nothing is to be known. The caller holds mu.
func (u *users) settle(x *user) {
	if len(x.sockets) == 0 && len(x.watchers) == 0 && !x.isOnline {
		delete(u.byID, x.id)
	}
}

// enter signs a connection in, tells those who watch the user, and tells the connection of those that it watches.
func (u *users) enter(s *socket, in *protocol.SignIn, first [][]byte) *user {
	u.mu.Lock()
	defer u.mu.Unlock()
	x := u.find(in.Text)
	x.sockets = append(x.sockets, s)
	for _, m := range first { // once it is told of its success, a backend can end it
		s.client.Send(m)
	}
	if x.leaving != nil {
		x.leaving.Stop()
		x.leaving = nil
	}
	if !x.isOnline {
		x.isOnline = true
		x.tell()
	}
	var online, offline []string
	for _, id := range in.Watchlist {
		w := u.find(id)
		w.watchers = append(w.watchers, s)
		if w.isOnline {
			online = append(online, id)
		} else {
			offline = append(offline, id)
		}
	}
	if len(in.Watchlist) > 0 {
		s.client.Send(protocol.WatchlistEvents(online, offline))
	}
	return x
}

// leave signs a connection out: the user is offline with the last one, after a while if that broke off.
func (u *users) leave(x *user, s *socket, abrupt bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	isSocket := func(other *socket) bool { return other == s }
	for _, id := range s.data.Watchlist {
		if w := u.byID[id]; w != nil {
			w.watchers = slices.DeleteFunc(w.watchers, isSocket)
			u.settle(w)
		}
	}
	x.sockets = slices.DeleteFunc(x.sockets, isSocket)
	switch {
	case len(x.sockets) > 0:
	case abrupt:
		var timer *time.Timer
		timer = u.app.after(u.app.settings.Load().Feature.Leave, "pusher user", func() {
			u.mu.Lock()
			defer u.mu.Unlock()
			if x.leaving == timer {
				u.offline(x)
			}
		})
		x.leaving = timer
	default:
		u.offline(x)
	}
}

// offline notes that a user has no connection. The caller holds mu.
func (u *users) offline(x *user) {
	x.isOnline, x.leaving = false, nil
	x.tell()
	u.settle(x)
}

// tell tells those who watch the user how it is. The caller holds the mu of users.
func (x *user) tell() {
	if len(x.watchers) == 0 {
		return
	}
	message := protocol.WatchlistEvents(nil, []string{x.id})
	if x.isOnline {
		message = protocol.WatchlistEvents([]string{x.id}, nil)
	}
	for _, s := range x.watchers {
		s.client.Send(message)
	}
}

// terminate ends the connections of a user. It returns how many there were.
func (u *users) terminate(id string) int {
	u.mu.Lock()
	var list []*socket
	if x := u.byID[id]; x != nil {
		list = slices.Clone(x.sockets)
	}
	u.mu.Unlock()
	for _, s := range list {
		s.close(&protocol.Closing{Code: 4009, Text: "Connection terminated by the app"})
	}
	return len(list)
}

// online is how many users are.
func (u *users) online() (n int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, x := range u.byID {
		if len(x.sockets) > 0 {
			n++
		}
	}
	return n
}

// close stops the timers.
func (u *users) close() {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, x := range u.byID {
		if x.leaving != nil {
			x.leaving.Stop()
		}
	}
}
