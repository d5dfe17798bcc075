package loadtest

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"weir/loadtest/codec"
	"weir/loadtest/record"
	"weir/loadtest/scenario"
	"weir/loadtest/target"
	"weir/loadtest/unit"
)

// engine holds the connections of a test, over one or more trials.
type engine struct {
	// Set once by newEngine.
	cfg        Config
	plan       *scenario.Plan // of the first trial; later ones differ in rate and length only
	target     target.Target
	traits     target.Traits
	clock      clock
	sub, pub   target.Endpoint
	at, to     []netip.AddrPort // of subscribers and publishers
	turn       atomic.Uint32    // connections of users, which take the addresses in turn
	names      []string         // of channels
	tokens     []string         // by user
	checked    loop
	counted    []loop
	publishers *publishers
	churn      *churn
	fleet      *fleet
	usage      usage
	readLag    *record.Meter // owned by the checked loop
	readings   *readings     // likewise
	procs      int           // GOMAXPROCS before
	id         string        // of this test, in the names of visitors

	tally tally // atomic

	// Atomic.
	settingUp   atomic.Bool
	publishing  atomic.Int64 // publishers that are connected
	greeting    chan error   // the outcome of the first publish; room for one
	failed      chan error   // the first failure of setup; room for one
	idleBefore  int64        // RSS of the target without connections; owned by Run's goroutine
	price       *unit.Price  // of a small write on this machine; nil: not known. Owned by Run's goroutine
	unpriced    string       // why it is not known; likewise
	troubleOnce sync.Mutex
	troubles    []string      // guarded by troubleOnce
	troubleN    int           // guarded by troubleOnce
	connects    *record.Meter // guarded by troubleOnce
}

// userPool is how many users visitors share.
const userPool = 4096

// joinMost bounds publishers × channels where publishers have to join them.
const joinMost = 200_000

// cellMost bounds publishers × channels, for which numbers are kept.
const cellMost = 50_000_000

// newEngine checks what can be checked without a connection, and starts the loops.
func newEngine(ctx context.Context, cfg Config) (e *engine, err error) {
	if cfg.Setup == 0 {
		cfg.Setup = 10 * time.Second
	}
	e = &engine{
		cfg: cfg, clock: clock{time.Now()}, readLag: record.NewMeter(3), readings: newReadings(), connects: record.NewMeter(3),
		id: fmt.Sprintf("%08x", rand.Uint32()), greeting: make(chan error, 1), failed: make(chan error, 1),
	}
	if e.plan, err = scenario.New(cfg.Scenario); err != nil {
		return nil, err
	}
	var sub, pub target.Endpoint
	if e.target, sub, pub, err = target.New(cfg.Target); err != nil {
		return nil, err
	}
	e.traits = e.target.Traits()
	if err := errors.Join(e.possible(), e.sharable()); err != nil {
		return nil, err
	}
	if e.at, err = resolve(&cfg, sub); err != nil {
		return nil, err
	}
	e.sub, e.pub = sub, pub
	to, err := resolve(&cfg, pub)
	if err != nil {
		return nil, err
	}
	e.to = to
	if err := raiseDescriptors(e.descriptors()); err != nil {
		return nil, err
	}
	for i := range e.plan.Channels {
		e.names = append(e.names, e.plan.ChannelName(i))
	}
	for i := range max(e.plan.Connections(), userPool) {
		token, err := e.token(fmt.Sprintf("u%d", i+e.part().Subscriber))
		if err != nil {
			return nil, setupError("make a token: %w", err)
		}
		e.tokens = append(e.tokens, token)
	}
	if err := e.prepare(ctx); err != nil {
		return nil, err
	}
	return e, e.startLoops(sub, pub, to)
}

// prepare has channels made that do not come into being by being named.
func (e *engine) prepare(ctx context.Context) error {
	p, ok := e.target.(target.Preparer)
	if !ok {
		return nil
	}
	owner := "bench-" + e.id
	token, err := e.token(owner)
	if err != nil {
		return setupError("make a token: %w", err)
	}
	members := make([][]string, e.plan.Channels)
	for i := range e.plan.Subscribers {
		user, _ := e.userAt(i)
		for _, ch := range e.plan.Follows(i) {
			members[ch] = append(members[ch], user)
		}
	}
	if e.names, err = p.Prepare(ctx, owner, token, members); err != nil {
		return setupError("%s: %w", e.cfg.Target.URL, err)
	}
	return nil
}

func (e *engine) token(user string) (string, error) {
	if e.cfg.Token == nil {
		return "", nil
	}
	return e.cfg.Token(user)
}

func (e *engine) userAt(i int) (user, token string) {
	return fmt.Sprintf("u%d", i+e.part().Subscriber), e.tokens[i]
}

// possible refuses what this kind of target cannot do.
func (e *engine) possible() error {
	p := e.plan
	cannot := func(what string) error { return setupError("target %s %s", e.cfg.Target.Name, what) }
	herd := false
	for _, s := range p.Steps {
		herd = herd || s.Herd
	}
	switch {
	case p.Batch > e.traits.Batch:
		return cannot(fmt.Sprintf("takes %d messages in one request at most, not %d", e.traits.Batch, p.Batch))
	case p.Presence && e.traits.Presence == "":
		return cannot("does not report who is in a channel")
	case herd && !e.traits.Resume:
		return cannot("cannot resume where a connection stood, as herd does")
	case e.traits.Joins && p.Measure != scenario.Echo && p.Measure != scenario.Script && p.Publishers*p.Channels > joinMost:
		return setupError("%d publishers would have to join %d channels each: expected %d subscriptions of publishers at most (--publishers, --channels)", p.Publishers, p.Channels, joinMost)
	case p.Publishers*p.Channels > cellMost:
		return setupError("%d publishers on %d channels are too many to keep numbers for", p.Publishers, p.Channels)
	case e.traits.One() && p.Follow > 1:
		return cannot("follows one channel on a connection")
	case e.traits.Single && p.Channels > 1 && p.Subscribers > 0 && p.Measure == scenario.Delivery:
		return setupError("target %s as described has nothing that tells %d channels apart: expected a channel in --url (%s), or --channels 1", e.cfg.Target.Name, p.Channels, place(e.cfg.Target))
	case e.traits.Bound && p.Publishers < p.Channels && p.Measure == scenario.Delivery:
		return setupError("target %s publishes on WebSockets that have one channel each: expected a publisher for each of %d channels (--publishers)", e.cfg.Target.Name, p.Channels)
	}
	return nil
}

// place is how an address says the channel.
func place(o target.Options) string {
	if o.Protocol != nil {
		return "{{channel}}"
	}
	return "{channel}"
}

// descriptors is how many the test needs.
func (e *engine) descriptors() int {
	if e.cfg.Dial != nil {
		return 0
	}
	p := e.plan
	n := p.Subscribers + p.Publishers + 128
	if p.Measure == scenario.Script { // a user may have a connection for publishing beside its own
		n += p.Publishers
	}
	if p.Measure == scenario.Connect || p.Churn > 0 || p.Trace != nil {
		n += p.Inflight + int(p.Churn*p.Stay.Seconds()*1.5)
	}
	return n
}

// startLoops starts one loop that publishes, one for visitors, one that checks, and as many that count
// as there are processors to spare.
func (e *engine) startLoops(sub, pub target.Endpoint, to []netip.AddrPort) (err error) {
	counting := min(max(1, runtime.NumCPU()/2), 16)
	e.procs = runtime.GOMAXPROCS(0)
	if want := counting + 5; e.procs < want { // loops block in system calls: let the kernel choose between them
		runtime.GOMAXPROCS(want)
	}
	start := func(at target.Endpoint, addrs []netip.AddrPort, cfg loopConfig) (l loop) {
		if err != nil {
			return nil
		}
		cfg.clock, cfg.targets, cfg.dial = e.clock, addrs, e.connector(at)
		if l, err = newLoop(cfg); err != nil {
			err = setupError("start a loop: %w", err)
		}
		return l
	}
	e.publishers = newPublishers(e)
	e.churn = &churn{e: e, took: record.NewMeter(3)}
	var ticks []*dockTick
	beat := func() ticker {
		if beatEvery(e.target) == 0 {
			return nil
		}
		t := &dockTick{}
		ticks = append(ticks, t)
		return t.tick
	}
	e.checked = start(sub, e.at, loopConfig{tick: beat(), slice: 200 * time.Microsecond, busy: func(d time.Duration) { e.readLag.Record(int64(d)) }})
	for range counting {
		e.counted = append(e.counted, start(sub, e.at, loopConfig{tick: beat(), nap: 2 * time.Millisecond}))
	}
	e.publishers.l = start(pub, to, loopConfig{slice: 100 * time.Microsecond, tick: func(now int64) int64 { return e.publishers.tick(now) }})
	e.churn.l = start(sub, e.at, loopConfig{tick: func(now int64) int64 { return e.churn.tick(now) }})
	if err != nil {
		e.close()
		return err
	}
	e.fleet = newFleet(e)
	for i, t := range ticks {
		d := e.fleet.docks[i]
		e.on(d.l, func() { t.d = d })
	}
	return nil
}

// connector connects where there is no epoll; it is nil where there is.
func (e *engine) connector(at target.Endpoint) connector {
	switch {
	case e.cfg.Dial != nil:
		return e.cfg.Dial
	case at.TLS:
		d, next := &tls.Dialer{NetDialer: &net.Dialer{Timeout: e.cfg.Setup}, Config: e.cfg.TLS}, inTurn(at.All())
		return func(ctx context.Context) (net.Conn, error) { return d.DialContext(ctx, "tcp", next()) }
	case runtime.GOOS != "linux":
		d, next := &net.Dialer{Timeout: e.cfg.Setup}, inTurn(at.All())
		return func(ctx context.Context) (net.Conn, error) { return d.DialContext(ctx, "tcp", next()) }
	}
	return nil
}

// inTurn returns one after the other.
func inTurn(list []string) func() string {
	var n atomic.Uint32
	return func() string { return list[int(n.Add(1)-1)%len(list)] }
}

// close ends every loop and connection. It returns when all their goroutines have exited.
func (e *engine) close() {
	loops := append([]loop{e.checked, e.churn.l, e.publishers.l}, e.counted...)
	for _, l := range loops {
		if l != nil {
			l.stop()
		}
	}
	if e.procs > 0 {
		runtime.GOMAXPROCS(e.procs)
	}
}

// on runs f on a loop and waits for it.
func (e *engine) on(l loop, f func()) {
	done := make(chan struct{})
	l.post(func() {
		defer close(done)
		f()
	})
	<-done
}

// trouble notes something that went wrong, in words; the first few are kept.
func (e *engine) trouble(text string) {
	e.troubleOnce.Lock()
	defer e.troubleOnce.Unlock()
	e.troubleN++
	if len(e.troubles) < 10 {
		e.troubles = append(e.troubles, text)
	}
}

func (e *engine) connected(took int64) {
	e.troubleOnce.Lock()
	e.connects.Record(took)
	e.troubleOnce.Unlock()
}

func (e *engine) publisherUp() {
	e.publishing.Add(1)
	if e.plan.Measure == scenario.Echo {
		e.tally.open.Add(1)
	}
}

// setupFailed notes that a connection could not be made.
func (e *engine) setupFailed(err error) {
	if !e.settingUp.Load() {
		e.trouble("a connection failed: " + words(err))
		return
	}
	select {
	case e.failed <- err:
	default:
	}
}

// greeted takes the answer to the first publish.
func (e *engine) greeted(status, refused int, body []byte) {
	var err error
	if refused > 0 {
		err = &codec.StatusError{Status: status}
		if status < 300 {
			err = fmt.Errorf("returned %.200s", body)
		}
	}
	select {
	case e.greeting <- err:
	default:
	}
}

// explain adds to a failure of setup what it means and what to do about it.
func (e *engine) explain(err error) error {
	var status *codec.StatusError
	open := e.tally.open.Load()
	switch {
	case errors.As(err, &status) && (status.Status == 401 || status.Status == 403):
		return setupError("%s: %w: the token or the key is wrong (--token, --secret, --key)", e.cfg.Target.URL, err)
	case errors.As(err, &status) && status.Status == 404:
		return setupError("%s: %w: no such address there: is it a %s? (--target, --url)", e.cfg.Target.URL, err, e.cfg.Target.Name)
	case errors.As(err, &status):
		return setupError("%s refused connection %d of %d: %w", e.cfg.Target.URL, open+1, e.plan.Subscribers, err)
	case errors.Is(err, syscall.ECONNREFUSED):
		return setupError("nothing listens at %s: is the target running? (--url)", e.cfg.Target.URL)
	}
	return setupError("%s, connection %d of %d: %s", e.cfg.Target.URL, open+1, e.plan.Subscribers, words(err))
}

// skimmed reports whether counted connections are followed frame by frame.
func (e *engine) skimmed() bool { return e.traits.Stream == target.WebSocket }
