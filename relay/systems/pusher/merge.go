package pusher

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"weir/relay/cluster"
	"weir/relay/systems/pusher/protocol"
)

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
		if a == nil || !of(weir) || !protocol.KindOf(name).Presence {
			return true
		}
		r, _ := b.Read(weir, []string{protocol.MemberGroup})
		members := protocol.ParseState(r.State).Members
		if len(members) == 0 {
			return true
		}
		ch := a.mergedOf(weir, name)
		ch.mu.Lock()
		defer ch.mu.Unlock()
		ch.occupied = true
		for _, item := range members {
			text, isNumber, _ := protocol.IDText(item.ID)
			m := &member{item: item, key: protocol.MemberKey(text, isNumber), text: text, shown: true}
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
		ch = &channel{app: a, name: name, weir: weir, kind: protocol.KindOf(name), whole: true}
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
			ch.mergeMember(text, protocol.Member{ID: last.ID, Info: last.Info}, total, why)
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
func (ch *channel) mergeMember(text string, item protocol.Member, total int, why cluster.Why) {
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
