package pusher

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"weir/relay/cluster"
)

// On several nodes the channels of app.channels are what this node's own connections are subscribed to, and only count. Each count is told
// to the node that owns the channel, which has what all say in app.merged: there members are published, and webhooks told, once.

// The kinds of what nodes tell and ask each other.
const (
	shareChannel = "pusher"             // parts: the key is a channel
	callLook     = "pusher.look"        // an inquiry about a channel, to its owner
	callOccupied = "pusher.occupied"    // an inquiry about all channels of a node
	callSockets  = "pusher.connections" // of an app
	actTerminate = "pusher.terminate"   // the connections of a user
)

// part is what a node says of a channel under the name "", and of its members under the names of their ids.
type part struct {
	Name    string          `json:"name"` // the channel's
	Sockets int             `json:"sockets"`
	ID      json.RawMessage `json:"id,omitempty"` // the member's; JSON, like info
	Info    json.RawMessage `json:"info,omitempty"`
}

// memberPrefix is what stands before a member's id in the name of its part.
const memberPrefix = "m"

// inquiry is about a channel, or those of an app whose names begin with prefix.
type inquiry struct {
	App    string `json:"app"`
	Name   string `json:"name,omitempty"`
	Prefix string `json:"prefix,omitempty"`
	Member string `json:"member,omitempty"` // the id of one that was just told: may it stay?
	Missed bool   `json:"missed,omitempty"` // a subscriber has found that nothing is cached
	Count  bool   `json:"count,omitempty"`  // there is a new subscriber, who is to be told how many there are
	Filled bool   `json:"filled,omitempty"` // something is, by now
	User   string `json:"user,omitempty"`
	State  bool   `json:"state,omitempty"` // what the channel keeps is asked for, too
}

// view is how a channel is, at its owner.
type view struct {
	Name    string          `json:"name"`
	Sockets int             `json:"sockets"`
	Users   int             `json:"users"`
	State   json.RawMessage `json:"state,omitempty"`
	Full    bool            `json:"full,omitempty"` // the member may not stay
}

// share has channels be put together of what all nodes say.
func (s *System) share() {
	if s.host.Alone() {
		return
	}
	s.host.Share(shareChannel, s)
	on := func(kind string, f func(a *app, q *inquiry) any) {
		s.host.Answer(kind, func(body []byte) ([]byte, error) {
			q, a, err := s.inquiry(body)
			if err != nil {
				return nil, err
			}
			return json.Marshal(f(a, q))
		})
	}
	on(callLook, func(a *app, q *inquiry) any { return a.lookHere(q) })
	on(callOccupied, func(a *app, q *inquiry) any { return a.occupiedHere(q.Prefix) })
	on(callSockets, func(a *app, _ *inquiry) any { return a.connections.Load() })
	s.host.Act(actTerminate, func(body []byte, _ time.Time) []byte {
		if q, a, err := s.inquiry(body); err == nil {
			a.users.terminate(q.User)
		}
		return nil
	})
}

func (s *System) inquiry(body []byte) (*inquiry, *app, error) {
	q := new(inquiry)
	if err := json.Unmarshal(body, q); err != nil {
		return nil, nil, fmt.Errorf("inquiry: %w", err)
	}
	a := (*s.byID.Load())[q.App]
	if a == nil {
		return nil, nil, fmt.Errorf("there is no app %q", q.App)
	}
	return q, a, nil
}

// whole is the channel by which a node knows how things are: its own one if it is the only one. nil: nothing is known of it.
func (a *app) whole(name string) *channel {
	if !a.shared {
		return a.find(name)
	}
	a.mu.RLock()
	defer a.mu.RUnlock()
	return a.merged[channelOf(a.namespace, name)]
}

// lookHere answers an inquiry about a channel that is owned here.
func (a *app) lookHere(q *inquiry) view {
	ch := a.whole(q.Name)
	v := view{Name: q.Name}
	if ch != nil {
		switch {
		case q.Missed:
			ch.tellMiss()
		case q.Filled:
			ch.filled()
		case q.Count:
			ch.countNow()
		}
		ch.mu.Lock()
		v.Full = q.Member != "" && slices.Contains(ch.refused, q.Member)
		ch.mu.Unlock()
	}
	v.Sockets, v.Users = ch.counts()
	if q.State {
		r, _ := a.system.host.Broker().Read(channelOf(a.namespace, q.Name), nil)
		v.State = r.State
	}
	return v
}

// look asks how a channel is. Errors: its owner is not reached.
func (a *app) look(q inquiry) (v view, err error) {
	weir := channelOf(a.namespace, q.Name)
	if !a.system.host.Elsewhere(weir) {
		return a.lookHere(&q), nil
	}
	q.App = a.id
	body, err := json.Marshal(q)
	if err == nil {
		body, err = a.system.host.CallOwner(weir, callLook, body)
	}
	if err == nil {
		err = json.Unmarshal(body, &v)
	}
	return v, err
}

// occupiedHere is the channels that are put together here and that somebody is subscribed to.
func (a *app) occupiedHere(prefix string) (list []view) {
	for _, ch := range a.occupied(prefix) {
		sockets, users := ch.counts()
		list = append(list, view{Name: ch.name, Sockets: sockets, Users: users})
	}
	return list
}

// everywhere asks all nodes, and calls f with each other one's answer. Errors: one does not answer.
func (a *app) everywhere(kind string, q inquiry, f func(body []byte) error) error {
	if !a.shared {
		return nil
	}
	q.App = a.id
	body, err := json.Marshal(q)
	if err != nil {
		return err
	}
	answers, silent := a.system.host.CallAll(kind, body)
	if len(silent) > 0 {
		return cluster.ErrNoOwner
	}
	for _, answer := range answers {
		if err := f(answer); err != nil {
			return err
		}
	}
	return nil
}

// patience is how long a subscription waits for an owner of its channel.
const patience = 5 * time.Second

// admitted waits until the owner of a presence channel has counted a member in, so that it is among those whom the client is told. Errors: errMembers, and
// the owner is not reached.
func (ch *channel) admitted(member string) error {
	for end := time.Now().Add(patience); ; {
		v, err := ch.app.look(inquiry{Name: ch.name, Member: member})
		switch {
		case err == nil && v.Full:
			return errMembers
		case err == nil, !errors.Is(err, cluster.ErrNoOwner), time.Now().After(end):
			return err
		}
		select {
		case <-time.After(patience / 20):
		case <-ch.app.system.ctx.Done():
			return err
		}
	}
}

// report tells the owner how many connections there are here, of a member if m is not nil. The caller holds mu.
func (ch *channel) report(m *member, abrupt bool) {
	tell := func(name string, p *part) {
		b, err := json.Marshal(p)
		if p.Sockets == 0 || err != nil {
			b = nil
		}
		ch.app.system.host.Report(shareChannel, ch.weir, name, b, abrupt)
	}
	tell("", &part{Name: ch.name, Sockets: ch.sockets})
	if m != nil {
		tell(memberPrefix+m.text, m.part(ch.name))
	}
}

func (m *member) part(channel string) *part {
	return &part{Name: channel, Sockets: m.connections, ID: m.item.id, Info: m.item.info}
}

// Each implements cluster.Merger.
func (s *System) Each(of func(key string) bool, tell func(key, name string, since time.Time, value []byte)) {
	for _, a := range *s.byID.Load() {
		a.mu.RLock()
		var list []*channel
		for weir, ch := range a.channels {
			if of(weir) {
				list = append(list, ch)
			}
		}
		a.mu.RUnlock()
		for _, ch := range list {
			ch.mu.Lock()
			if b, err := json.Marshal(part{Name: ch.name, Sockets: ch.sockets}); err == nil && ch.sockets > 0 {
				tell(ch.weir, "", ch.since, b)
			}
			for _, m := range ch.members {
				if b, err := json.Marshal(m.part(ch.name)); err == nil && m.connections > 0 {
					tell(ch.weir, memberPrefix+m.text, m.since, b)
				}
			}
			ch.mu.Unlock()
		}
	}
}

// Opened implements cluster.Merger: the members that channels show stay for a while, until some node says that they are there.
func (s *System) Opened(of func(key string) bool) {
	b := s.host.Broker()
	b.Names(func(weir string) bool {
		namespace, _, _ := strings.Cut(weir, ":")
		a := (*s.byNamespace.Load())[namespace]
		name := s.nameOf(weir)
		if a == nil || !of(weir) || !kindOf(name).presence {
			return true
		}
		r, _ := b.Read(weir, []string{memberGroup})
		members := parseState(r.State).members
		if len(members) == 0 {
			return true
		}
		ch := a.mergedOf(weir, name)
		ch.mu.Lock()
		defer ch.mu.Unlock()
		ch.occupied = true
		for _, item := range members {
			text, isNumber, _ := idText(item.id)
			m := &member{item: item, key: memberKey(text, isNumber), text: text, shown: true}
			if ch.members == nil {
				ch.members = make(map[string]*member)
			}
			ch.members[text] = m
			ch.partAfter(m, true, max(a.settings.Load().Feature.Leave, patience))
		}
		return true
	})
}

// mergedOf is a channel that is put together here, which is made if need be.
func (a *app) mergedOf(weir, name string) *channel {
	a.mu.Lock()
	defer a.mu.Unlock()
	ch := a.merged[weir]
	if ch == nil {
		ch = &channel{app: a, name: name, weir: weir, kind: kindOf(name), whole: true}
		if a.merged == nil {
			a.merged = make(map[string]*channel)
		}
		a.merged[weir] = ch
	}
	return ch
}

// Lost implements cluster.Merger.
func (s *System) Lost(of func(key string) bool) {
	for _, a := range *s.byID.Load() {
		a.mu.Lock()
		var list []*channel
		for weir, ch := range a.merged {
			if of(weir) {
				list = append(list, ch)
				delete(a.merged, weir)
			}
		}
		a.mu.Unlock()
		for _, ch := range list {
			ch.mu.Lock()
			ch.dead = true
			ch.halt()
			for _, m := range ch.members {
				if m.leaving != nil {
					m.leaving.Stop()
				}
			}
			ch.mu.Unlock()
		}
	}
}

// Merge implements cluster.Merger.
func (s *System) Merge(weir, name string, parts []cluster.Part, why cluster.Why) {
	namespace, _, _ := strings.Cut(weir, ":")
	a := (*s.byNamespace.Load())[namespace]
	if a == nil {
		return
	}
	total, last := 0, part{Name: s.nameOf(weir)}
	for _, x := range parts {
		var p part
		if json.Unmarshal(x.Value, &p) == nil {
			total += p.Sockets
			last = p
		}
	}
	for {
		ch := a.mergedOf(weir, last.Name)
		ch.mu.Lock()
		if ch.dead { // it has just ended: there is another one
			ch.mu.Unlock()
			continue
		}
		if text, ok := strings.CutPrefix(name, memberPrefix); ok {
			ch.mergeMember(text, memberItem{last.ID, last.Info}, total, why)
		} else {
			ch.mergeSockets(total, why)
		}
		ch.settle()
		ch.mu.Unlock()
		return
	}
}

// mergeSockets takes over how many connections there are on all nodes. The caller holds mu.
func (ch *channel) mergeSockets(total int, why cluster.Why) {
	fewer := total < ch.sockets // of one more is told when it can hear that: see tellCount
	ch.sockets = total
	if total > 0 {
		if ch.vacating != nil {
			ch.vacating.Stop()
		}
		if !ch.occupied {
			ch.occupied = true
			if !why.Known {
				ch.app.tell("channel_occupied", ch.name, nil)
			}
		}
	}
	if fewer {
		ch.count()
	}
}

// mergeMember takes over how many connections a member has on all nodes. The caller holds mu.
func (ch *channel) mergeMember(text string, item memberItem, total int, why cluster.Why) {
	m := ch.members[text]
	ch.refused = slices.DeleteFunc(ch.refused, func(id string) bool { return id == text })
	switch {
	case total == 0:
		if m != nil && m.connections > 0 {
			m.connections = 0
			ch.part(m, why.Abrupt)
		}
		return
	case m == nil || m.connections == 0:
		var err error
		ch.known = why.Known
		m, err = ch.join(&item)
		ch.known = false
		if err != nil {
			ch.refused = append(ch.refused, text)
			return
		}
	}
	m.connections = total
}

// missed has webhooks be told that a subscriber has found nothing in a cache channel.
func (a *app) missed(ch *channel) {
	switch {
	case !a.shared:
		ch.tellMiss()
	case a.settings.Load().told["cache_miss"]:
		_, _ = a.look(inquiry{Name: ch.name, Missed: true}) // at most once is as much as there is
	}
}

// filled notes that a cache channel has an event.
func (a *app) filled(name string) {
	switch ch := a.find(name); {
	case a.shared && a.settings.Load().told["cache_miss"]:
		_, _ = a.look(inquiry{Name: name, Filled: true})
	case !a.shared && ch != nil:
		ch.filled()
	}
}
