package analytics

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"weir/broker"
	"weir/internal/pause"
	"weir/relay"
	"weir/relay/cluster"
	"weir/relay/systems/internal/encode"
)

const (
	callParts  = "analytics.parts" // body: the parts of a node that it does not know to be counted
	callPast   = "analytics.past"  // body: a second; the answer is what was before it
	stragglers = 300 * time.Millisecond
	mostParts  = 600 // that wait to be counted: while nobody takes them, for ten minutes
)

// nodes is this node among others. Each counts, and gives the sums of each second to the owner of the state's channel, again and again until they are counted. The owner puts together what has come
// 300 ms after a second, and publishes it in that channel: all nodes hear of it, in one order, and none but through it counts. What a change says is counted is not counted again, whoever
// the owner is. Guarded by System.mu.
type nodes struct {
	system  *System // set once
	session string  // set once: of this process
	name    string  // set once: of the node
	stop    func()  // set once

	running map[string]point // events of the second that is running, by label
	names   int              // how many of these have names
	number  uint64           // of the last part
	parts   []part           // of this node that are not known to be counted, in order

	collected []part          // of all nodes, by the owner, since the second before
	counted   map[string]mark // the last part of each process that is counted
	last      int64           // the second that was published last; 0: none
	heard     []*whole        // the last keptChanges seconds
	first     int64           // the first that was heard here; 0: none
	own       nodeFigures     // of that second
	past      bool            // others are to be asked what was before
}

// nodeFigures are the relay's own figures of a second, by node and label.
type nodeFigures map[string]map[string]float64

// append appends them as JSON.
func (f nodeFigures) append(b []byte) []byte {
	b = append(b, '{')
	for _, node := range slices.Sorted(maps.Keys(f)) {
		values := []byte{'{'}
		for _, label := range slices.Sorted(maps.Keys(f[node])) {
			values = encode.Members(values, label, f[node][label])
		}
		b = encode.Members(b, node, append(values, '}'))
	}
	return append(b, '}')
}

// mark is up to where a process's parts are counted.
type mark struct {
	Number uint64 `json:"n"`
	Second int64  `json:"s"` // in which the last one is
}

// markKept is for how many seconds after its last part a process is known.
const markKept = 3600

// part is the sums of one second of one node.
type part struct {
	Session string             `json:"session"`
	Node    string             `json:"node"`
	Number  uint64             `json:"number"`
	Events  map[string]point   `json:"events,omitempty"` // by label
	Gauges  map[string]float64 `json:"gauges,omitempty"` // the relay's own, by key
	Counts  map[string]uint64  `json:"counts,omitempty"`
}

// whole is a second of all nodes, as it is published.
type whole struct {
	Second  int64            `json:"second"`
	Counted map[string]mark  `json:"counted"` // the last part of each process that is in it, or was in one of the last hour
	Sums    map[string]point `json:"sums"`    // by label
	Own     nodeFigures      `json:"own"`

	// Once it was heard.
	seq    uint64 // where it is in the channel
	digest uint64 // of what was published
	mine   []part // of this node that are in it
}

func newNodes(s *System) *nodes {
	n := &nodes{system: s, session: rand.Text(), name: s.host.Config().Cluster.Node, running: make(map[string]point), counted: make(map[string]mark)}
	s.host.Answer(callParts, func(body []byte) ([]byte, error) {
		var list []part
		if err := json.Unmarshal(body, &list); err != nil {
			return nil, err
		}
		return nil, n.collect(list)
	})
	s.host.Answer(callPast, n.tellPast)
	n.stop = s.host.Listen(stateChannel, n)
	return n
}

// count counts an event of this node. The caller holds System.mu.
func (n *nodes) count(t *topic, x sample) {
	label := t.plain.label
	if x.name != "" {
		label = labelOf(t.kind, t.action, x.name)
		if _, ok := n.running[label]; !ok && n.names >= n.system.limit {
			label = labelOf(t.kind, t.action, other)
		} else if !ok {
			n.names++
			label = strings.Clone(label)
		}
	}
	p := n.running[label]
	p.add(point{1, x.value})
	n.running[label] = p
}

// step ends a second of this node, and gives what is not counted yet to the owner.
func (n *nodes) step() {
	s := n.system
	reading := s.own.readings.Next()
	s.mu.Lock()
	n.number++
	n.parts = append(n.parts, part{n.session, n.name, n.number, n.running, reading.Gauges, reading.Counts})
	if len(n.parts) > mostParts { // the two oldest become one
		n.parts[1].merge(&n.parts[0])
		n.parts = slices.Delete(n.parts, 0, 1)
	}
	n.running, n.names = make(map[string]point), 0
	parts := slices.Clone(n.parts)
	s.mu.Unlock()
	if !s.host.Elsewhere(stateChannel) {
		_ = n.collect(parts)
		return
	}
	body, err := json.Marshal(parts)
	if err == nil {
		_, err = s.host.CallOwner(stateChannel, callParts, body)
	}
	if err != nil { // it comes with the next second
		s.host.Log().Debug("the node that owns analytics cannot be reached", slog.String("error", err.Error()))
	}
}

// merge adds the events of an earlier part.
func (p *part) merge(before *part) {
	for label, q := range before.Events {
		q.add(p.Events[label])
		p.Events[label] = q
	}
	for key, count := range before.Counts {
		p.Counts[key] += count
	}
}

// collect takes parts of a node for the second that is being put together.
func (n *nodes) collect(list []part) error {
	if n.system.host.Elsewhere(stateChannel) {
		return cluster.ErrNoOwner
	}
	n.system.mu.Lock()
	defer n.system.mu.Unlock()
	for _, p := range list {
		again := slices.ContainsFunc(n.collected, func(q part) bool { return q.Session == p.Session && q.Number == p.Number })
		if !again && p.Number > n.counted[p.Session].Number {
			n.collected = append(n.collected, p)
		}
	}
	return nil
}

// publish has all nodes count what has come, if this one is the owner, and raises alerts.
func (n *nodes) publish() {
	s := n.system
	if s.host.Elsewhere(stateChannel) {
		s.mu.Lock()
		n.collected = nil // it comes to the owner
		s.mu.Unlock()
		return
	}
	s.mu.Lock()
	w := n.gather()
	s.mu.Unlock()
	if !n.send("second", w) {
		return
	}
	s.mu.Lock()
	var changed []notice
	if n.last == w.Second { // it has come here
		changed = s.review(w.Second)
	}
	s.mu.Unlock()
	for _, a := range changed {
		if a.Raised {
			s.counted.alerts.Inc()
		}
		s.publishAlert(a) // before others know of it: if this node is lost, the next owner raises it rather twice than never
		n.send("alert", a)
	}
	if w.Second%saveEvery == 0 {
		s.save()
	}
}

// close gives what there is to the owner, or to all, and ends.
func (n *nodes) close() {
	n.step()
	n.publish()
	n.stop()
}

// late waits until what comes late has come, and then has it counted.
func (n *nodes) late(ctx context.Context) {
	if pause.For(ctx, stragglers) == nil {
		n.system.host.Contain().Do("second of analytics", n.publish)
		n.askPast()
	}
}

// send publishes something to all nodes, as long as this one is the owner.
func (n *nodes) send(group string, v any) bool {
	data, err := json.Marshal(v)
	if err == nil {
		_, err = n.system.host.Broker().SubmitOwned(stateChannel, &broker.Publication{Op: broker.Send, Group: group, Data: data})
	}
	if err != nil && !errors.Is(err, broker.ErrNotLoaded) {
		n.system.host.Log().Warn("figures of analytics were not sent to the other nodes", slog.String("error", err.Error()))
	}
	return err == nil
}

// gather puts together what has come. The caller holds System.mu.
func (n *nodes) gather() *whole {
	w := &whole{Second: max(n.last+1, n.system.host.Now().Unix()-1), Counted: maps.Clone(n.counted), Sums: make(map[string]point), Own: make(nodeFigures)}
	maps.DeleteFunc(w.Counted, func(_ string, m mark) bool { return w.Second-m.Second > markKept })
	slices.SortStableFunc(n.collected, func(a, b part) int { return cmp.Compare(a.Number, b.Number) })
	gauges := make(map[string]map[string]float64) // the last of each node
	for _, p := range n.collected {
		if p.Number <= n.counted[p.Session].Number {
			continue
		}
		w.Counted[p.Session] = mark{p.Number, w.Second}
		for _, label := range slices.Sorted(maps.Keys(p.Events)) {
			w.add(n.system.final(label), p.Events[label])
		}
		own := w.Own[p.Node]
		if own == nil {
			own = make(map[string]float64)
			w.Own[p.Node] = own
		}
		for key, v := range p.Gauges {
			own[ownKind+"."+key] = v
		}
		gauges[p.Node] = p.Gauges
		for key, v := range p.Counts {
			own[ownKind+"."+key] += float64(v)
			if v > 0 {
				w.add(ownKind+"."+key, point{v, float64(v)})
			}
		}
	}
	n.collected = nil
	for _, key := range relay.ReadingGauges() {
		if v, ok := together(key, gauges); ok {
			w.add(ownKind+"."+key, point{1, v})
		}
	}
	return w
}

func (w *whole) add(label string, p point) {
	q := w.Sums[label]
	q.add(p)
	w.Sums[label] = q
}

// together is a gauge of all nodes: the sum, but the worst of latencies, and the mean of what is one.
func together(key string, of map[string]map[string]float64) (v float64, ok bool) {
	count := 0.0
	for _, gauges := range of {
		x, there := gauges[key]
		if !there {
			continue
		}
		ok = true
		count++
		if strings.HasPrefix(key, "latency/") {
			v = max(v, x)
		} else {
			v += x
		}
	}
	if key == "batching" && count > 0 {
		v /= count
	}
	return v, ok
}
