package pusher

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"weir/relay/cluster"
	"weir/relay/systems/pusher/protocol"
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
		return nil, nil, fmt.Errorf("request of another node: %w", err)
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
	return a.merged[protocol.ChannelOf(a.namespace, name)]
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
		r, _ := a.system.host.Broker().Read(protocol.ChannelOf(a.namespace, q.Name), nil)
		v.State = r.State
	}
	return v
}

// look asks how a channel is. Errors: its owner is not reached.
func (a *app) look(q inquiry) (v view, err error) {
	weir := protocol.ChannelOf(a.namespace, q.Name)
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
	return &part{Name: channel, Sockets: m.connections, ID: m.item.ID, Info: m.item.Info}
}
