package analytics

import (
	"encoding/json"
	"log/slog"

	"weir/broker"
	"weir/relay/hub"
	"weir/relay/systems/internal/encode"
)

// The state of the system, in its channel.
const (
	stateChannel = Namespace + ":state"
	totalsGroup  = "counters"
	totalsKey    = "totals"
	alertsGroup  = "alerts"
)

// alertTopic is the topic that is emitted when an alert is raised or cleared.
const alertTopic = "analytics.alert"

// save stores the totals, if they have changed.
func (s *System) save() {
	s.mu.Lock()
	if !s.dirty {
		s.mu.Unlock()
		return
	}
	s.dirty = false
	b := []byte{'{'}
	if s.nodes != nil { // after which second that is, and since when there is something
		b = encode.Members(b, "", func(b []byte) []byte {
			return encode.List(b, []float64{float64(s.nodes.last), float64(s.started)}, encode.Number)
		})
	}
	for _, m := range s.order {
		if m.kind != ownKind {
			b = encode.Members(b, m.label, func(b []byte) []byte {
				return encode.List(b, []float64{float64(m.total.count), m.total.sum}, encode.Number)
			})
		}
	}
	s.mu.Unlock()
	s.publish(&broker.Publication{Op: broker.Set, Group: totalsGroup, Key: totalsKey, Data: append(b, '}')})
}

// publishAlert stores an alert while it is raised, and emits its topic.
func (s *System) publishAlert(n notice) {
	p := &broker.Publication{Op: broker.Delete, Group: alertsGroup, Key: n.Name}
	if n.Raised {
		p.Op, p.Data = broker.Set, n.Data
	}
	s.publish(p)
	if err := s.host.Emit(&hub.Event{Topic: alertTopic, Key: "alert:" + n.Name, Data: n.Data}); err != nil {
		s.host.Log().Warn("alert not emitted", slog.String("alert", n.Name), slog.String("error", err.Error()))
	}
}

func (s *System) publish(p *broker.Publication) {
	p.Ack = broker.AckMemory // nobody waits for it
	if _, err := s.host.Publish(stateChannel, p); err != nil {
		s.host.Log().Warn("figures of analytics were not stored", slog.String("key", p.Key), slog.String("error", err.Error()))
	}
}

// restore restores what was stored. Called by Start.
func (s *System) restore() {
	var totals map[string][2]float64
	if data, _, ok := s.host.Broker().Item(stateChannel, totalsGroup, totalsKey); ok && json.Unmarshal(data, &totals) == nil {
		for i := range s.topics {
			t := &s.topics[i]
			for label, total := range totals {
				kind, action, name := splitLabel(label)
				if kind == t.kind && action == t.action {
					s.metricOf(t, name).total.add(point{uint64(total[0]), total[1]})
				}
			}
		}
	}
	for _, r := range s.rules {
		data, _, ok := s.host.Broker().Item(stateChannel, alertsGroup, r.config.Name)
		if ok {
			r.restore(data)
		}
	}
}

// restore has a rule be raised, as it was stored.
func (r *rule) restore(data []byte) {
	var was struct {
		Since int64 `json:"since"`
	}
	if json.Unmarshal(data, &was) == nil {
		r.raised, r.since = true, was.Since/1000
	}
}
