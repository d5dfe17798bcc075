package relay

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"weir/broker"
	"weir/internal/memnet"
	"weir/internal/units"
	"weir/relay/config"
)

// Clients of all kinds come, go, break off, fall behind and come back with their positions while others
// publish, let items expire and delete channels, all at once. Whatever happens, each client's view of a
// channel is the log: every change once, in order and without a gap, or it was told that there is one; and
// when all is quiet it holds what the broker holds.
func TestModel(t *testing.T) {
	launch(t, openConfig()).api(404, "GET", "/v1/channels/none", "") // what libraries start once is not the bubble's
	synctest.Test(t, func(t *testing.T) {
		defer time.Sleep(time.Minute) // some goroutines of the HTTP server outlive it for a while
		rapid.Check(timeless{t}, func(rt *rapid.T) { drawScenario(rt).run(rt, t) })
	})
}

// timeless is a test without a deadline: its own is not to be asked within a synctest bubble.
type timeless struct{ *testing.T }

func (timeless) Deadline() (time.Time, bool) { return time.Time{}, false }

// scenario is what a run of the model does.
type scenario struct {
	shards, history  int
	window           time.Duration
	eager, conflate  bool
	slow             config.Slow
	buffer           int // of each direction of a connection; small ones make slow readers
	publishers       [][]publishStep
	viewers, streams [][]viewStep
}

// publishStep is one thing that a publisher does.
type publishStep struct {
	pause   time.Duration // before
	op      string        // set, brief (a set that expires), append, delete, send, clear
	channel string
	key     string
	size    int // of the data
}

// viewStep is one thing that a client does.
type viewStep struct {
	op      string // subscribe, again, unsubscribe, leave, kill, block, watch
	channel string
	resume  bool          // with the position from before, if there is one
	pause   time.Duration // how long it then reads on
}

// The channels of the model. The last one is the first viewer's own.
var modelChannels = []string{"model:a", "model:b", "user:viewer-0"}

func drawScenario(t *rapid.T) scenario {
	draw := func(name string, least, most int) int { return rapid.IntRange(least, most).Draw(t, name) }
	pause := rapid.SampledFrom([]time.Duration{0, 0, 0, time.Microsecond, time.Millisecond, 7 * time.Millisecond, 60 * time.Millisecond})
	s := scenario{
		shards:   draw("shards", 1, 4),
		history:  rapid.SampledFrom([]int{3, 40, 4000}).Draw(t, "history"),
		window:   rapid.SampledFrom([]time.Duration{0, 5 * time.Millisecond, 50 * time.Millisecond}).Draw(t, "window"),
		eager:    rapid.Bool().Draw(t, "eager"),
		conflate: rapid.Bool().Draw(t, "conflate"),
		slow:     rapid.SampledFrom([]config.Slow{config.Disconnect, config.Resync}).Draw(t, "slow"),
		buffer:   rapid.SampledFrom([]int{0, 4 << 10}).Draw(t, "buffer"),
	}
	publish := rapid.Custom(func(t *rapid.T) publishStep {
		return publishStep{
			pause:   pause.Draw(t, "pause"),
			op:      rapid.SampledFrom([]string{"set", "set", "set", "set", "send", "send", "append", "append", "append", "delete", "brief", "brief", "clear"}).Draw(t, "op"),
			channel: rapid.SampledFrom(modelChannels).Draw(t, "channel"),
			key:     rapid.SampledFrom([]string{"k", "l", "m"}).Draw(t, "key"),
			size:    rapid.SampledFrom([]int{1, 1, 200, 1500}).Draw(t, "size"),
		}
	})
	view := rapid.Custom(func(t *rapid.T) viewStep {
		return viewStep{
			op: rapid.SampledFrom([]string{"subscribe", "subscribe", "subscribe", "again", "unsubscribe", "unsubscribe", "swap", "leave",
				"kill", "kill", "block", "watch", "watch"}).Draw(t, "op"),
			channel: rapid.SampledFrom(modelChannels[:2]).Draw(t, "channel"),
			resume:  rapid.Bool().Draw(t, "resume"),
			pause:   pause.Draw(t, "pause"),
		}
	})
	for range draw("publishers", 1, 3) {
		s.publishers = append(s.publishers, rapid.SliceOfN(publish, 5, 60).Draw(t, "published"))
	}
	for range draw("viewers", 1, 3) {
		s.viewers = append(s.viewers, rapid.SliceOfN(view, 3, 25).Draw(t, "viewed"))
	}
	for range draw("streams", 0, 2) {
		s.streams = append(s.streams, rapid.SliceOfN(view, 2, 15).Draw(t, "streamed"))
	}
	return s
}

// place is where a change stands.
type place struct {
	channel, epoch string
	seq            uint64
}

// entry is a change as it was made or told.
type entry struct{ op, group, key, data string }

// ledger is what was made and what was told, to be compared when all is over: a client may be told of a
// change before its publisher is.
type ledger struct {
	mu      sync.Mutex
	made    map[place]entry // all but deletes
	told    map[place]entry
	latest  map[string]position // of the last set or send whose publisher has been answered, by channel
	skipped []skip
	wrong   []string
}

// skip is a change that a client was not told of.
type skip struct {
	place
	upto   uint64   // the last change of the frame that passed it over
	groups []string // that the client asked for
	plain  bool     // it knows no appends: of several it gets the last, as a set
}

func (l *ledger) fail(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.wrong = append(l.wrong, fmt.Sprintf(format, args...))
}

// make enters what was published.
func (l *ledger) make(p place, e entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if other, ok := l.made[p]; ok {
		l.wrong = append(l.wrong, fmt.Sprintf("%v was given to %v and %v", p, other, e))
	}
	l.made[p] = e
	if at := l.latest[p.channel]; at.Epoch != p.epoch || at.Seq < p.seq {
		l.latest[p.channel] = position{p.epoch, p.seq}
	}
}

// accepted is up to where a client that unsubscribes now is owed the changes of a channel.
func (l *ledger) accepted(channel string) position {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.latest[channel]
}

// tell enters what a client was told: everybody is told the same.
func (l *ledger) tell(p place, e entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if other, ok := l.told[p]; ok && other != e {
		l.wrong = append(l.wrong, fmt.Sprintf("%v was told as %v and %v", p, other, e))
	}
	l.told[p] = e
}

func (l *ledger) skip(s skip) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.skipped = append(l.skipped, s)
}

// settle compares.
func (l *ledger) settle(conflate bool) []string {
	for p, e := range l.told {
		if made, ok := l.made[p]; ok && made != e || !ok && e.op != "delete" {
			l.wrong = append(l.wrong, fmt.Sprintf("%v: told %v, made %v", p, e, made))
		}
	}
	for _, s := range l.skipped {
		e, known := l.made[s.place]
		switch {
		case !known && s.groups != nil: // a delete, perhaps of another group
		case s.groups != nil && !slices.Contains(s.groups, e.group):
		case s.plain && e.op == "append":
		case conflate && e.op != "send" && l.replaced(s, e):
		default:
			l.wrong = append(l.wrong, fmt.Sprintf("%v %v was lost before %d", s.place, e, s.upto))
		}
	}
	return l.wrong
}

// replaced says that a later set of the same item, or of an append a later append, stood in for a change in its frame.
func (l *ledger) replaced(s skip, e entry) bool {
	for seq := s.seq + 1; seq <= s.upto; seq++ {
		later := l.made[place{s.channel, s.epoch, seq}]
		if (later.op == "set" || e.op == "append" && later.op == "append") && later.group == e.group && later.key == e.key {
			return true
		}
	}
	return false
}

// world is one run of the model.
type world struct {
	ledger
	scenario
	relay  *Relay
	ln     *memnet.Listener
	t      *testing.T
	tokens map[string]string
}

func (s scenario) run(rt *rapid.T, t *testing.T) {
	w := &world{scenario: s, ledger: ledger{made: make(map[place]entry), told: make(map[place]entry), latest: make(map[string]position)}, t: t, tokens: make(map[string]string)}
	cfg := openConfig()
	cfg.Drain, cfg.Shards = time.Millisecond, s.shards
	cfg.Limit.Queue = 256 * units.KiB
	if s.buffer > 0 {
		cfg.Limit.Queue = 16 * units.KiB
	}
	ns := cfg.Namespaces["default"]
	ns.History.Size, ns.Slow = &s.history, s.slow
	ns.Batch = config.Batch{Window: &s.window, Eager: &s.eager, Conflate: &s.conflate}
	cfg.Namespaces["default"] = ns
	r, err := New(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		rt.Fatal(err)
	}
	w.relay, w.ln = r, memnet.Listen("public", s.buffer)
	ctx, stop := context.WithCancel(context.Background())
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := r.ServeOn(ctx, w.ln, memnet.Listen("admin", 0)); err != nil {
			w.fail("serve: %v", err)
		}
	})
	<-r.Ready()
	clients := w.act()
	time.Sleep(time.Minute) // items expire, queues drain
	synctest.Wait()
	for _, c := range clients {
		c.finish(w)
	}
	stop()
	serving.Wait()
	if n := r.hub.Counters.Panics.Get(); n > 0 {
		w.fail("%d panics", n)
	}
	if wrong := w.settle(s.conflate); len(wrong) > 0 {
		rt.Fatalf("%d things are wrong: %q", len(wrong), wrong[:min(len(wrong), 5)])
	}
}

// finisher is a client that can say whether it sees what the broker holds.
type finisher interface{ finish(w *world) }

// act runs all scripts at once, and returns when they are over.
func (w *world) act() []finisher {
	var acting sync.WaitGroup
	var clients []finisher
	for i, steps := range w.viewers {
		v := newViewer(w, fmt.Sprint("viewer-", i))
		if i == 2 {
			v.groups = []string{"g"}
		}
		v.plain = i == 1
		clients = append(clients, v)
		acting.Go(func() { v.act(steps) })
	}
	for i, steps := range w.streams {
		f := newStreamer(w, fmt.Sprint("viewer-", i))
		f.plain = i == 1
		clients = append(clients, f)
		acting.Go(func() { f.act(steps) })
	}
	for _, steps := range w.publishers {
		acting.Go(func() {
			for _, step := range steps {
				w.publish(step)
			}
		})
	}
	acting.Wait()
	return clients
}

func (w *world) publish(step publishStep) {
	time.Sleep(step.pause)
	if step.op == "clear" {
		w.relay.hub.Broker.Clear(step.channel)
		return
	}
	e := entry{op: step.op, group: "items", key: step.key, data: fmt.Sprintf(`"%0*d"`, step.size, 7)}
	if step.key == "m" {
		e.group = "g"
	}
	ttl := ""
	if step.op == "brief" {
		e.op, ttl = "set", `,"ttl":20`
	}
	body := fmt.Sprintf(`{"channel":"%s","op":"%s","group":"%s","key":"%s","data":%s%s}`, step.channel, e.op, e.group, e.key, e.data, ttl)
	answer, err := w.relay.publishOne(nil, []byte(body))
	if step.op == "append" && errors.Is(err, broker.ErrItemTooLarge) {
		return
	}
	if err != nil {
		w.fail("publish: %v", err)
		return
	}
	if at := heardIn(w.t, answer).Position; e.op != "delete" { // one that deletes nothing has the position of another change
		w.make(place{step.channel, at.Epoch, at.Seq}, e)
	}
}

// view is what a client knows of a channel.
type view struct {
	plain bool // the client knows no appends
	at    position
	items map[string]map[string]json.RawMessage // by group and key
}

// set replaces the view by a snapshot.
func (v *view) set(h heard) { v.at, v.items = h.Position, h.State }

// apply takes a change of a frame that goes up to a seq.
func (v *view) apply(w *world, who, channel string, groups []string, h heard, upto uint64) {
	if h.Seq <= v.at.Seq {
		w.fail("%s: change %d of %s after %v", who, h.Seq, channel, v.at)
		return
	}
	for seq := v.at.Seq + 1; seq < h.Seq; seq++ {
		w.skip(skip{place{channel, v.at.Epoch, seq}, upto, groups, v.plain})
	}
	v.at.Seq = h.Seq
	// A set may be what an append is told as, and an append several of them: in the end there is the right text.
	if !(v.plain && h.Op == "set" || w.conflate && h.Op == "append") {
		w.tell(place{channel, v.at.Epoch, h.Seq}, entry{h.Op, h.Group, h.Key, string(h.Data)})
	}
	switch h.Op {
	case "set":
		v.put(h, h.Data)
	case "append":
		if v.plain {
			w.fail("%s: an append in %s, and it knows none", who, channel)
		}
		if before := v.items[h.Group][h.Key]; before != nil {
			v.put(h, slices.Concat(before[:len(before)-1], h.Data[1:]))
		} else {
			v.put(h, h.Data)
		}
	case "delete":
		delete(v.items[h.Group], h.Key)
	}
}

// put gives an item a value.
func (v *view) put(h heard, data json.RawMessage) {
	if v.items == nil {
		v.items = make(map[string]map[string]json.RawMessage)
	}
	if v.items[h.Group] == nil {
		v.items[h.Group] = make(map[string]json.RawMessage)
	}
	v.items[h.Group][h.Key] = data
}

// recover takes the changes that an answer holds.
func (v *view) recover(w *world, who string, groups []string, h heard) {
	if h.Position.Epoch != v.at.Epoch {
		w.fail("%s: recovered %s over an epoch: %v", who, h.Channel, h.Position)
	}
	for _, change := range h.Changes { // raw: nothing is conflated
		v.apply(w, who, h.Channel, groups, change, change.Seq)
	}
	if groups == nil && !v.plain && v.at.Seq != h.Position.Seq {
		w.fail("%s: recovered %s up to %v, position %v", who, h.Channel, v.at, h.Position)
	}
	v.at = h.Position
}

// agree compares the view with what the broker holds.
func (v *view) agree(w *world, who, channel string, groups []string) {
	r, ok := w.relay.hub.Broker.Read(channel, groups)
	if !ok {
		w.fail("%s: %s is gone", who, channel)
		return
	}
	var state map[string]map[string]json.RawMessage
	if err := json.Unmarshal(r.State, &state); err != nil {
		w.fail("%v", err)
	}
	for group, items := range v.items {
		if len(items) == 0 {
			delete(v.items, group)
		}
	}
	same := func(a, b map[string]json.RawMessage) bool {
		return maps.EqualFunc(a, b, func(a, b json.RawMessage) bool { return string(a) == string(b) })
	}
	if !maps.EqualFunc(v.items, state, same) {
		w.fail("%s sees %s as %v, it is %v", who, channel, v.items, state)
	}
	if at := (position{r.Position.Epoch, r.Position.Seq}); groups == nil && v.at != at {
		w.fail("%s stands in %s at %v, it is at %v", who, channel, v.at, at)
	}
}
