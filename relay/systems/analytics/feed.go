package analytics

import (
	"cmp"
	"encoding/json"
	"hash/maphash"
	"maps"
	"slices"
	"strconv"

	"weir/broker"
	"weir/relay/cluster"
	"weir/relay/systems/internal/encode"
)

// What nodes hear of in the channel of the state: seconds, and alerts that are raised or cleared.

// Apply implements hub.Listener.
func (n *nodes) Apply(c *broker.Change) {
	v := broker.ViewOf(c.Encoded)
	n.system.mu.Lock()
	defer n.system.mu.Unlock()
	if v.Op == broker.Send {
		n.apply(c.Seq, v.Group, v.Data, true)
	}
}

// Fill implements hub.Listener. What was published and is not there any more is lost here, but for the totals. What was heard and did not come to be, since the
// owner was cut off when it published it, is counted no more.
func (n *nodes) Fill(k *broker.Kept) {
	s := n.system
	s.mu.Lock()
	defer s.mu.Unlock()
	n.past = n.past || n.first == 0
	first := k.Position.Seq + 1 - uint64(len(k.Changes)) // of the changes
	for len(n.heard) > 0 {
		w := n.heard[len(n.heard)-1]
		if w.seq < first || w.seq <= k.Position.Seq && w.is(&k.Changes[w.seq-first]) {
			break
		}
		n.undo(w)
	}
	goesOn := len(n.heard) > 0 && n.heard[len(n.heard)-1].seq+1 >= first
	for _, r := range s.rules { // those that are raised have an item
		r.raised = false
	}
	for _, item := range k.Items {
		switch item.Group {
		case totalsGroup:
			if !goesOn {
				n.restore(item.Data)
			}
		case alertsGroup:
			for _, r := range s.rules {
				if r.config.Name == item.Key {
					r.restore(item.Data)
				}
			}
		}
	}
	for i := range k.Changes {
		if c := &k.Changes[i]; c.Op == broker.Send {
			n.apply(first+uint64(i), c.Group, c.Data, false)
		}
	}
	s.gap = true // dashboards get a snapshot with the next second
}

// Filled implements hub.Listener.
func (n *nodes) Filled() {}

// restore takes the totals as they were stored, if they are further than what was heard. The caller holds System.mu.
func (n *nodes) restore(data []byte) {
	var totals map[string][2]float64
	if json.Unmarshal(data, &totals) != nil || int64(totals[""][0]) <= n.last {
		return
	}
	s := n.system
	n.last, s.started = int64(totals[""][0]), min(s.started, int64(totals[""][1]))
	s.second = n.last + 1
	for _, label := range slices.Sorted(maps.Keys(totals)) {
		if m := s.byLabel[s.final(label)]; m != nil {
			m.total = point{}
		}
	}
	for _, label := range slices.Sorted(maps.Keys(totals)) {
		if m := s.metricFor(label); m != nil {
			m.total.add(point{uint64(totals[label][0]), totals[label][1]})
		}
	}
}

// apply counts a second, or notes an alert, at a position of the channel. Live says that it has just happened: dashboards are told. The caller holds System.mu.
func (n *nodes) apply(seq uint64, group string, data []byte, live bool) {
	s := n.system
	if group == "alert" {
		var a notice
		if json.Unmarshal(data, &a) == nil {
			n.alert(&a, live)
		}
		return
	}
	var w whole
	if group != "second" || json.Unmarshal(data, &w) != nil || w.Second <= n.last {
		return
	}
	if n.first == 0 {
		n.first = w.Second
	}
	n.last, s.second, n.own = w.Second, w.Second, w.Own
	n.counted = w.Counted
	mine, _ := slices.BinarySearchFunc(n.parts, n.counted[n.session].Number+1, func(p part, number uint64) int { return cmp.Compare(p.Number, number) })
	w.seq, w.digest, w.mine = seq, maphash.Bytes(digests, data), slices.Clone(n.parts[:mine])
	n.parts = slices.Delete(n.parts, 0, mine)
	n.heard = append(n.heard, &w)
	if len(n.heard) > keptChanges {
		n.heard = slices.Delete(n.heard, 0, 1)
	}
	for _, label := range slices.Sorted(maps.Keys(w.Sums)) {
		if m := s.metricFor(label); m != nil {
			m.now.add(w.Sums[label])
		}
	}
	s.roll(w.Second, live)
	if live && s.room.Members() > 0 {
		s.send(encode.Object("type", "nodes", "data", encode.Object("nodes", w.Own.append, "timestamp", w.Second*1000)))
	}
	s.second = w.Second + 1
}

var digests = maphash.MakeSeed()

// is reports whether a change is the one that the second was heard with.
func (w *whole) is(c *broker.KeptChange) bool {
	return c.Op == broker.Send && c.Group == "second" && maphash.Bytes(digests, c.Data) == w.digest
}

// undo counts the newest second no more; what this node had counted is to be counted again. The caller holds System.mu.
func (n *nodes) undo(w *whole) {
	n.heard = n.heard[:len(n.heard)-1]
	n.parts = slices.Concat(w.mine, n.parts)
	n.last, n.counted = w.Second-1, make(map[string]mark)
	if len(n.heard) > 0 {
		before := n.heard[len(n.heard)-1]
		n.last, n.counted = before.Second, before.Counted
	}
	for label, p := range w.Sums {
		if m := n.system.byLabel[n.system.final(label)]; m != nil {
			m.undo(w.Second, p)
		}
	}
}

// alert notes that an alert was raised or cleared. The caller holds System.mu.
func (n *nodes) alert(a *notice, live bool) {
	s := n.system
	for _, r := range s.rules {
		if r.config.Name != a.Name {
			continue
		}
		r.raised, r.since, r.turn, r.value = a.Raised, a.Since, 0, a.Value
		if live {
			s.send(encode.Object("type", "alert", "data", []byte(a.Data)))
		}
	}
}

// past is what one node tells another one that has just come.
type past struct {
	Started int64                  `json:"started"`
	Metrics map[string]pastOfLabel `json:"metrics"`
}

// pastOfLabel is the points of a metric that are not 0.
type pastOfLabel struct {
	Seconds map[int64]point `json:"seconds,omitempty"`
	Minutes map[int64]point `json:"minutes,omitempty"`
}

// tellPast answers a node that has heard of all seconds from one on.
func (n *nodes) tellPast(body []byte) ([]byte, error) {
	before, err := strconv.ParseInt(string(body), 10, 64)
	if err != nil {
		return nil, err
	}
	s := n.system
	s.mu.Lock()
	defer s.mu.Unlock()
	if n.first == 0 || n.past || n.last+1 < before {
		return nil, cluster.ErrNoOwner // it does not know
	}
	answer := past{Started: s.started, Metrics: make(map[string]pastOfLabel)}
	for _, m := range s.order {
		p := pastOfLabel{Seconds: make(map[int64]point), Minutes: make(map[int64]point)}
		put := func(of map[int64]point, step int64, x point) {
			if x.count > 0 {
				of[step] = x
			}
		}
		for second := before - keptSeconds; second < before; second++ {
			put(p.Seconds, second, m.seconds.at(second))
		}
		for minute := before/60 - keptMinutes; minute < before/60; minute++ {
			put(p.Minutes, minute, m.minutes.at(minute))
		}
		put(p.Minutes, before/60, m.seconds.sum(before/60*60, before))
		answer.Metrics[m.label] = p
	}
	return json.Marshal(answer)
}

// askPast asks the others what was before this node had heard of the first second, once.
func (n *nodes) askPast() {
	s := n.system
	s.mu.Lock()
	first, ask := n.first, n.past && n.first > 0
	s.mu.Unlock()
	if !ask {
		return
	}
	answers, _ := s.host.CallAll(callPast, strconv.AppendInt(nil, first, 10))
	var best past
	for _, body := range answers {
		var p past
		if json.Unmarshal(body, &p) == nil && (best.Started == 0 || p.Started < best.Started) {
			best = p
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	n.past = false
	if best.Started > 0 {
		s.started = min(s.started, best.Started)
	}
	for _, label := range slices.Sorted(maps.Keys(best.Metrics)) {
		m := s.metricFor(label)
		if m == nil {
			continue
		}
		m.seconds.before(best.Metrics[label].Seconds)
		m.minutes.before(best.Metrics[label].Minutes)
	}
}

// before adds points of steps that have passed.
func (s *series) before(points map[int64]point) {
	for _, step := range slices.Sorted(maps.Keys(points)) {
		if b := s.blocks[int(step/blockSize%int64(len(s.blocks)))]; b == nil || b.base <= step-step%blockSize { // what is newer stays
			s.add(step, points[step])
		}
	}
}
