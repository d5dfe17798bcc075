package relay

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"weir/internal/contain"
	"weir/relay/admin"
	"weir/relay/api"
	"weir/relay/auth"
	"weir/relay/config"
	"weir/relay/hub"
	"weir/relay/ingress"
	"weir/relay/native"
	"weir/relay/route"
	"weir/relay/session"
	"weir/relay/stats"
)

// Relay is a server. Make it with New.
type Relay struct {
	hub      *hub.Hub // the channels; closed by closeCore
	gate     *ingress.Gate
	sessions *session.Manager
	native   *native.Server
	routes   *route.Routes // of systems
	api      *api.Server
	admin    *admin.Server
	keys     *auth.Keys // of backends

	// Set once by New.
	verifier *auth.Verifier
	systems  []System

	unrecorded bool // no figures are kept for the dashboard: for tests that break the counters, or the clock; set before Serve

	// Set once by Serve, before ready is closed.
	publicAddr net.Addr
	adminAddr  net.Addr
	ready      chan struct{}
}

// New makes a relay with the systems that are to be part of it. It opens no socket; Serve does. Errors are
// about the configuration.
func New(cfg config.Config, log *slog.Logger, systems ...System) (*Relay, error) {
	if err := cfg.Complete(); err != nil {
		return nil, err
	}
	r := &Relay{ready: make(chan struct{})}
	var err error
	if r.hub, err = hub.New(&cfg, log, stats.New(metrics.NewSet(), func() float64 { return float64(r.open()) })); err != nil {
		return nil, err
	}
	if r.keys, err = auth.NewKeys(cfg.APIConfig()); err != nil {
		return nil, err
	}
	if r.gate, err = ingress.New(r.hub, r.keys); err != nil {
		return nil, err
	}
	if r.verifier, err = auth.NewVerifier(r.tokenChecks(&cfg)); err != nil {
		return nil, err
	}
	if r.sessions, err = session.New(r.hub, r.gate, r.verifier, cfg.Clock); err != nil {
		r.verifier.Close()
		r.hub.WorkerPool.Release()
		return nil, err
	}
	if err := r.hub.Start(); err != nil {
		r.verifier.Close()
		r.hub.WorkerPool.Release()
		r.sessions.Close()
		return nil, err
	}
	r.native = native.New(r.hub, r.gate, r.sessions)
	r.routes = route.New(r.hub, r.gate, r.sessions, r.native)
	r.api = api.New(r.hub, r.gate, r.sessions, r.native)
	r.admin = admin.New(r.hub, r.gate, r.sessions, r.api)
	if err := r.startSystems(systems); err != nil {
		r.closeCore()
		return nil, err
	}
	r.api.Complete()
	r.gate.Handler = r.api.Handle
	r.admin.Complete(names(r.systems))
	r.hub.StartCluster()
	return r, nil
}

// names are those of systems.
func names(systems []System) (list []string) {
	for _, s := range systems {
		list = append(list, s.Name())
	}
	return list
}

// tokenChecks is the configuration of the verifier.
func (r *Relay) tokenChecks(cfg *config.Config) auth.Config {
	c := cfg.TokenChecks()
	c.Panic = r.hub.Contain
	return c
}

// open is the number of connections on the public listener.
func (r *Relay) open() int64 {
	if r.gate == nil { // the counters come first
		return 0
	}
	return r.gate.Open()
}

// opened is how many clients have connected since the start.
func (r *Relay) opened() uint64 {
	return r.hub.Counters.Opened.Of("ws").Get() + r.hub.Counters.Opened.Of("sse").Get()
}

// Ready is closed when both listeners are open and Serve takes requests.
func (r *Relay) Ready() <-chan struct{} { return r.ready }

// Addrs are the addresses of the listeners; valid once Ready is closed.
func (r *Relay) Addrs() (public, admin net.Addr) { return r.publicAddr, r.adminAddr }

// Serve listens on the configured addresses and serves until ctx ends; then it drains, flushes everything
// and returns nil. Errors: a listener that does not open or breaks. It may be called once.
func (r *Relay) Serve(ctx context.Context) error {
	r.awaitKeys(ctx)
	// The kernel need not ask whether peers are alive: heartbeats do, and the idle reaper. That saves four calls a connection.
	listener := net.ListenConfig{KeepAlive: -1}
	ln, err := listener.Listen(ctx, "tcp", r.hub.Config.Listen)
	if err != nil {
		r.closeCore()
		return fmt.Errorf("listen: %w", err)
	}
	adm, err := net.Listen("tcp", r.hub.Config.Admin)
	if err != nil {
		_ = ln.Close()
		r.closeCore()
		return fmt.Errorf("listen for admin: %w", err)
	}
	return r.ServeOn(ctx, ln, adm)
}

// keyPatience is how long a start waits for a key set that is fetched.
const keyPatience = 5 * time.Second

// awaitKeys waits for the key set, so that nobody is turned away at the start; without it the relay starts
// all the same and goes on fetching.
func (r *Relay) awaitKeys(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, keyPatience)
	defer cancel()
	if err := r.verifier.WaitKeys(ctx); err != nil {
		r.hub.Log.Warn("starting without the key set", slog.String("error", err.Error()))
	}
}

// ServeOn is Serve on listeners that are open already; it closes them.
func (r *Relay) ServeOn(ctx context.Context, ln, adm net.Listener) error {
	r.publicAddr, r.adminAddr = ln.Addr(), adm.Addr()
	server := r.api.HTTP()

	keeping, stopKeeping := context.WithCancel(context.Background())
	var chores sync.WaitGroup // housekeeping; ended by stopKeeping
	kept := contain.Done(keeping)
	r.sessions.Start(keeping, &chores)
	r.hub.Contain.Loop(&chores, "memory watch", kept, func() { r.hub.Memory.Watch(keeping, r.opened) }, nil)
	if !r.unrecorded {
		r.hub.Contain.Loop(&chores, "recorder", kept, func() { r.admin.Record(keeping) }, nil)
	}
	failed := make(chan error, 4)
	var servers sync.WaitGroup // ended by shutting the servers down
	var ending atomic.Bool     // that has begun
	in := r.gate.Start(keeping, ln, &chores, &servers, ending.Load, func(err error) { failed <- err })
	// The server accepts from a listener that brings nothing: it is what a shutdown closes, and what has it wait for requests.
	none := ingress.NewHandoff(in.Addr())
	r.hub.Contain.Loop(&servers, "HTTP server", ending.Load, func() { failed <- server.Serve(none) }, nil)
	accepting := make(chan struct{})
	r.hub.Contain.Loop(&servers, "HTTP accept", ending.Load, func() {
		if err := r.api.Serve(server, in); !errors.Is(err, net.ErrClosed) {
			failed <- err
		}
		close(accepting)
	}, func() {
		_ = in.Close() // or an event loop would wait for who takes its connections
		close(accepting)
	})
	r.hub.Contain.Loop(&servers, "admin server", ending.Load, func() {
		if err := r.admin.Serve(adm); !errors.Is(err, net.ErrClosed) {
			failed <- err
		}
	}, nil)
	close(r.ready)

	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	ending.Store(true)
	handed := make(<-chan struct{})
	if r.hub.Cluster != nil {
		handed = r.hub.Cluster.HandOver()
	}
	r.sessions.Drain()
	if r.hub.Cluster != nil {
		<-handed
	}
	r.routes.Close()
	r.gate.Stop()
	_ = in.Close()
	<-accepting
	_ = server.ShutdownWithContext(quickly())
	_ = none.Close() // of a server that had not begun
	r.closeCore()
	stopKeeping()
	chores.Wait()
	_ = adm.Close()
	r.admin.Close()
	servers.Wait()
	return err
}

// quickly is a context for a server whose work is done: what is left of requests has a second.
func quickly() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	context.AfterFunc(ctx, cancel)
	return ctx
}

// closeCore ends what startCore started, in the order of the data: nothing accepted is left behind.
func (r *Relay) closeCore() {
	for _, s := range r.systems {
		r.hub.Contain.Do("end of a system", s.Close)
	}
	r.hub.Contain.Do("end of presence", r.hub.Presence.Close)
	r.hub.Pool.Close()
	if r.hub.Cluster != nil {
		if err := r.hub.Cluster.Close(); err != nil {
			r.hub.Log.Error("the node did not leave the cluster in order", slog.String("error", err.Error()))
		}
	}
	if err := r.hub.Broker.Close(); err != nil {
		r.hub.Log.Error("some durable changes are not on disk", slog.String("error", err.Error()))
	}
	r.hub.Workers.Wait()
	_ = r.hub.WorkerPool.ReleaseTimeout(time.Second)
	r.sessions.Close()
	r.verifier.Close()
	r.hub.Tracing.Close()
}

// Reload takes new API keys and token keys; the old ones end at once. Systems take what they say; everything else needs a
// restart. With an error of the keys nothing has changed.
func (r *Relay) Reload(cfg config.Config) error {
	cfg.Dev = r.hub.Config.Dev
	if cfg.DevLocal() != r.hub.Config.DevLocal() { // what is published would come to be, or go
		return errors.New("reload: in development mode listen cannot change from or to a loopback address without a restart")
	}
	if err := cfg.Complete(); err != nil {
		return fmt.Errorf("reload: %w", err)
	}
	if err := r.verifier.Reload(r.tokenChecks(&cfg)); err != nil {
		return fmt.Errorf("reload: %w", err)
	}
	if err := r.keys.Reload(cfg.APIConfig()); err != nil {
		return fmt.Errorf("reload: %w", err)
	}
	for _, s := range r.systems {
		if s, ok := s.(Reloader); ok {
			if err := s.Reload(&cfg); err != nil {
				return fmt.Errorf("reload: %w", err)
			}
		}
	}
	r.hub.Log.Info("keys reloaded", slog.Int("api_keys", len(cfg.API.Keys)), slog.Int("token_keys", len(cfg.Auth.Keys)))
	return nil
}

// Routes are the method and the path of every route of the public listener, in the form "GET /v1/channels".
func (r *Relay) Routes() []string { return r.api.Routes() }
