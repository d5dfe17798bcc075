package simulate

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing/synctest"
	"time"

	"weir/internal/memnet"
	"weir/internal/units"
	"weir/relay"
	"weir/relay/config"
)

// What the relay accepts.
const (
	secret = "the secret that simulated clients sign their tokens with"
	apiKey = "the-key-of-the-simulated-backends"
)

// errAway is what a dial gets while there is no relay, or no way to it.
var errAway = errors.New("nobody there")

// server is the relay, one after the other, and the network before it.
type server struct {
	// Set once.
	story   *story
	log     *slog.Logger
	machine *machine
	number  int     // among the nodes
	fabric  *fabric // between them; nil: it is alone

	mu sync.Mutex
	// Guarded by mu.
	ln          *memnet.Listener // nil: away
	conns       map[*memnet.Conn]bool
	incarnation int
	ahead       []time.Duration // of the wall clock when each relay started
	stop        func()          // ends the relay and waits; nil: there is none
	paused      bool
	blocked     []*memnet.Conn // while it is paused, those that have ended meanwhile too

	ending sync.WaitGroup // relays that have crashed and still end
}

// settings is a relay with every kind of channel: kept long, kept short, conflated, and kept on disk, with readers who
// wait for that and who do not.
func settings() config.Config {
	free := config.Bounds{Rate: units.Rate{Count: 1 << 30, Per: time.Second}}
	conflate, size, all := false, 6, 1_000_000
	open := config.Namespace{Subscribe: config.Authenticated, Publish: config.Authenticated, Limit: free, Batch: config.Batch{Conflate: &conflate}}
	short, conflated := open, open
	short.History.Size, short.Slow = &size, config.Resync
	conflated.Batch.Conflate, conflated.Slow = nil, config.Resync
	kept := open
	kept.Durable, kept.History.Size, kept.History.TTL = true, &all, 20*365*24*time.Hour
	safe := kept
	safe.Deliver, safe.Slow = config.AfterDisk, config.Resync
	return config.Config{
		Auth:       config.Auth{Keys: []config.TokenKey{{Algorithm: "HS256", Secret: secret}}},
		API:        config.API{Keys: []config.APIKey{{Name: "backend", Secret: apiKey}}},
		Namespaces: config.Namespaces{"default": open, "log": open, "short": short, "map": conflated, "disk": kept, "safe": safe},
		Limit:      config.Limit{Queue: 64 * units.KiB},
		Drain:      2 * time.Second,
		Shards:     4,
	}
}

// buffer is what the network holds in each direction of a connection: little, so that slow readers are felt.
const buffer = 8 << 10

// start starts a relay.
func (s *server) start() error {
	cfg := settings()
	var ahead time.Duration
	cfg.Wal, cfg.Data, ahead = s.machine.storage()
	if s.fabric != nil {
		s.fabric.settings(&cfg, s.number)
	}
	cfg.Clock = s.machine.clock
	r, err := relay.New(cfg, s.log)
	if err != nil {
		return fmt.Errorf("start: %w", err)
	}
	ln := memnet.Listen("public", buffer)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- r.ServeOn(ctx, ln, memnet.Listen("admin", 0)) }() // ended by stop, which waits
	<-r.Ready()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ln, s.conns = ln, make(map[*memnet.Conn]bool)
	s.incarnation++
	s.ahead = append(s.ahead, ahead)
	s.stop = func() {
		cancel()
		if err := <-ended; err != nil {
			s.story.problem("serve: %v", err)
		}
	}
	return nil
}

// take makes the relay the caller's to end, if there is one.
func (s *server) take() (stop func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	stop, s.stop = s.stop, nil
	return stop
}

// restart drains the relay and starts the next one after a while.
func (s *server) restart(after time.Duration) {
	if stop := s.take(); stop != nil {
		stop()
	}
	s.unplug(buffer) // with a process all of its connections end
	time.Sleep(after)
	s.again()
}

// crash takes the power away at an instant: the network breaks, and whatever the relay still does reaches neither
// anybody nor the disk.
func (s *server) crash(keep int, after time.Duration, seed uint64) {
	tidy := func() {}
	if f := s.fabric; f != nil {
		f.waits <- struct{}{}
		synctest.Wait()
		<-f.waits
	} else {
		synctest.Wait()
		var err error
		if tidy, err = s.machine.cutPower(seed); err != nil {
			s.story.problem("cut the power: %v", err)
		}
	}
	s.unplug(keep)
	if stop := s.take(); stop != nil {
		s.ending.Go(func() {
			stop()
			tidy()
		})
	}
	time.Sleep(after)
	s.again()
}

func (s *server) again() {
	if err := s.start(); err != nil {
		s.story.problem("%v", err)
	}
}

// unplug cuts all connections and the way to the relay; of what is under way keep bytes arrive. plug
// answers the listener to be given back.
func (s *server) unplug(keep int) *memnet.Listener {
	s.mu.Lock()
	defer s.mu.Unlock()
	ln := s.ln
	s.ln = nil
	for c := range s.conns {
		c.Cut(keep)
	}
	clear(s.conns)
	return ln
}

// plug gives the way to the relay back.
func (s *server) plug(ln *memnet.Listener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ln = ln
}

// cutAll cuts all connections; the relay can be reached again at once.
func (s *server) cutAll(keep int) { s.plug(s.unplug(keep)) }

// dial connects. incarnation tells relays apart. The connection is to be given back with hangUp.
func (s *server) dial(ctx context.Context) (nc *memnet.Conn, incarnation int, err error) {
	s.mu.Lock()
	ln, incarnation := s.ln, s.incarnation
	s.mu.Unlock()
	if ln == nil {
		return nil, incarnation, errAway
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if nc, err = ln.Dial(ctx); err != nil {
		return nil, incarnation, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ln != ln { // it was unplugged meanwhile
		_ = nc.Close()
		return nil, incarnation, errAway
	}
	s.conns[nc] = true
	if s.paused {
		nc.BlockPeer(true)
		s.blocked = append(s.blocked, nc)
	}
	return nc, incarnation, nil
}

// pause has the relay get nothing of what clients send for a while, and nothing from other nodes.
func (s *server) pause(lasts time.Duration) {
	set := func(paused bool) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.paused = paused
		for nc := range s.conns {
			if paused {
				s.blocked = append(s.blocked, nc)
			}
		}
		for _, nc := range s.blocked {
			nc.BlockPeer(paused)
		}
		if !paused {
			s.blocked = nil
		}
		s.fabric.stop(s.number, paused)
	}
	set(true)
	time.Sleep(lasts)
	set(false)
}

func (s *server) hangUp(nc *memnet.Conn) {
	s.mu.Lock()
	delete(s.conns, nc)
	s.mu.Unlock()
	_ = nc.Close()
}

// agree says that two relays started with the same clock.
func (s *server) agree(one, other int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ahead[one-1] == s.ahead[other-1]
}

// incarnated is the present relay's incarnation.
func (s *server) incarnated() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.incarnation
}

// close ends the relay for good.
func (s *server) close() {
	if stop := s.take(); stop != nil {
		stop()
	}
	s.ending.Wait()
}
