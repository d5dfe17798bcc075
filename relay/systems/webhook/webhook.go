package webhook

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/panjf2000/ants/v2"
	"github.com/valyala/fasthttp"

	"weir/internal/safedial"
	"weir/relay"
	"weir/relay/config"
	"weir/relay/jsonbody"
	"weir/relay/problem"
)

// lastChance is how long a shutdown lets events be sent that are due.
const lastChance = 2 * time.Second

// System tells backends of events. Make it with New.
type System struct {
	// Set once by Start.
	core      *relay.Core
	pool      *ants.Pool // of attempts; each endpoint bounds its own
	endpoints []*endpoint
	cancel    context.CancelFunc
}

// New makes the system; its endpoints are those of the configuration that it is started with.
func New() *System { return new(System) }

// Name implements relay.System.
func (s *System) Name() string { return config.SystemWebhook }

// Start implements relay.System.
func (s *System) Start(core *relay.Core) error {
	s.core = core
	if err := core.Reserve(Namespace, config.Namespace{Presence: new(bool), Limit: config.Bounds{Items: 1 << 20}, Durable: true}); err != nil {
		return err
	}
	var err error
	if s.pool, err = ants.NewPool(-1, ants.WithPanicHandler(core.Contain().Worker)); err != nil {
		return fmt.Errorf("webhook: start workers: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel = cancel
	for _, w := range core.Config().Webhooks {
		p, err := s.newEndpoint(ctx, w)
		if err == nil {
			s.endpoints = append(s.endpoints, p)
			err = p.restore()
		}
		if err != nil {
			s.Close()
			return fmt.Errorf("webhook %s: %w", w.Name, err)
		}
	}
	if len(s.endpoints) > 0 {
		core.On("*", s.tell)
	}
	core.Backend(http.MethodGet, "/v1/webhooks", s.handleList)
	core.Backend(http.MethodPost, "/v1/webhooks/{name}/replay", s.handleReplay)
	return nil
}

func (s *System) newEndpoint(ctx context.Context, w config.Webhook) (*endpoint, error) {
	for _, other := range s.endpoints {
		if other.config.Name == w.Name {
			return nil, errors.New("there are two of this name")
		}
	}
	p := &endpoint{config: w, ctx: ctx, contain: s.core.Contain(), log: s.core.Log(), lanes: make(map[string]*lane), shelf: newShelf(w.Name, s.core.Broker())}
	p.idle = sync.NewCond(&p.mu)
	for _, secret := range w.Secrets {
		key, err := ParseSecret(secret)
		if err != nil {
			return nil, err
		}
		p.keys = append(p.keys, key)
	}
	if len(p.keys) == 0 {
		return nil, errors.New("a secret is needed")
	}
	p.client = safedial.Client(w.Timeout)
	switch {
	case w.AllowInsecure:
		p.client = safedial.Insecure(w.Timeout)
	case s.core.Config().Dev:
		p.client = safedial.Local(w.Timeout)
	}
	p.run = func(work func()) bool { return s.pool.Submit(work) == nil }
	p.counted = newCounters(s.core.Metrics(), p)
	return p, nil
}

// tell hands an event to the endpoints that want it. It returns when none of them would lose it by a restart.
func (s *System) tell(e *relay.Event) error {
	var waits []func() error
	for _, p := range s.endpoints {
		if !p.wants(e.Topic) {
			continue
		}
		p.counted.accepted.Inc()
		if wait := p.accept(newEvent(e, s.core.Now())); wait != nil {
			waits = append(waits, wait)
		}
	}
	for _, wait := range waits { // for one commit, mostly
		if err := wait(); err != nil {
			s.core.Log().Warn("an event is not on disk: a restart would lose it", slog.String("topic", e.Topic), slog.String("error", err.Error()))
		}
	}
	return nil
}

// wants says whether an endpoint is to be told of a topic.
func (p *endpoint) wants(topic string) bool {
	for _, pattern := range p.config.Topics {
		if config.MatchTopic(pattern, topic) {
			return true
		}
	}
	return false
}

// Close implements relay.System. What is due is sent, for up to two seconds; what is not, and could not be
// delivered so far, stays in its channel.
func (s *System) Close() {
	ctx, cancel := context.WithTimeout(context.Background(), lastChance)
	defer cancel()
	for _, p := range s.endpoints {
		s.core.Contain().Do("last chance of webhooks", func() { p.finish(ctx) })
	}
	s.cancel()
	for _, p := range s.endpoints {
		p.stop()
	}
	_ = s.pool.ReleaseTimeout(time.Second)
}

// status says how the endpoint fares.
func (p *endpoint) status() status {
	dead := p.shelf.deadCount()
	p.mu.Lock()
	defer p.mu.Unlock()
	x := status{Name: p.config.Name, State: stateUp, Waiting: p.size, Dead: dead}
	switch {
	case p.disabled:
		x.State = stateDisabled
	case p.breaker.open:
		x.State = stateDown
	case time.Now().Before(p.paused):
		x.State = statePaused
	}
	return x
}

// handleList is GET /v1/webhooks.
func (s *System) handleList(ctx *fasthttp.RequestCtx) error {
	list := make([]status, 0, len(s.endpoints))
	for _, p := range s.endpoints {
		list = append(list, p.status())
	}
	return jsonbody.Write(ctx, http.StatusOK, map[string]any{"webhooks": list})
}

// handleReplay is POST /v1/webhooks/{name}/replay.
func (s *System) handleReplay(ctx *fasthttp.RequestCtx) error {
	name, _ := ctx.UserValue("name").(string)
	var want struct {
		IDs []string `json:"ids"`
	}
	if len(ctx.PostBody()) > 0 {
		if err := jsonbody.Read(ctx, &want); err != nil {
			return err
		}
	}
	for _, p := range s.endpoints {
		if p.config.Name != name {
			continue
		}
		var only map[string]bool
		if want.IDs != nil {
			only = make(map[string]bool, len(want.IDs))
			for _, id := range want.IDs {
				only[id] = true
			}
		}
		replayed, left, err := p.replay(only)
		if err != nil {
			return err
		}
		return jsonbody.Write(ctx, http.StatusOK, map[string]int{"replayed": replayed, "left": left})
	}
	return problem.New(http.StatusNotFound, "not_found", "there is no webhook of this name", false)
}
