package webhook

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"github.com/valyala/fasthttp"

	"weir/broker"
	"weir/relay"
	"weir/relay/config"
	"weir/relay/hub"
	"weir/relay/jsonbody"
	"weir/relay/problem"
)

// lastChance is how long a shutdown goes on sending events that are due.
const lastChance = 2 * time.Second

// System sends events to backends. New creates it.
type System struct {
	// Set once by Start.
	host      relay.Host
	endpoints []*endpoint
	cancel    context.CancelFunc
	lifecycle *lifecycle // nil: no endpoint wants to know
	nodes     bool       // there are others
}

// New creates the system; its endpoints are those of the configuration that it is started with.
func New() *System { return new(System) }

func (s *System) Name() string { return Name }

func (s *System) Start(host relay.Host) error {
	s.host, s.nodes = host, !host.Alone()
	if err := host.Reserve(Namespace, config.Namespace{Presence: new(bool), Limit: config.Bounds{Items: 1 << 20}, Durable: true}); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel = cancel
	for _, w := range *config.Of[Config](host.Config()) {
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
		host.On("*", s.dispatch)
	}
	s.lifecycle = newLifecycle(s, host, *config.Of[Config](host.Config()))
	if s.nodes {
		s.share()
	}
	host.Backend(http.MethodGet, "/v1/webhooks", s.handleList)
	host.Backend(http.MethodPost, "/v1/webhooks/{name}/replay", s.handleReplay)
	return nil
}

// channels is where events are kept; nil: in memory.
func (s *System) channels() *broker.Broker {
	if s.nodes {
		return nil
	}
	return s.host.Broker()
}

// dispatch queues an event for the endpoints that want it. It returns when a restart does not lose it.
func (s *System) dispatch(e *hub.Event) error {
	if e.Connection != "" && slices.Contains(lifecycleTopics, e.Topic) {
		return problem.Forbidden.With("this topic is reserved for the relay")
	}
	var waits []func() error
	for _, p := range s.endpoints {
		if !slices.ContainsFunc(p.config.Topics, func(pattern string) bool { return config.MatchTopic(pattern, e.Topic) }) {
			continue
		}
		p.counters.accepted.Inc()
		if wait := p.accept(newEvent(e, s.host.Now())); wait != nil {
			waits = append(waits, wait)
		}
	}
	for _, wait := range waits { // one commit, mostly
		if err := wait(); err != nil {
			s.host.Log().Warn("event is not on disk: a restart would lose it", slog.String("topic", e.Topic), slog.String("error", err.Error()))
		}
	}
	return nil
}

// Close implements relay.System. It goes on sending what is due for up to two seconds. What is not delivered then stays in
// its channel, or is another node's.
func (s *System) Close() {
	s.lifecycle.stop()
	ctx, cancel := context.WithTimeout(context.Background(), lastChance)
	defer cancel()
	for _, p := range s.endpoints {
		s.host.Contain().Do("last chance of webhooks", func() { p.finish(ctx) })
	}
	s.cancel()
	for _, p := range s.endpoints {
		p.stop()
	}
	if s.nodes {
		s.handOver()
	}
}

// handleList is GET /v1/webhooks.
func (s *System) handleList(ctx *fasthttp.RequestCtx) error {
	list, silent := s.statuses()
	return jsonbody.Write(ctx, http.StatusOK, struct {
		Webhooks []status `json:"webhooks"`
		Silent   []string `json:"silent,omitempty"` // nodes that have not said
	}{list, silent})
}

// handleReplay is POST /v1/webhooks/{name}/replay.
func (s *System) handleReplay(ctx *fasthttp.RequestCtx) error {
	name, _ := ctx.UserValue("name").(string)
	want := replayOrder{Name: name}
	if len(ctx.PostBody()) > 0 {
		if err := jsonbody.Read(ctx, &want); err != nil {
			return err
		}
		want.Name = name
	}
	out, err := s.replay(&want)
	if err != nil {
		return err
	}
	return jsonbody.Write(ctx, http.StatusOK, out)
}

// replayOrder is what is to be sent again.
type replayOrder struct {
	Name string   `json:"-"` // of the endpoint
	IDs  []string `json:"ids"`
}

// replayed is what has come of it.
type replayed struct {
	Replayed int      `json:"replayed"`
	Left     int      `json:"left"`
	Silent   []string `json:"silent,omitempty"` // nodes that have not answered
}

// endpoint returns one by its name. Error: there is none.
func (s *System) endpoint(name string) (*endpoint, error) {
	for _, p := range s.endpoints {
		if p.config.Name == name {
			return p, nil
		}
	}
	return nil, problem.New(http.StatusNotFound, "not_found", "no webhook has this name", false)
}
