package simulate

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strconv"

	"weir/relay/relaytest/ledger"
)

// position is where a channel's log stands, as the relay writes it.
type position struct {
	Epoch string `json:"epoch"`
	Seq   uint64 `json:"seq"`
}

// state is items by group and key.
type state map[string]map[string]json.RawMessage

// message is anything that the relay says.
type message struct {
	Type      string          `json:"type"`
	ID        json.RawMessage `json:"id"`
	Channel   string          `json:"channel"`
	Code      any             `json:"code"` // a word, or a close code
	Seq       uint64          `json:"seq"`
	Op        string          `json:"op"`
	Group     string          `json:"group"`
	Key       string          `json:"key"`
	Data      json.RawMessage `json:"data"`
	Position  position        `json:"position"`
	Recovered bool            `json:"recovered"`
	Lost      bool            `json:"lost"`
	State     state           `json:"state"`
	Changes   []message       `json:"changes"`
	Messages  []message       `json:"messages"`
}

// view is what a client knows of a channel.
type view struct {
	name      string
	number    uint32 // in the ledger
	conflated bool   // changes may be left out of it
	durable   bool   // kept on disk
	patient   bool   // nothing comes of it that is not safe on disk
	strict    bool   // and nothing is caught up with by a snapshot while it is connected
	known     bool   // there is something to resume from
	follows   bool   // WebSocket: subscribed on this connection, and answered
	asked     bool   // WebSocket: to subscribe, and not answered
	leaving   bool   // WebSocket: unsubscribed, and not answered
	wanted    bool
	at        position
	past      map[string]bool // epochs that it was in
	items     state
	met       meeting // with this connection's relay
	told      meeting // where it was last told where it stands
	firm      string  // an epoch of which a change has come: it is on disk, if the channel is patient
}

// meeting is what was true when a connection was made: what it tells came later.
type meeting struct {
	life  int // of the channel
	relay int // which it was
}

func (v *view) heard() { v.told = v.met }

// oldest is how many restarts later a durable channel still knows where its readers stood, replayed how many changes
// are not too many to be told one by one.
const (
	oldest   = 8
	replayed = 200
)

// stand enters a snapshot.
func (v *view) stand(c *client, m *message) {
	if c.w.clustered() {
		if m.Lost { // of a node that does not know yet, or not any more
			v.past, v.known = nil, false
		} else if v.known && m.Type == "resync" && v.strict && m.Position.Seq != v.at.Seq {
			c.problem("%s: resync at %v, where nothing is lost, to %v", v.name, v.at, m.Position)
		}
	}
	if v.known && m.Position.Epoch != v.at.Epoch && v.past[m.Position.Epoch] {
		c.problem("%s went back from %v to %v", v.name, v.at, m.Position)
	}
	if v.known && m.Position.Epoch == v.at.Epoch && m.Position.Seq < v.at.Seq {
		c.problem("%s went back from %v to %v", v.name, v.at, m.Position)
	}
	life, relay := c.w.lives(int(v.number)), c.server.incarnated()
	whole := c.w.clustered() && m.Type == "resync" && !m.Lost // another owner goes on from there, and nothing is missing
	if !whole && v.patient && v.known && v.firm == v.at.Epoch && m.Position.Epoch != v.at.Epoch && life == v.told.life && life%2 == 0 && relay-v.told.relay < oldest && m.Position.Seq < v.at.Seq+replayed {
		c.problem("%s was lost at %v, and goes on at %v", v.name, v.at, m.Position)
	}
	v.heard()
	if v.past == nil {
		v.past = make(map[string]bool)
	}
	v.past[m.Position.Epoch] = true
	v.known, v.at = true, m.Position
	v.items = state{}
	for group, items := range m.State {
		v.items[group] = maps.Clone(items)
	}
	if !v.conflated {
		c.reader.Told(v.number, ledger.Position(m.Position), c.w.clustered() && v.strict && m.Type == "resync" && !m.Lost)
	}
	c.w.snapshots.Add(1)
}

// answered enters the answer to a subscribe that asked with from, nil for none.
func (v *view) answered(c *client, m *message, asked bool) {
	switch {
	case m.Recovered && !asked:
		c.problem("%s recovered without a position", v.name)
	case !m.Recovered:
		if asked && !m.Lost {
			c.problem("%s was not recovered from %v, and nothing is said to be lost", v.name, v.at)
		}
		v.stand(c, m)
	default:
		v.recovered(c, m)
	}
}

// recovered takes the changes that an answer holds.
func (v *view) recovered(c *client, m *message) {
	if !v.conflated {
		c.reader.Told(v.number, ledger.Position(m.Position), true)
	}
	if m.Position.Epoch != v.at.Epoch {
		if !v.durable && !c.w.clustered() || v.past[m.Position.Epoch] {
			c.problem("%s recovered from %v to %v", v.name, v.at, m.Position)
			return
		}
		v.past[m.Position.Epoch] = true
		v.at.Epoch = m.Position.Epoch // the same log up to here, after a power cut
	}
	v.heard()
	c.w.resumed.Add(1)
	for i := range m.Changes {
		if change := &m.Changes[i]; change.Seq != v.at.Seq+1 && !c.plain {
			c.problem("%s recovered %d after %d", v.name, change.Seq, v.at.Seq)
		}
		v.change(c, &m.Changes[i])
	}
	if v.at != m.Position {
		c.problem("%s recovered up to %v, told %v", v.name, v.at, m.Position)
	}
}

// change applies a change.
func (v *view) change(c *client, m *message) {
	c.w.changes.Add(1)
	if m.Seq <= v.at.Seq || m.Seq != v.at.Seq+1 && !v.conflated {
		c.problem("%s got %d after %d", v.name, m.Seq, v.at.Seq)
	}
	v.at.Seq, v.firm = m.Seq, v.at.Epoch
	data := m.Data
	switch m.Op {
	case "set":
		v.put(m, m.Data)
	case "append":
		if c.plain {
			c.problem("%s got an append at %d, and knows none", v.name, m.Seq)
		}
		text, err := strconv.Unquote(string(m.Data))
		if err != nil && !v.conflated { // of several together there is no stamp
			c.problem("%s: %v in %.200s", v.name, err, m.Data)
		}
		data = json.RawMessage(text)
		if before := v.items[m.Group][m.Key]; before != nil {
			v.put(m, slices.Concat(before[:len(before)-1], m.Data[1:]))
		} else {
			v.put(m, m.Data)
		}
	case "delete":
		if delete(v.items[m.Group], m.Key); len(v.items[m.Group]) == 0 {
			delete(v.items, m.Group)
		}
		return // carries no stamp
	}
	if !v.conflated {
		c.reader.Delivered(v.number, m.Seq, data)
	}
}

// put gives an item a value.
func (v *view) put(m *message, data json.RawMessage) {
	if v.items[m.Group] == nil {
		v.items[m.Group] = make(map[string]json.RawMessage)
	}
	v.items[m.Group][m.Key] = data
}

// same says that a view holds what the relay holds.
func (v *view) same(at position, items state) bool {
	return v.at == at && maps.EqualFunc(v.items, items, func(a, b map[string]json.RawMessage) bool {
		return maps.EqualFunc(a, b, func(a, b json.RawMessage) bool { return bytes.Equal(a, b) })
	})
}
