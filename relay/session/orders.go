package session

import (
	"cmp"
	"encoding/json"
	"strconv"
	"time"

	"weir/internal/wire"
	"weir/relay/problem"
	"weir/relay/session/revoked"
)

// The kinds of what all nodes do to the sessions that each has. By itself a relay is the only node.
const (
	actDisconnect  = "disconnect"
	actUnsubscribe = "unsubscribe"
)

// order is what is done, and to whom: a user, or a connection if that is "".
type order struct {
	User       string `json:"user,omitempty"`
	Connection string `json:"connection,omitempty"`
	Channel    string `json:"channel,omitempty"`
	Reason     string `json:"reason,omitempty"`
	Code       int    `json:"code,omitempty"`   // of the close; 0: it is forbidden to the client to come back
	Forget     bool   `json:"forget,omitempty"` // what was decided about the user
	Expel      bool   `json:"expel,omitempty"`  // the user, from the channel's presence
}

// Outcome is what came of an order.
type Outcome struct {
	Count  int      // sessions, or subscriptions, that it has ended
	Nodes  int      // that have done it
	Silent []string // nodes that are not heard, and do it when they are
}

// act has the nodes that other ones may order about do so.
func (m *Manager) act() {
	on := func(kind string, f func(o *order, late time.Time) int) {
		m.hub.Act(kind, func(body []byte, late time.Time) []byte {
			var o order
			if json.Unmarshal(body, &o) != nil { // of a node that is newer
				return nil
			}
			return strconv.AppendInt(nil, int64(f(&o, late)), 10)
		})
	}
	on(actDisconnect, m.disconnect)
	on(actUnsubscribe, func(o *order, _ time.Time) int { return m.unsubscribe(o) })
	m.hub.Missed(m.reconnect)
}

// everywhere has all nodes carry out an order.
func (m *Manager) everywhere(kind string, o order, wait bool) Outcome {
	body, err := json.Marshal(o)
	if err != nil { // of strings
		return Outcome{}
	}
	told := m.hub.Notify(kind, body, wait)
	out := Outcome{Nodes: len(told.Answers), Silent: told.Silent}
	for _, b := range told.Answers {
		n, _ := strconv.Atoi(string(b))
		out.Count += n
	}
	return out
}

// Disconnect ends the sessions of a user, or the one of a connection if user is "", on all nodes.
func (m *Manager) Disconnect(user, connection, reason string) Outcome {
	return m.everywhere(actDisconnect, order{User: user, Connection: connection, Reason: reason}, true)
}

func (m *Manager) disconnect(o *order, late time.Time) (n int) {
	if o.User != "" {
		m.hub.Namespaces.Forget(o.User, "")
	}
	if m.connector != nil && o.Code == 0 {
		m.connector.Dismiss(o.User, o.Connection)
	}
	for _, s := range m.of(o.User, o.Connection) {
		if late.IsZero() || s.opened <= late.UnixMilli() {
			s.Close(Closing{Code: cmp.Or(o.Code, wire.CloseForbidden), Reason: o.Reason})
			n++
		}
	}
	return n
}

// reconnect ends sessions that may have missed an order: their clients come back, and are let in or not.
func (m *Manager) reconnect(since time.Time) {
	for _, s := range m.sessions.all() {
		if s.opened <= since.UnixMilli() {
			s.Close(comeBack(time.Second))
		}
	}
}

// Unsubscribe ends the subscriptions of a user, or of a connection if user is "", to a channel on all nodes, and tells them why.
func (m *Manager) Unsubscribe(user, connection, channel, reason string) Outcome {
	return m.everywhere(actUnsubscribe, order{User: user, Connection: connection, Channel: channel, Reason: reason, Forget: true}, true)
}

// Revoke ends a user's subscriptions to a channel; each of their connections that has one is told with "unsubscribed". It returns how many
// there were on this node, and waits for no other one.
func (m *Manager) Revoke(user, channel, reason string) int {
	return m.everywhere(actUnsubscribe, order{User: user, Channel: channel, Reason: reason, Expel: true}, false).Count
}

func (m *Manager) unsubscribe(o *order) (n int) {
	why := problem.Forbidden
	if o.Reason != "" {
		why = why.With(o.Reason)
	}
	if o.Expel {
		m.hub.Presence.Expel(o.Channel, o.User)
	}
	if o.Forget && o.User != "" {
		m.hub.Namespaces.Forget(o.User, o.Channel)
	}
	m.revocations.Add(revoked.Revocation{User: o.User, Connection: o.Connection, Channel: o.Channel, Why: why})
	for _, s := range m.of(o.User, o.Connection) {
		if s.protocol.Denied(o.Channel, why) {
			n++
		}
	}
	return n
}
