package analytics

import (
	"encoding/json"
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
		n.apply(v.Group, v.Data, true)
	}
}

// Fill implements hub.Listener. What was published and is not there any more is lost here, but for the totals.
func (n *nodes) Fill(k *broker.Kept) {
	s := n.system
	s.mu.Lock()
	defer s.mu.Unlock()
	n.past = n.past || n.first == 0
	for _, r := range s.rules { // those that are raised have an item
		r.raised = false
	}
	for _, item := range k.Items {
		switch item.Group {
		case totalsGroup:
			n.restore(item.Data)
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
			n.apply(c.Group, c.Data, false)
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

// apply counts a second, or notes an alert. Live says that it has just happened: dashboards are told. The caller holds System.mu.
func (n *nodes) apply(group string, data []byte, live bool) {
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
	n.parts = slices.DeleteFunc(n.parts, func(p part) bool { return p.Number <= n.counted[n.session].Number })
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
