package simulate

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"weir/relay/relaytest/ledger"
)

// Options are what a run depends on. Zero values mean the defaults.
type Options struct {
	Seed       uint64
	Span       time.Duration // simulated time in which things happen; 5m
	Pace       time.Duration // mean time between them; 1s
	Clients    int           // a third of them event streams; 24
	Publishers int           // 4
	Channels   int           // of five kinds, of three without durable ones; 10
	Nodes      int           // of a cluster; 1: a relay alone
	Durable    bool          // of a cluster: it has durable channels
	Calm       bool          // of a cluster: no node is lost, and nothing may be
	Defect     Defect        // something wrong that must be found; none
	Log        *slog.Logger  // of the relay; nothing is logged
}

func (o Options) filled() Options {
	fill := func(v *int, def int) {
		if *v <= 0 {
			*v = def
		}
	}
	fill(&o.Clients, 24)
	fill(&o.Publishers, 4)
	fill(&o.Channels, 10)
	fill(&o.Nodes, 1)
	if o.Span <= 0 {
		o.Span = 5 * time.Minute
	}
	if o.Pace <= 0 {
		o.Pace = time.Second
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

// follows is how many channels a client wants.
const follows = 4

// The kinds of channels, by turns.
var kinds = []string{"log", "short", "map", "disk", "safe"}

// kind is that of a channel. A cluster has those that are kept in memory, unless it is to have durable ones, too.
func (w *world) kind(i int) string {
	if w.clustered() && !w.options.Durable {
		return kinds[i%3]
	}
	return kinds[i%len(kinds)]
}

func (w *world) channelName(i int) string { return fmt.Sprintf("%s:%d", w.kind(i), i) }

// durable says that a channel is kept on disk, patient that its readers get nothing that is not safe there.
func (w *world) durable(i int) bool { return w.kind(i) == "disk" || w.patient(i) }
func (w *world) patient(i int) bool { return w.kind(i) == "safe" }

// conflated says that a channel leaves changes out.
func (w *world) conflated(i int) bool { return w.kind(i) == "map" }

// clustered says that there are several nodes.
func (w *world) clustered() bool { return len(w.nodes) > 1 }

// world is one run.
type world struct {
	// Set once.
	options    Options
	story      *story
	nodes      []*server
	fabric     *fabric // between them; nil: there is one
	ledger     *ledger.Ledger
	clients    []*client
	publishers []*publisher

	// Atomic.
	published, retried, connected, resumed, snapshots, changes atomic.Uint64

	cleared []atomic.Int64 // by channel: how often its log was deleted

	promises   promises
	owners     owners
	restarting chan struct{} // of capacity 1: holds a value while a node is restarted that others wait for
}

// lateDeletion is after how long a deletion whose answer did not come has been made, or never will be.
const lateDeletion = 10 * time.Second

// lives is how often a channel has been deleted: idempotency keys go with the log.
func (w *world) lives(channel int) int { return int(w.cleared[channel].Load()) }

// Run plays the plan of a seed against a relay and judges it. It is to be called in the bubble of a
// synctest.Test, and returns when everything that it has started has ended, but for what the HTTP server
// leaves running for some simulated seconds.
func Run(o Options) *Outcome {
	o = o.filled()
	w := &world{options: o, story: &story{start: time.Now()}, ledger: ledger.New(), cleared: make([]atomic.Int64, o.Channels), restarting: make(chan struct{}, 1)}
	if o.Nodes > 1 {
		w.fabric = newFabric(o.Seed, o.Nodes, o.Durable)
		w.ledger.Forks = !o.Calm
	}
	for i := range o.Nodes {
		m, err := newMachine()
		if err != nil {
			w.story.problem("%v", err)
			return w.outcome(ledger.Verdict{})
		}
		defer m.close()
		w.nodes = append(w.nodes, &server{story: w.story, log: o.Log, machine: m, number: i, fabric: w.fabric})
	}
	for _, s := range w.nodes {
		if err := s.start(); err != nil {
			w.story.problem("%v", err)
			return w.outcome(ledger.Verdict{})
		}
	}
	if w.fabric != nil {
		time.Sleep(4 * time.Second) // until each channel has an owner
	}
	plan := draw(o)
	ctx, cancel := context.WithCancel(context.Background())
	var reading, publishing sync.WaitGroup
	for i := range o.Clients {
		c := w.newClient(i)
		w.clients = append(w.clients, c)
		reading.Go(func() { c.run(ctx) }) // ended by cancel
	}
	for i := range o.Publishers {
		p := &publisher{backend: backend{w: w}, number: uint32(i + 1), queue: make(chan step, len(plan)), last: make(map[string]position), texts: make(map[string]int)}
		w.publishers = append(w.publishers, p)
		publishing.Go(func() { p.run(ctx) }) // ended by closing its queue
	}
	registers := w.useRegister(ctx)
	w.direct(ctx, plan)
	registers.end()
	for _, p := range w.publishers {
		close(p.queue)
	}
	publishing.Wait()
	w.settle(ctx)
	cancel()
	reading.Wait()
	for _, s := range w.nodes {
		s.close()
	}
	var readers []*ledger.Reader
	for _, c := range w.clients {
		readers = append(readers, c.reader)
	}
	return w.outcome(w.ledger.Judge(readers...))
}

func (w *world) outcome(v ledger.Verdict) *Outcome {
	s := w.story
	s.mu.Lock()
	defer s.mu.Unlock()
	return &Outcome{Verdict: v, Problems: s.problems, Story: s.planned, Tail: s.tail, Counts: Counts{
		Published: w.published.Load(), Retried: w.retried.Load(), Connected: w.connected.Load(),
		Resumed: w.resumed.Load(), Snapshots: w.snapshots.Load(), Changes: w.changes.Load(),
	}}
}

// newClient makes a reader of some channels.
func (w *world) newClient(i int) *client {
	r := rand.New(rand.NewPCG(w.options.Seed, 100+uint64(i)))
	c := &client{w: w, name: fmt.Sprint("client-", i), sse: i%3 == 2, plain: i%4 == 1, rand: r, back: make(chan struct{}, 1)}
	c.reader = &ledger.Reader{Name: c.name}
	for _, n := range r.Perm(w.options.Channels)[:min(follows, w.options.Channels)] {
		name := w.channelName(n)
		c.views = append(c.views, &view{name: name, number: uint32(n), conflated: c.plain || w.conflated(n), durable: w.durable(n), patient: w.patient(n), strict: strings.HasPrefix(name, "log:") || strings.HasPrefix(name, "disk:"), wanted: true})
	}
	return c
}

// direct plays the plan.
func (w *world) direct(ctx context.Context, plan []step) {
	var breaking sync.WaitGroup // steps that take a while
	api := &backend{w: w}
	clear := make(chan int, len(plan))
	breaking.Go(func() { // ended by closing clear
		defer api.close()
		for n := range clear {
			w.cleared[n].Add(1)
			status, body, err := api.ask(ctx, "DELETE", "/v1/channels/"+w.channelName(n))
			// While the disk fails it is told that the deletion is not safe yet.
			unsafe := w.durable(n) && status == http.StatusServiceUnavailable && bytes.Contains(body, []byte(`"code":"storage"`))
			late := w.clustered() && status == http.StatusServiceUnavailable // the owner did not answer, and may delete it yet: at most that long it waits for what it loads
			if late {
				time.Sleep(lateDeletion)
			}
			if err == nil && status != http.StatusOK && status != http.StatusNotFound && !unsafe && !late {
				w.story.problem("clear: %d %s", status, body)
			}
			w.cleared[n].Add(1)
		}
	})
	var breaks []chan step
	for range w.nodes {
		c := make(chan step, len(plan))
		breaks = append(breaks, c)
		breaking.Go(func() { // ended by closing c; one thing at a time happens to a node
			for s := range c {
				w.breakNode(s)
			}
		})
	}
	for _, s := range plan {
		time.Sleep(time.Until(w.story.start.Add(s.at)))
		w.story.plan(s.String())
		switch s.what {
		case "publish":
			w.publishers[s.who].queue <- s
		case "cut":
			w.clients[s.who].cut(s.count)
		case "stall":
			w.clients[s.who].stall(s.lasts)
		case "leave":
			w.clients[s.who].leave(s.lasts)
		case "swap":
			w.clients[s.who].swap(w.channelName(s.channel))
		case "again":
			w.clients[s.who].repeat(w.channelName(s.channel))
		case "clear":
			clear <- s.channel
		case "race": // all of them while changes wait to be sent
			w.publishers[s.who].queue <- s
			time.Sleep(s.lasts)
			for _, c := range w.clients {
				c.repeat(w.channelName(s.channel))
			}
			clear <- s.channel
		default:
			breaks[s.who%len(breaks)] <- s
		}
	}
	close(clear)
	for _, c := range breaks {
		close(c)
	}
	breaking.Wait()
}

// breakNode plays a step that hits a node, its machine, or what is between nodes.
func (w *world) breakNode(s step) {
	n := w.nodes[s.who%len(w.nodes)]
	switch s.what {
	default:
		w.fabric.play(n, s)
	case "storm":
		n.cutAll(s.count)
	case "away":
		ln := n.unplug(s.count)
		time.Sleep(s.lasts)
		n.plug(ln)
	case "restart":
		if w.options.Calm { // one after the other: what nobody is there to take is lost
			w.restarting <- struct{}{}
			defer func() { <-w.restarting }()
		}
		n.restart(s.lasts)
	case "crash":
		n.crash(s.count, s.lasts, s.seed)
	case "slow disk":
		n.machine.slowDown(time.Duration(s.count)*time.Millisecond, s.lasts)
	case "full disk":
		n.machine.fill(s.count, s.lasts)
	case "broken disk":
		n.machine.fail(s.lasts)
	case "clock":
		n.machine.setClock(s.lasts)
	}
}

// settle waits until everybody is there and nothing more happens, and then compares.
func (w *world) settle(ctx context.Context) {
	if w.fabric != nil {
		w.fabric.heal()
	}
	for _, c := range w.clients {
		c.settle()
	}
	api := &backend{w: w}
	defer api.close()
	for i := range 6 {
		time.Sleep(2 * time.Minute) // longer than stalls, backoffs and items last
		if w.agree(ctx, api, i == 5) {
			break
		}
	}
	w.keep(ctx, api)
}

// agree says that all clients hold what the relay holds. The last time, what they do not is a problem.
func (w *world) agree(ctx context.Context, api *backend, last bool) bool {
	ok := true
	differ := func(format string, args ...any) {
		if ok = false; last {
			w.story.problem(format, args...)
		}
	}
	type answer struct {
		Position position `json:"position"`
		State    state    `json:"state"`
	}
	now := make(map[string]answer)
	for i := range w.nodes {
		api.prefer(i)
		for n := range w.options.Channels {
			name := w.channelName(n)
			status, body, err := api.ask(ctx, "GET", "/v1/channels/"+name)
			var a answer
			if err == nil && status == http.StatusOK {
				err = json.Unmarshal(body, &a)
			}
			if err != nil || status >= 500 {
				differ("at the end: %d %s %v", status, body, err)
			}
			if was, ok := now[name]; ok && was.Position != a.Position {
				differ("%s stands at %v on one node, at %v on another", name, was.Position, a.Position)
			}
			now[name] = a
		}
	}
	api.prefer(-1)
	for _, c := range w.clients {
		if v := c.missing(); v != "" {
			differ("%s does not follow %s in the end", c.name, v)
			continue
		}
		c.mu.Lock()
		for _, v := range c.views {
			if a := now[v.name]; !v.same(a.Position, a.State) {
				differ("%s at %d stands in %s at %v with %d groups, the relay at %v with %d", c.name, c.server.number, v.name, v.at, len(v.items), a.Position, len(a.State))
			}
		}
		c.mu.Unlock()
	}
	return ok
}
