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
	Channels   int           // of five kinds; 10
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

func channelName(i int) string { return fmt.Sprintf("%s:%d", kinds[i%len(kinds)], i) }

// durable says that a channel is kept on disk, patient that its readers get nothing that is not safe there.
func durable(i int) bool { return kinds[i%len(kinds)] == "disk" || patient(i) }
func patient(i int) bool { return kinds[i%len(kinds)] == "safe" }

// conflated says that a channel leaves changes out.
func conflated(i int) bool { return kinds[i%len(kinds)] == "map" }

// world is one run.
type world struct {
	// Set once.
	options    Options
	story      *story
	machine    *machine
	server     *server
	ledger     *ledger.Ledger
	clients    []*client
	publishers []*publisher

	// Atomic.
	published, retried, connected, resumed, snapshots, changes atomic.Uint64

	cleared []atomic.Int64 // by channel: how often its log was deleted

	promises promises
}

// lives is how often a channel has been deleted: idempotency keys go with the log.
func (w *world) lives(channel int) int { return int(w.cleared[channel].Load()) }

// Run plays the plan of a seed against a relay and judges it. It is to be called in the bubble of a
// synctest.Test, and returns when everything that it has started has ended, but for what the HTTP server
// leaves running for some simulated seconds.
func Run(o Options) *Outcome {
	o = o.filled()
	w := &world{options: o, story: &story{start: time.Now()}, ledger: ledger.New(), cleared: make([]atomic.Int64, o.Channels)}
	var err error
	if w.machine, err = newMachine(); err != nil {
		w.story.problem("%v", err)
		return w.outcome(ledger.Verdict{})
	}
	defer w.machine.close()
	w.server = &server{story: w.story, log: o.Log, machine: w.machine}
	if err := w.server.start(); err != nil {
		w.story.problem("%v", err)
		return w.outcome(ledger.Verdict{})
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
		p := &publisher{backend: backend{w: w}, number: uint32(i + 1), queue: make(chan step, len(plan)), last: make(map[string]position)}
		w.publishers = append(w.publishers, p)
		publishing.Go(func() { p.run(ctx) }) // ended by closing its queue
	}
	w.direct(ctx, plan)
	for _, p := range w.publishers {
		close(p.queue)
	}
	publishing.Wait()
	w.settle(ctx)
	cancel()
	reading.Wait()
	w.server.close()
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
	c := &client{w: w, name: fmt.Sprint("client-", i), sse: i%3 == 2, rand: r, back: make(chan struct{}, 1)}
	c.reader = &ledger.Reader{Name: c.name}
	for _, n := range r.Perm(w.options.Channels)[:min(follows, w.options.Channels)] {
		name := channelName(n)
		c.views = append(c.views, &view{name: name, number: uint32(n), conflated: conflated(n), durable: durable(n), patient: patient(n), strict: strings.HasPrefix(name, "log:") || strings.HasPrefix(name, "disk:"), wanted: true})
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
			status, body, err := api.ask(ctx, "DELETE", "/v1/channels/"+channelName(n))
			// While the disk fails it is told that the deletion is not safe yet.
			unsafe := durable(n) && status == http.StatusServiceUnavailable && bytes.Contains(body, []byte(`"code":"storage"`))
			if err == nil && status != http.StatusOK && status != http.StatusNotFound && !unsafe {
				w.story.problem("clear: %d %s", status, body)
			}
			w.cleared[n].Add(1)
		}
	})
	breaks := make(chan step, len(plan))
	breaking.Go(func() { // ended by closing breaks; one thing at a time happens to the relay
		for s := range breaks {
			w.breakRelay(s)
		}
	})
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
			w.clients[s.who].swap(channelName(s.channel))
		case "again":
			w.clients[s.who].repeat(channelName(s.channel))
		case "clear":
			clear <- s.channel
		case "race": // all of them while changes wait to be sent
			w.publishers[s.who].queue <- s
			time.Sleep(s.lasts)
			for _, c := range w.clients {
				c.repeat(channelName(s.channel))
			}
			clear <- s.channel
		default:
			breaks <- s
		}
	}
	close(clear)
	close(breaks)
	breaking.Wait()
}

// breakRelay plays a step that hits the relay or its machine.
func (w *world) breakRelay(s step) {
	switch s.what {
	case "storm":
		w.server.cutAll(s.count)
	case "away":
		ln := w.server.unplug(s.count)
		time.Sleep(s.lasts)
		w.server.plug(ln)
	case "restart":
		w.server.restart(s.lasts)
	case "crash":
		w.server.crash(s.count, s.lasts, s.seed)
	case "slow disk":
		w.machine.slowDown(time.Duration(s.count)*time.Millisecond, s.lasts)
	case "full disk":
		w.machine.fill(s.count, s.lasts)
	case "broken disk":
		w.machine.fail(s.lasts)
	case "clock":
		w.machine.setClock(s.lasts)
	}
}

// settle waits until everybody is there and nothing more happens, and then compares.
func (w *world) settle(ctx context.Context) {
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
	for n := range w.options.Channels {
		status, body, err := api.ask(ctx, "GET", "/v1/channels/"+channelName(n))
		var a answer
		if err == nil && status == http.StatusOK {
			err = json.Unmarshal(body, &a)
		}
		if err != nil {
			differ("at the end: %v", err)
		}
		now[channelName(n)] = a
	}
	for _, c := range w.clients {
		if v := c.missing(); v != "" {
			differ("%s does not follow %s in the end", c.name, v)
			continue
		}
		c.mu.Lock()
		for _, v := range c.views {
			if a := now[v.name]; !v.same(a.Position, a.State) {
				differ("%s stands in %s at %v with %d groups, the relay at %v with %d", c.name, v.name, v.at, len(v.items), a.Position, len(a.State))
			}
		}
		c.mu.Unlock()
	}
	return ok
}
