package pusher

import (
	"errors"
	"sync"
	"time"

	"weir/broker"
	"weir/internal/wire"
	"weir/relay/systems/pusher/protocol"
)

// channel is what is known of a channel that somebody is subscribed to, or was until a moment ago.
type channel struct {
	// Set once.
	app  *app
	name string
	weir string
	kind protocol.Kind

	whole bool      // it is put together of what all nodes say; see nodes.go
	since time.Time // when the first connection came

	// Guarded by mu, which is held while members are published.
	mu       sync.Mutex
	refused  []string // ids of members for whom there is no room, on other nodes
	known    bool     // webhooks have been told of the member that joins, by another node
	dead     bool     // it is not in app.channels any more: look it up again
	sockets  int
	members  map[string]*member // by the text of their id
	occupied bool               // as webhooks have been told
	missed   bool               // webhooks have been told that nothing is cached
	vacating *time.Timer        // for channel_vacated; nil until it is needed
	counted  time.Time          // when the count was last told
	counting *time.Timer        // for the count that is due; nil until it is needed
	due      bool               // it is
}

// member is a user in a presence channel. Guarded by the channel's mu.
type member struct {
	item        protocol.Member
	key, text   string
	connections int
	since       time.Time   // when the first of them came
	shown       bool        // the item is there
	leaving     *time.Timer // for the end of a member without connections; nil until it is needed
}

// errMembers is returned for a channel that is full.
var errMembers = errors.New("the channel has reached its limit of members")

// crowd is from how many subscribers on counts are told every countEvery only.
const (
	crowd      = 100
	countEvery = 5 * time.Second
)

// enter counts a connection in, and makes the channel if need be. item is the member it is for, in a presence channel.
func (a *app) enter(name string, item *protocol.Member) (*channel, *member, error) {
	weir := protocol.ChannelOf(a.namespace, name)
	for {
		a.mu.Lock()
		ch := a.channels[weir]
		if ch == nil {
			ch = &channel{app: a, name: name, weir: weir, kind: protocol.KindOf(name), since: time.Now()}
			a.channels[weir] = ch
		}
		a.mu.Unlock()
		m, err, dead := ch.enter(item)
		if dead {
			continue
		}
		if a.shared && m != nil && err == nil {
			if err = ch.admitted(m.text); err != nil {
				ch.leave(m, false)
			}
		}
		return ch, m, err
	}
}

func (ch *channel) enter(item *protocol.Member) (m *member, err error, dead bool) {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	if ch.dead {
		return nil, nil, true
	}
	if item != nil {
		if m, err = ch.join(item); err != nil {
			ch.settle()
			return nil, err, false
		}
	}
	ch.sockets++
	if ch.app.shared {
		ch.report(m, false)
		return m, nil, false
	}
	if ch.vacating != nil {
		ch.vacating.Stop()
	}
	if !ch.occupied {
		ch.occupied = true
		ch.app.tell("channel_occupied", ch.name, nil)
	}
	return m, nil, false
}

// join counts a connection of a member in. The first one makes the item.
func (ch *channel) join(item *protocol.Member) (*member, error) {
	text, isNumber, _ := protocol.IDText(item.ID)
	m := ch.members[text]
	if ch.app.shared && !ch.whole { // of this node
		if m == nil {
			m = &member{key: protocol.MemberKey(text, isNumber), text: text, since: time.Now()}
		}
		m.item = *item
		m.connections++
		if ch.members == nil {
			ch.members = make(map[string]*member)
		}
		ch.members[text] = m
		return m, nil
	}
	if m == nil {
		if ch.shown() >= ch.app.settings.Load().Limit.Members {
			return nil, errMembers
		}
		m = &member{item: *item, key: protocol.MemberKey(text, isNumber), text: text}
	}
	if !m.shown {
		if m.leaving != nil { // those who are there have been told that the user left
			m.item, m.key = *item, protocol.MemberKey(text, isNumber)
		}
		if _, err := ch.app.system.host.Publish(ch.weir, &broker.Publication{Op: broker.Set, Group: protocol.MemberGroup, Key: m.key, Data: protocol.AppendMember(nil, m.item)}); err != nil {
			return nil, err
		}
		m.shown = true
		if m.leaving == nil && !ch.known {
			ch.tellMember("member_added", m)
		}
	}
	if m.leaving != nil {
		m.leaving.Stop()
		m.leaving = nil
	}
	m.connections++
	if ch.members == nil {
		ch.members = make(map[string]*member)
	}
	ch.members[text] = m
	return m, nil
}

// leave counts a connection out.
func (ch *channel) leave(m *member, abrupt bool) {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	ch.sockets--
	if m != nil {
		m.connections--
	}
	if ch.app.shared {
		if ch.report(m, abrupt); m != nil && m.connections == 0 {
			delete(ch.members, m.text)
		}
		if ch.sockets == 0 {
			ch.end()
		}
		return
	}
	if m != nil && m.connections == 0 {
		ch.part(m, abrupt)
	}
	ch.count()
	ch.settle()
}

// part ends a member without connections: for clients at once, or after a while if the last connection broke off; for webhooks
// after that while, in which a return is no news.
func (ch *channel) part(m *member, abrupt bool) {
	ch.partAfter(m, abrupt, ch.app.settings.Load().Feature.Leave)
}

func (ch *channel) partAfter(m *member, abrupt bool, wait time.Duration) {
	if !abrupt {
		ch.hide(m)
	}
	if ch.app.removed.Load() { // no timer is to outlive the app
		ch.gone(m)
		return
	}
	var timer *time.Timer
	timer = ch.app.after(wait, "pusher member", func() {
		ch.mu.Lock()
		defer ch.mu.Unlock()
		if m.leaving != timer || m.connections > 0 {
			return
		}
		ch.gone(m)
		ch.settle()
	})
	m.leaving = timer
}

// gone ends a member, for clients and for webhooks.
func (ch *channel) gone(m *member) {
	m.leaving = nil
	ch.hide(m)
	delete(ch.members, m.text)
	ch.tellMember("member_removed", m)
}

// hide removes the item of a member.
func (ch *channel) hide(m *member) {
	if !m.shown {
		return
	}
	m.shown = false
	host := ch.app.system.host
	if _, err := host.Publish(ch.weir, &broker.Publication{Op: broker.Delete, Group: protocol.MemberGroup, Key: m.key}); err != nil {
		host.Log().Warn("member not removed", "channel", ch.weir, "error", err.Error())
		return
	}
	if protocol.IDOfKey(m.key) == nil { // the key does not say who it was
		_ = ch.send("pusher_internal:member_removed", protocol.RemovedData(m.item.ID))
	}
}

// send tells subscribers something.
func (ch *channel) send(event string, data []byte) error {
	b := append(append([]byte(`{"event":"`), event...), `","data":`...)
	b = append(protocol.AppendQuoted(b, data), '}')
	_, err := ch.app.system.host.Submit(ch.weir, &broker.Publication{Op: broker.Send, Data: b})
	return err
}

// settle lets go of a channel in which nobody is. What is told of that waits for a while, in which a return is no news.
func (ch *channel) settle() {
	if ch.sockets > 0 || len(ch.members) > 0 || ch.dead {
		return
	}
	n := ch.app.settings.Load()
	switch {
	case !ch.occupied || !n.told["channel_vacated"]:
		ch.end()
		return
	case ch.app.removed.Load():
		ch.vacated()
		return
	}
	if ch.vacating == nil {
		ch.vacating = ch.app.after(n.Feature.Leave, "pusher channel", ch.vacate)
		return
	}
	ch.vacating.Reset(n.Feature.Leave)
}

// vacate tells that nobody is in the channel any more.
func (ch *channel) vacate() {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	if ch.sockets == 0 && len(ch.members) == 0 && !ch.dead {
		ch.vacated()
	}
}

func (ch *channel) vacated() {
	ch.app.tell("channel_vacated", ch.name, nil)
	ch.end()
}

// end takes the channel out of its app.
func (ch *channel) end() {
	ch.dead = true
	ch.halt()
	ch.app.mu.Lock()
	defer ch.app.mu.Unlock()
	for _, channels := range []map[string]*channel{ch.app.channels, ch.app.merged} {
		if channels[ch.weir] == ch {
			delete(channels, ch.weir)
		}
	}
}

// halt stops the channel's timers.
func (ch *channel) halt() {
	for _, t := range []*time.Timer{ch.vacating, ch.counting} {
		if t != nil {
			t.Stop()
		}
	}
}

// stop ends the channel with its app. What was to be told later, in case somebody came back, is told now; of several nodes the others go on
// with that.
func (ch *channel) stop() {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	ch.halt()
	for _, m := range ch.members {
		if m.leaving != nil {
			m.leaving.Stop()
			if ch.app.shared {
				ch.hide(m)
			} else {
				ch.gone(m)
			}
		}
	}
	if !ch.app.shared && ch.sockets == 0 && len(ch.members) == 0 && !ch.dead && ch.occupied {
		ch.vacated()
	}
}

// tellMember tells webhooks of a member.
func (ch *channel) tellMember(event string, m *member) {
	ch.app.tell(event, ch.name, wire.AppendString([]byte(`,"user_id":`), m.text))
}

// tellMiss tells webhooks, once until it is filled, that a cache channel holds nothing.
func (ch *channel) tellMiss() {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	if !ch.missed {
		ch.missed = true
		ch.app.tell("cache_miss", ch.name, nil)
	}
}

// filled notes that a cache channel has an event.
func (ch *channel) filled() {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	ch.missed = false
}
