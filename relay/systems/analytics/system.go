package analytics

import (
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"sync"
	"time"

	"weir/internal/contain"
	"weir/internal/pause"
	"weir/relay"
	"weir/relay/config"
	"weir/relay/hub"
	"weir/relay/systems/internal/encode"
)

// Namespace is where the system stores its state.
const Namespace = "analytics"

// saveEvery is how often the totals are stored, in seconds.
const saveEvery = 10

// keptChanges is how many changes of the state's channel are kept.
const keptChanges = 6 * saveEvery

// System counts events. New creates it.
type System struct {
	// Set once by Start.
	host    relay.Host
	room    *relay.Group // the dashboards
	live    relay.WebSocketRoute
	rules   []*rule
	own     *own
	limit   int    // metrics of events
	nodes   *nodes // nil: there are no others
	counted counters
	started int64
	cancel  context.CancelFunc
	ended   sync.WaitGroup // run

	// Guarded by mu.
	mu      sync.Mutex
	topics  []topic
	order   []*metric // as they came into being
	byLabel map[string]*metric
	ofEvent int   // metrics that are not the relay's own
	second  int64 // that is running
	gap     bool  // a second could not be sent to dashboards
	dirty   bool  // totals have changed since they were stored
}

// topic is the metrics of a topic.
type topic struct {
	kind, action string
	plain        *metric            // of events without a name
	named        map[string]*metric // by name
	other        *metric            // of names beyond the limit; nil: none so far
}

// New creates the system; its alerts are those of the configuration that it is started with.
func New() *System { return new(System) }

func (s *System) Name() string { return Name }

func (s *System) Start(host relay.Host) error {
	s.host = host
	cfg := *config.Of[Config](host.Config())
	// A second's updates leave together.
	if err := host.Reserve(Namespace, config.Namespace{
		Durable: host.Alone(), Unmeasured: true, Presence: new(bool), History: config.History{Size: new(keptChanges)}, Batch: config.Batch{Eager: new(bool)},
	}); err != nil {
		return err
	}
	s.room = host.Group(Namespace + ":live")
	s.counted = newCounters(host.Metrics(), s)
	s.byLabel = make(map[string]*metric)
	s.limit = cfg.Metrics
	for _, name := range topics() {
		kind, action, _ := splitLabel(name)
		s.topics = append(s.topics, topic{kind: kind, action: action, plain: s.add(kind, action, "", false), named: make(map[string]*metric)})
		i := len(s.topics) - 1
		host.On(name, func(e *hub.Event) error { return s.count(i, e.Data) })
	}
	s.own = newOwn(host, s.add)
	for _, a := range cfg.Alerts {
		_, action, name := splitLabel(a.Metric)
		gauge := s.own.gauges[action] != nil || s.own.gauges[action+"/"+name] != nil
		s.rules = append(s.rules, newRule(a, gauge))
	}
	s.second = host.Now().Unix()
	s.started = s.second
	if host.Alone() {
		s.restore()
	} else {
		s.nodes = newNodes(s)
	}
	s.live = s.dashboards()
	host.WebSocket("/analytics/live", s.live)
	host.AdminWebSocket("/analytics/live", s.live)
	s.serveHistory()
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel = cancel
	host.Contain().Loop(&s.ended, "analytics", contain.Done(ctx), func() { s.run(ctx) }, nil) // Close ends it and waits
	return nil
}

func (s *System) Close() {
	s.cancel()
	s.ended.Wait()
	if s.nodes != nil { // the others have it
		s.nodes.close()
		return
	}
	s.mu.Lock()
	for _, m := range s.order {
		m.roll(s.second)
	}
	s.dirty = true
	s.mu.Unlock()
	s.save()
}

// add creates a metric. The caller holds s.mu, or is Start.
func (s *System) add(kind, action, name string, gauge bool) *metric {
	m := newMetric(kind, action, name, gauge)
	s.order = append(s.order, m)
	s.byLabel[m.label] = m
	if kind != ownKind {
		s.ofEvent++
	}
	return m
}

// count counts an event of the i-th topic.
func (s *System) count(i int, data []byte) error {
	x, err := parse(data)
	if err != nil {
		s.counted.refused.Inc()
		return err
	}
	s.counted.events.Inc()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.nodes != nil {
		s.nodes.count(&s.topics[i], x)
		return nil
	}
	m := s.metricOf(&s.topics[i], x.name)
	m.now.count++
	m.now.sum += x.value
	return nil
}

// topicOf returns the topic of a label of events, and the name in it; nil if it is none.
func (s *System) topicOf(label string) (*topic, string) {
	kind, action, name := splitLabel(label)
	for i := range s.topics {
		if t := &s.topics[i]; kind == t.kind && action == t.action {
			return t, name
		}
	}
	return nil, ""
}

// metricFor returns the metric of a label, as metricOf does; nil for what is none. The caller holds s.mu.
func (s *System) metricFor(label string) *metric {
	if t, name := s.topicOf(label); t != nil {
		return s.metricOf(t, name)
	}
	return s.byLabel[label]
}

// final is the label under which a label of another node is counted: metrics are bounded. The caller holds s.mu.
func (s *System) final(label string) string {
	t, name := s.topicOf(label)
	if t == nil || name == "" || t.named[name] != nil || s.ofEvent < s.limit+len(s.topics) {
		return label
	}
	return labelOf(t.kind, t.action, other)
}

// metricOf returns the metric of a name. It creates one if there is room. The caller holds s.mu.
func (s *System) metricOf(t *topic, name string) *metric {
	if name == "" {
		return t.plain
	}
	if m := t.named[name]; m != nil {
		return m
	}
	if s.ofEvent >= s.limit+len(s.topics) {
		if t.other == nil {
			t.other = s.add(t.kind, t.action, other, false)
		}
		return t.other
	}
	name = strings.Clone(name) // it is part of the event
	m := s.add(t.kind, t.action, name, false)
	t.named[name] = m
	if name == other {
		t.other = m
	}
	return m
}

// run closes one second after the other until ctx is done.
func (s *System) run(ctx context.Context) {
	for pause.For(ctx, s.untilNext()) == nil {
		s.host.Contain().Do("second of analytics", s.step)
		if s.nodes != nil {
			s.nodes.late(ctx)
		}
	}
}

// untilNext is the time until the next second of the clock.
func (s *System) untilNext() time.Duration {
	now := s.host.Now()
	return now.Truncate(time.Second).Add(time.Second).Sub(now)
}

// step closes the second that is running and publishes it.
func (s *System) step() {
	if s.nodes != nil {
		s.nodes.step()
		s.sendTop(s.host.Now().Unix() - 1)
		return
	}
	second, changed := s.next()
	s.sendTop(second)
	for _, a := range changed {
		s.publishAlert(a)
	}
	if second%saveEvery == 0 {
		s.save()
	}
}

// next closes the second that is running, and begins the next one.
func (s *System) next() (second int64, changed []notice) {
	reading := s.own.readings.Next()
	s.mu.Lock()
	defer s.mu.Unlock()
	// Time goes on by a second at least, even if the clock was set back, or dashboards would see one twice; and after a
	// panic, which costs its second.
	defer func() { s.second = max(s.second+1, s.host.Now().Unix()) }()
	s.own.add(reading)
	return s.second, s.close(s.second)
}

// notice is an alert that has been raised or cleared.
type notice struct {
	Name   string          `json:"name"`
	Raised bool            `json:"raised"`
	Since  int64           `json:"since"`
	Value  float64         `json:"value"`
	Data   json.RawMessage `json:"data"`
}

// close rolls every metric up, sends it to dashboards, and returns the alerts that have changed. The caller holds s.mu.
func (s *System) close(second int64) []notice {
	s.roll(second, true)
	changed := s.review(second)
	for _, a := range changed {
		if a.Raised {
			s.counted.alerts.Inc()
		}
		s.send(encode.Object("type", "alert", "data", []byte(a.Data)))
	}
	return changed
}

// roll rolls every metric up, and sends it to dashboards if it is live. The caller holds s.mu.
func (s *System) roll(second int64, live bool) {
	if live && s.gap {
		s.gap = s.room.Send(relay.GroupMessage{Data: s.snapshot(second - 1)}) != nil
	}
	audience := live && s.room.Members() > 0
	for _, m := range s.order {
		p := m.roll(second)
		s.dirty = s.dirty || p.count > 0 && m.kind != ownKind
		if p.count == 0 && (!m.sent || m.gauge) {
			continue
		}
		m.sent = p.count > 0
		if audience {
			s.send(m.update(p, second))
		}
	}
}

// review evaluates the rules after a second, and returns the alerts that have changed. The caller holds s.mu.
func (s *System) review(second int64) (changed []notice) {
	for _, r := range s.rules {
		if r.step(s.byLabel[r.config.Metric], second, s.started) {
			changed = append(changed, notice{r.config.Name, r.raised, r.since, r.value, r.json(second)})
		}
	}
	return changed
}

// send sends dashboards a message. The caller holds s.mu.
func (s *System) send(data []byte) {
	if err := s.room.Send(relay.GroupMessage{Data: data}); err != nil && !s.gap {
		s.gap = true
		s.host.Log().Warn("the figures of a second were not sent to dashboards", slog.String("error", err.Error()))
	}
}
