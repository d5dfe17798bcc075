package pusher

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"weir/internal/ratelimit"
	"weir/relay"
	"weir/relay/systems/pusher/protocol"
)

// app is an app and what is known of it.
type app struct {
	// Set once.
	system    *System
	id        string
	name      string
	namespace string
	shared    bool // there are several nodes; see nodes.go
	counters  counters

	// Atomic.
	settings    atomic.Pointer[settings] // replaced by Reload
	connections atomic.Int64
	removed     atomic.Bool

	// Guarded by mu, a leaf.
	mu       sync.RWMutex
	channels map[string]*channel // that somebody is subscribed to, or that are still to be told of, by the name in weir
	merged   map[string]*channel // on several nodes: those that this one owns, as all nodes say
	sockets  map[string]*socket  // by id

	users users

	rate struct {
		sync.Mutex
		ratelimit.Bucket // events of backends
	}
}

// settings is what can be set of an app, as it is in force.
type settings struct {
	App
	signers map[string]*protocol.Signer // by key
	hooks   []*hook
	told    map[string]bool // events that some hook wants
}

// counters are an app's metrics.
type counters struct {
	events, clientEvents *metrics.Counter
	refused              map[refusal]*metrics.Counter
	hooks                map[string]*metrics.Counter // by outcome
}

// refusal is why something was refused, as metrics name it.
type refusal string

const (
	refusedSignature   refusal = "signature"
	refusedConnections refusal = "connections"
	refusedOrigin      refusal = "origin"
	refusedRate        refusal = "rate"
	refusedSize        refusal = "size"
	refusedMembers     refusal = "members"
	refusedBacklog     refusal = "backlog"
	refusedForm        refusal = "form"
)

var refusals = []refusal{refusedSignature, refusedConnections, refusedOrigin, refusedRate, refusedSize, refusedMembers, refusedBacklog, refusedForm}

func newApp(s *System, c *App) *app {
	a := &app{system: s, id: c.ID, name: c.Name, namespace: c.Namespace, shared: !s.host.Alone(), channels: make(map[string]*channel), sockets: make(map[string]*socket)}
	a.users.app = a
	set := s.host.Metrics()
	gauge := func(name string, f func() float64) {
		name = fmt.Sprintf("%s{app=%q}", name, a.name)
		set.UnregisterMetric(name) // of an app that was replaced
		set.NewGauge(name, f)
	}
	gauge("weir_pusher_connections", func() float64 { return float64(a.connections.Load()) })
	gauge("weir_pusher_channels", func() float64 { return float64(len(a.occupied(""))) })
	gauge("weir_pusher_users", func() float64 { return float64(a.users.online()) })
	gauge("weir_pusher_held_bytes", func() float64 { return float64(s.host.Held(a.namespace)) })
	gauge("weir_pusher_webhook_waiting", func() float64 {
		n := 0
		for _, h := range a.settings.Load().hooks {
			n += h.queue.Len()
		}
		return float64(n)
	})
	a.counters.events = set.GetOrCreateCounter(fmt.Sprintf("weir_pusher_events_total{app=%q}", a.name))
	a.counters.clientEvents = set.GetOrCreateCounter(fmt.Sprintf("weir_pusher_client_events_total{app=%q}", a.name))
	a.counters.refused = make(map[refusal]*metrics.Counter)
	for _, r := range refusals {
		a.counters.refused[r] = set.GetOrCreateCounter(fmt.Sprintf("weir_pusher_refused_total{app=%q,reason=%q}", a.name, string(r)))
	}
	a.counters.hooks = make(map[string]*metrics.Counter)
	for _, outcome := range []string{"delivered", "retried", "expired", "dropped"} {
		a.counters.hooks[outcome] = set.GetOrCreateCounter(fmt.Sprintf("weir_pusher_webhook_events_total{app=%q,outcome=%q}", a.name, outcome))
	}
	a.settings.Store(new(settings))
	return a
}

// configure puts settings in force. Webhooks that are as before keep what waits for them.
func (a *app) configure(c *App, dev bool) {
	old := a.settings.Load()
	n := &settings{App: *c, signers: make(map[string]*protocol.Signer), told: make(map[string]bool)}
	for _, k := range c.Keys {
		n.signers[k.Key] = protocol.NewSigner(k.Key, k.Secret)
	}
	kept := slices.Clone(old.hooks)
	for i := range c.Webhooks {
		w := &c.Webhooks[i]
		at := slices.IndexFunc(kept, func(h *hook) bool { return h.same(w, c.Keys) })
		if at >= 0 {
			n.hooks = append(n.hooks, kept[at])
			kept = slices.Delete(kept, at, at+1)
		} else {
			n.hooks = append(n.hooks, newHook(a, w, c.Keys[0], dev))
		}
		events := w.Events
		if len(events) == 0 {
			events = hookEvents
		}
		for _, e := range events {
			n.told[e] = true
		}
	}
	a.settings.Store(n)
	a.retire(kept)
}

// retire has webhooks deliver what they have, and get no more. The caller holds the system's mu.
func (a *app) retire(hooks []*hook) {
	for _, h := range hooks {
		h.retired = time.Now()
	}
	a.system.retired = append(a.system.retired, hooks...)
}

// refuse counts a refusal.
func (a *app) refuse(why refusal) { a.counters.refused[why].Inc() }

// takeEvents reports whether backends may send so many events now.
func (a *app) takeEvents(n int) bool {
	limit := a.settings.Load().Limit.Events
	a.rate.Lock()
	defer a.rate.Unlock()
	if !a.rate.TakeMany(n, limit, 2*float64(limit.Count), time.Now()) {
		a.refuse(refusedRate)
		return false
	}
	return true
}

// full reports whether more of the app waits than may.
func (a *app) full() bool {
	if a.system.host.Held(a.namespace) <= int64(a.settings.Load().Limit.Backlog) {
		return false
	}
	a.refuse(refusedBacklog)
	return true
}

// all is the app's connections.
func (a *app) all() []*socket {
	a.mu.RLock()
	defer a.mu.RUnlock()
	list := make([]*socket, 0, len(a.sockets))
	for _, s := range a.sockets {
		list = append(list, s)
	}
	return list
}

// review ends the connections that new settings do not allow.
func (a *app) review() {
	n := a.settings.Load()
	for _, s := range a.all() {
		switch {
		case n.Disabled:
			s.close(protocol.CloseDisabled)
		case n.signers[s.key] == nil:
			s.close(protocol.CloseReconnect) // and is refused then
		}
	}
}

// remove ends an app that is configured no more, or with another name or namespace: clients come back to that. Webhooks are told at once
// who has left. The caller holds the system's mu.
func (a *app) remove() {
	a.removed.Store(true)
	for _, s := range a.all() {
		if (*a.system.byKey.Load())[s.key] != nil {
			s.close(protocol.CloseReconnect)
		} else {
			s.close(protocol.CloseNoApp)
		}
	}
	a.close()
	a.retire(a.settings.Load().hooks)
}

// close ends what the app has running but webhooks, which are told at once of what was to be told later.
func (a *app) close() {
	a.mu.RLock()
	list := make([]*channel, 0, len(a.channels))
	for _, ch := range a.channels {
		list = append(list, ch)
	}
	for _, ch := range a.merged {
		list = append(list, ch)
	}
	a.mu.RUnlock()
	for _, ch := range list {
		ch.stop()
	}
	a.users.close()
}

// again is after how long what a panic has ended is tried again.
const again = time.Second

// after calls f once, on a goroutine of its own, unless the timer is stopped; a second later again if there was a panic.
func (a *app) after(wait time.Duration, what string, f func()) *time.Timer {
	var mu sync.Mutex // f may be due before there is a timer
	mu.Lock()
	defer mu.Unlock()
	var t *time.Timer
	t = a.system.host.Contain().After(wait, what, f, func() {
		mu.Lock()
		defer mu.Unlock()
		t.Reset(again)
	})
	return t
}

var _ relay.Reloader = (*System)(nil)
