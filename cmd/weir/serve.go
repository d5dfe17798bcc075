package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	stdlog "log"
	"log/slog"
	"net"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"time"

	"weir/internal/contain"
	"weir/relay/config"
	"weir/relay/config/loader"
)

// server is what serve needs of a relay.
type server interface {
	// Serve serves until ctx ends; then it drains and returns nil.
	Serve(ctx context.Context) error
	// Reload takes what may change without a restart. With an error nothing has changed.
	Reload(cfg config.Config) error
	// Ready is closed once requests are taken.
	Ready() <-chan struct{}
	// Addrs are the addresses of the listeners, valid once ready.
	Addrs() (public, admin net.Addr)
}

// opener makes a server. Its errors are about the configuration.
type opener func(cfg config.Config, log *slog.Logger) (server, error)

// doubled is the time within which a second signal is taken for the first: process managers and terminals
// signal a group and its members.
const doubled = 500 * time.Millisecond

// shutdownLimit is how long a shutdown may take: the longest drain, what is left of requests, and the last checkpoint.
// A disk that does not return, or a fault of ours, would hold it for ever. What was acknowledged is on the disk by then,
// and the next start is one after a crash.
const shutdownLimit = 2 * time.Minute

var (
	errImpatient = errors.New("serve: a second signal came before the end of the shutdown")
	errStuck     = fmt.Errorf("serve: the shutdown has not ended within %s; the next start is one after a crash", shutdownLimit)
)

type serveCommand struct {
	configFlags `embed:""`
}

// Help is the detailed help of the command.
func (*serveCommand) Help() string {
	return "Flags win over WEIR_ variables, which win over the file, which wins over the defaults. " +
		"A key such as limits.per_address is the variable WEIR_LIMITS_PER_ADDRESS; WEIR_AUTH_SECRET and WEIR_API_KEY hold one key each. " +
		"SIGTERM and SIGINT drain and end, a second one ends at once; SIGHUP reads the keys, the apps of pusher and the log level again."
}

// Run serves until a signal ends it.
func (c *serveCommand) Run(p *program) error {
	// From here on a signal ends in an orderly shutdown, also one that comes before the listeners are open.
	signals, stop := p.signals()
	defer stop()
	source := c.source(p)
	loaded, err := loader.Load(source)
	if err != nil {
		return &usageError{err}
	}
	cfg := loaded.Config
	level := new(slog.LevelVar)
	format := func(w io.Writer) (*slog.Logger, error) { return newLogger(w, cfg.Log, level) }
	pipe := newLogPipe(p.stderr, lostLines(format))
	defer pipe.close()
	log, err := format(pipe)
	if err != nil {
		return wrongf("serve: %w", err)
	}
	defer takeForeign(log)()
	for _, name := range loaded.Unused {
		log.Warn(unused, slog.String("variable", name))
	}
	for _, note := range loaded.Notes {
		log.Warn("configuration", slog.String("note", note))
	}
	srv, err := p.open(cfg, log)
	if err != nil {
		return wrongf("serve: %w", explain(err))
	}
	s := &service{program: p, source: source, cfg: cfg, server: srv, log: log, level: level}
	return s.run(signals)
}

// takeForeign has lines of the log that libraries use become entries of ours, until undo is called.
func takeForeign(log *slog.Logger) (undo func()) {
	before, flags := stdlog.Writer(), stdlog.Flags()
	stdlog.SetFlags(0)
	stdlog.SetOutput(slog.NewLogLogger(log.Handler(), slog.LevelWarn).Writer())
	return func() {
		stdlog.SetOutput(before)
		stdlog.SetFlags(flags)
	}
}

// service is a running server. run's goroutine owns it.
type service struct {
	*program
	source loader.Source
	cfg    config.Config // as it was at the start
	server server
	log    *slog.Logger
	level  *slog.LevelVar
}

// run returns when the server has ended: nil after a drain that a signal asked for.
func (s *service) run(signals <-chan os.Signal) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	ended := make(chan error, 1)
	// cancel stops it; the loop below waits for it, unless a second signal ends the process.
	hook := contain.Hook(s.panicked)
	hook.Go(nil, "serve", func() { ended <- s.server.Serve(ctx) }, func() { ended <- errPanic })
	ready := s.server.Ready()
	var stopping time.Time     // zero: not yet
	var limit <-chan time.Time // of the shutdown; nil: not yet
	for {
		select {
		case <-limit:
			return errStuck
		case err := <-ended:
			if err != nil {
				return fmt.Errorf("serve: %w", err)
			}
			s.log.Info("stopped")
			return nil
		case <-ready:
			ready = nil
			hook.Do("announce", s.announce)
		case sig := <-signals:
			switch {
			case sig == syscall.SIGHUP && !stopping.IsZero():
			case sig == syscall.SIGHUP:
				hook.Do("reload", s.reload) // with a panic the old configuration stays
			case !stopping.IsZero() && time.Since(stopping) < doubled:
			case !stopping.IsZero():
				return errImpatient
			default:
				stopping, limit = time.Now(), time.After(shutdownLimit)
				s.log.Info("shutting down", slog.String("signal", sig.String()))
				cancel()
			}
		}
	}
}

// errPanic is why serving has ended if a panic did it, which only one at the start or the end of all can.
var errPanic = errors.New("serve: internal error: the log has the details")

// panicked logs a panic of the command itself; the relay has a hook of its own, which counts.
func (s *service) panicked(where string, v any) {
	s.log.Error("panic", slog.String("where", where), slog.String("panic", fmt.Sprint(v)), slog.String("stack", string(debug.Stack())))
}

// announce prints where the server listens.
func (s *service) announce() {
	public, admin := s.server.Addrs()
	s.log.Info("ready", slog.String("listen", public.String()), slog.String("admin", admin.String()),
		slog.Bool("tls", s.cfg.TLS.Cert != ""), slog.Bool("dev", s.cfg.Dev))
	if !s.cfg.Dev {
		return
	}
	text, err := welcome(public, admin, s.cfg)
	if err != nil {
		s.log.Error("cannot make a development token", slog.Any("error", err))
		return
	}
	_, _ = fmt.Fprint(s.stdout, text)
}

// reload reads the configuration again. With a problem in it, the old one stays in force.
func (s *service) reload() {
	loaded, err := loader.Load(s.source)
	if err != nil {
		for line := range strings.SplitSeq(err.Error(), "\n") {
			s.log.Error("the new configuration is not used", slog.String("problem", line))
		}
		return
	}
	cfg := loaded.Config
	if err := s.server.Reload(cfg); err != nil {
		s.log.Error("the new configuration is not used", slog.Any("error", err))
		return
	}
	if err := setLevel(s.level, cfg.Log.Level); err != nil {
		s.log.Error("the log level is not changed", slog.Any("error", err))
		return
	}
	for _, note := range loaded.Notes {
		s.log.Warn("configuration", slog.String("note", note))
	}
	s.log.Info("configuration reloaded")
	if waiting := slices.DeleteFunc(loader.Diff(s.cfg, cfg), isReloaded); len(waiting) > 0 {
		s.log.Warn("some changes need a restart", slog.String("keys", strings.Join(waiting, ", ")))
	}
}

// isReloaded reports whether a change of the key takes effect without a restart.
func isReloaded(key string) bool {
	for _, section := range []string{"auth.keys", "auth.jwks", "auth.issuer", "auth.audience", "auth.leeway", "api.keys", "log.level", "pusher.apps"} {
		if strings.HasPrefix(key, section) {
			return true
		}
	}
	return false
}
