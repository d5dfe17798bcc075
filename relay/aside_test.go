package relay

import (
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"weir/internal/wire"
	"weir/relay/auth"
	"weir/relay/config"
	"weir/relay/hub"
)

// jury decides when the test says so.
type jury struct {
	mu      sync.Mutex
	pending []*plea
	asked   int
	most    int // at once
	known   map[string]error
	over    bool // nothing waits any more
}

// plea is a question that waits for its answer.
type plea struct {
	op      auth.Ops
	channel string
	answer  chan error
	taken   bool
}

func (j *jury) Cached(_ *auth.Identity, op auth.Ops, channel string) (d hub.Decision, err error, known bool) { //nolint:revive // it is a verdict
	j.mu.Lock()
	defer j.mu.Unlock()
	err, known = j.known[op.String()+channel]
	return d, err, known
}

func (j *jury) Authorize(_ *auth.Identity, op auth.Ops, channel string) (d hub.Decision, _ error) {
	p := &plea{op: op, channel: channel, answer: make(chan error, 1)}
	j.mu.Lock()
	if j.over {
		p.answer <- hub.ErrUnavailable
	}
	j.pending = append(j.pending, p)
	j.asked++
	j.most = max(j.most, len(j.pending))
	j.mu.Unlock()
	err := <-p.answer
	j.mu.Lock()
	defer j.mu.Unlock()
	if p.taken {
		return d, hub.ErrDenied
	}
	return d, err
}

func (j *jury) Forget(_, channel string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, p := range j.pending {
		if channel == "" || p.channel == channel {
			p.taken = true
		}
	}
}

// waiting is how many questions wait.
func (j *jury) waiting() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return len(j.pending)
}

// answer answers the i-th question that waits.
func (j *jury) answer(i int, err error) (channel string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	p := j.pending[i]
	j.pending = slices.Delete(j.pending, i, i+1)
	p.answer <- err
	return p.channel
}

// all answers everything that waits.
func (j *jury) all(g *rig, err error) {
	g.until("everything is answered", func() bool {
		j.mu.Lock()
		defer j.mu.Unlock()
		for _, p := range j.pending {
			select {
			case p.answer <- err:
			default: // it has one
			}
		}
		j.pending = nil
		return true
	})
}

// judged is a relay whose namespace "asked" is decided about by a jury.
// What may wait for one connection: lines at work, and commands.
const (
	linesAtWork = 16
	heldAtMost  = 1024
)

func judged(t testing.TB, adjust ...func(*config.Config)) (*rig, *jury) {
	cfg := openConfig()
	free := cfg.Namespaces["default"]
	free.Subscribe, free.Publish = config.ByWebhook, config.ByWebhook
	cfg.Namespaces["asked"] = free
	cfg.Auth.Webhook.URL, cfg.Auth.Webhook.Secrets = "https://app.example.com/may", []string{"whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="}
	for _, f := range adjust {
		f(&cfg)
	}
	j := &jury{known: make(map[string]error)}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := launchWith(t, cfg, ln, []System{judge{j}})
	t.Cleanup(func() { // before the relay ends
		j.mu.Lock()
		j.over = true
		j.mu.Unlock()
		j.all(g, hub.ErrUnavailable)
	})
	return g, j
}

// judge is the system that brings the jury.
type judge struct{ *jury }

func (judge) Name() string { return "judge" }
func (j judge) Start(c Host) error {
	c.UseAuthorizer(j.jury)
	return nil
}
func (judge) Close() {}

// What a backend is asked about keeps a session from nothing else: pings are answered, and what concerns other channels,
// while limit reached: hooks.parallel.
func TestQuestionsAreAskedBesideTheTurn(t *testing.T) {
	t.Parallel()
	g, j := judged(t)
	c := g.client("u1")
	const many = 40
	for i := range many {
		c.say(fmt.Sprintf(`{"type":"subscribe","id":%d,"channel":"asked:%d"}`, i, i))
	}
	g.until("as many are asked as may be", func() bool { return j.waiting() == linesAtWork })
	if h := c.ask(`{"type":"ping","id":"p"}`); h.Type != "pong" {
		t.Fatal(h.raw)
	}
	c.subscribe("free:1", "")
	c.say(`{"type":"publish","id":"q","channel":"free:1","data":1}`)
	both := map[string]bool{} // the answer and the change, in any order
	for range 2 {
		both[c.hear().Type] = true
	}
	if !both["ok"] || !both["channel_update"] {
		t.Fatal(both)
	}
	seen := map[string]bool{}
	for n := range many {
		g.until("one more is asked", func() bool { return j.waiting() >= min(linesAtWork, many-n) })
		if n := j.waiting(); n > linesAtWork {
			t.Fatalf("%d questions at once", n)
		}
		channel := j.answer(j.waiting()-1, nil)
		if h := c.hear(); h.Type != "subscribed" || h.Channel != channel || seen[channel] {
			t.Fatalf("answer for %s: %s", channel, h.raw)
		}
		seen[channel] = true
	}
	if j.asked != many {
		t.Errorf("%d questions about %d channels", j.asked, many)
	}
	c.leave()
	g.until("nothing is counted as held", func() bool { return g.relay.sessions.Held() == 0 })
}

// Commands for one channel keep their order, whatever is asked about them and in whatever order others are answered.
func TestCommandsOfAChannelKeepTheirOrder(t *testing.T) {
	t.Parallel()
	g, j := judged(t)
	c := g.client("u1")
	c.say(`{"type":"subscribe","id":1,"channel":"asked:a"}`, `{"type":"subscribe","id":2,"channel":"asked:a"}`, `{"type":"unsubscribe","id":3,"channel":"asked:a"}`,
		`{"type":"publish","id":4,"channel":"asked:a","data":4}`, `{"type":"subscribe","id":5,"channel":"asked:a"}`, `{"type":"history","id":6,"channel":"asked:a"}`)
	for range 5 { // all but unsubscribe
		g.until("one is asked", func() bool { return j.waiting() == 1 })
		j.answer(0, nil)
	}
	for id, want := range []string{"subscribed", "subscribed", "ok", "ok", "subscribed", "history"} {
		if h := c.hear(); h.Type != want || string(h.ID) != fmt.Sprint(id+1) {
			t.Fatalf("answer %d: %s", id+1, h.raw)
		}
	}
	if j.most != 1 {
		t.Errorf("%d questions about one channel at once", j.most)
	}
}

// Access that is taken away while a backend decides is not brought back by its answer, whoever it was taken from: a
// user, or one of their connections.
func TestAnswersDoNotBringAccessBack(t *testing.T) {
	t.Parallel()
	g, j := judged(t)
	for _, whom := range []func(c *client) string{
		func(*client) string { return `"userId":"u1"` },
		func(c *client) string { return `"connectionId":"` + c.hello.ConnectionID + `"` },
	} {
		c := g.client("u1")
		c.say(`{"type":"subscribe","id":1,"channel":"asked:a"}`)
		g.until("it is asked", func() bool { return j.waiting() == 1 })
		g.api(200, "POST", "/v1/unsubscribe", `{"channel":"asked:a",`+whom(c)+`,"reason":"not any more"}`)
		j.answer(0, nil)
		if h := c.hear(); h.Type != "error" || h.Code != "forbidden" || string(h.ID) != "1" {
			t.Fatal(h.raw)
		}
		if h := c.ask(`{"type":"unsubscribe","id":2,"channel":"asked:a"}`); h.Code != "not_subscribed" {
			t.Fatal(h.raw)
		}
		c.say(`{"type":"subscribe","id":3,"channel":"asked:a"}`) // which is asked about anew
		g.until("it is asked again", func() bool { return j.waiting() == 1 })
		j.answer(0, nil)
		if h := c.hear(); h.Type != "subscribed" || string(h.ID) != "3" {
			t.Fatal(h.raw)
		}
		c.leave()
	}
}

// A system that takes access away meanwhile is heeded, too, and so is an event stream that is only being opened.
func TestRevokedWhileAsked(t *testing.T) {
	t.Parallel()
	g, j := judged(t)
	host := &host{g.relay.hub, g.relay.sessions, g.relay, "test"}
	c := g.client("u1")
	c.say(`{"type":"subscribe","id":1,"channel":"asked:a"}`)
	g.until("it is asked", func() bool { return j.waiting() == 1 })
	host.Revoke("u1", "asked:a", "out")
	j.answer(0, nil)
	if h := c.hear(); h.Type != "error" || h.Code != "forbidden" || h.Message != "out" {
		t.Fatal(h.raw)
	}
	opened := make(chan *follower)
	go func() { opened <- g.follow("u1", "", "asked:b", "asked:c") }()
	g.until("both are asked", func() bool { return j.waiting() == 2 })
	host.Revoke("u1", "asked:b", "out")
	j.answer(0, nil)
	j.answer(0, nil)
	f := <-opened
	got := map[string]string{}
	for range 4 {
		h := f.hear()
		got[h.Channel] = h.Type
	}
	if got["asked:b"] != "unsubscribed" || got["asked:c"] != "subscribed" {
		t.Error(got)
	}
}

// A decision about a token that is not the session's any more is made again, and one that comes after the end of the token
// lets nobody in.
func TestTokenChangesWhileAsked(t *testing.T) {
	t.Parallel()
	clock := new(fakeClock)
	g, j := judged(t, func(c *config.Config) { c.Clock = clock.now })
	c := g.client("u1")
	c.say(`{"type":"subscribe","id":1,"channel":"asked:a"}`)
	g.until("it is asked", func() bool { return j.waiting() == 1 })
	if h := c.ask(`{"type":"refresh","id":2,"token":"%s"}`, mintClaims(t, auth.Claims{Sub: "u1", Roles: []string{"other"}})); h.Type != "ok" {
		t.Fatal(h.raw)
	}
	j.answer(0, nil)
	g.until("it is asked again", func() bool { return j.waiting() == 1 })
	j.answer(0, hub.ErrDenied)
	if h := c.hear(); h.Code != "forbidden" || string(h.ID) != "1" {
		t.Fatal(h.raw)
	}
	c.say(`{"type":"publish","id":3,"channel":"asked:a","data":1}`)
	g.until("it is asked", func() bool { return j.waiting() == 1 })
	clock.advance(2 * time.Hour)
	j.answer(0, nil)
	for {
		h, err := c.try()
		if err != nil {
			if e, ok := err.(closedWith); !ok || e.code != wire.CloseUnauthorized { //nolint:errorlint // it is not wrapped
				t.Fatal(err)
			}
			break
		}
		if h.Code != "token_expired" {
			t.Fatal(h.raw)
		}
	}
	if changes := g.api(404, "GET", "/v1/channels/asked:a", ""); changes.StatusCode != 404 {
		t.Error("something was published after the end of the token")
	}
}

// A refresh does not wait for what a backend says of the channels that are followed, which are then asked about together.
func TestRefreshDoesNotWait(t *testing.T) {
	t.Parallel()
	g, j := judged(t)
	c := g.client("u1")
	for i := range 5 {
		c.say(fmt.Sprintf(`{"type":"subscribe","id":%d,"channel":"asked:%d"}`, i, i))
		g.until("it is asked", func() bool { return j.waiting() == 1 })
		j.answer(0, nil)
		c.hear()
	}
	if h := c.ask(`{"type":"refresh","id":9,"token":"%s"}`, mint(t, "u1")); h.Type != "ok" {
		t.Fatal(h.raw)
	}
	g.until("all are asked about", func() bool { return j.waiting() == 5 })
	j.all(g, hub.ErrUnavailable) // then they go on
	c.quiet()
	c.ask(`{"type":"refresh","id":10,"token":"%s"}`, mint(t, "u1"))
	g.until("all are asked about", func() bool { return j.waiting() == 5 })
	j.all(g, hub.ErrDenied)
	for range 5 {
		if h := c.hear(); h.Type != "unsubscribed" || h.Code != "forbidden" {
			t.Fatal(h.raw)
		}
	}
}

// A new token is asked about also while a decision about another channel has failed and a third one is still to come.
func TestRefreshIsAskedAboutAfterAFailure(t *testing.T) {
	t.Parallel()
	g, j := judged(t)
	c := g.client("u1")
	c.say(`{"type":"subscribe","id":1,"channel":"asked:a"}`)
	g.until("it is asked", func() bool { return j.waiting() == 1 })
	j.answer(0, nil)
	c.hear()
	c.say(`{"type":"history","id":2,"channel":"asked:slow"}`, `{"type":"history","id":3,"channel":"asked:failing"}`)
	g.until("both are asked", func() bool { return j.waiting() == 2 })
	j.mu.Lock()
	failing := slices.IndexFunc(j.pending, func(p *plea) bool { return p.channel == "asked:failing" })
	j.mu.Unlock()
	j.answer(failing, hub.ErrUnavailable)
	if h := c.hear(); h.Code != "unavailable" || string(h.ID) != "3" {
		t.Fatal(h.raw)
	}
	c.ask(`{"type":"refresh","id":4,"token":"%s"}`, mint(t, "u1"))
	g.until("the subscription is asked about", func() bool { return j.waiting() == 2 })
	j.answer(1, hub.ErrDenied)
	if h := c.hear(); h.Type != "unsubscribed" || h.Channel != "asked:a" {
		t.Fatal(h.raw)
	}
}

// More than may wait is refused with something that may be tried again, and pings are still answered.
func TestWaitingCommandsAreBounded(t *testing.T) {
	t.Parallel()
	g, j := judged(t, func(c *config.Config) { c.Limit.Commands.Count = 1 << 20 })
	c := g.client("u1")
	for i := range heldAtMost + 10 {
		c.say(fmt.Sprintf(`{"type":"history","id":%d,"channel":"asked:%d"}`, i, i%20))
	}
	for range 10 {
		if h := c.hear(); h.Code != "too_many" || !h.Retryable {
			t.Fatal(h.raw)
		}
	}
	c.quiet()
	// Once a decision has failed to come for as long as it may take, nobody waits for another one.
	g.until("as many are asked as may be", func() bool { return j.waiting() == linesAtWork })
	<-time.After(time.Until(time.Now().Add(g.relay.hub.Config.Auth.Webhook.Timeout)))
	j.all(g, hub.ErrUnavailable)
	for range heldAtMost {
		if h := c.hear(); h.Code != "unavailable" || !h.Retryable {
			t.Fatal(h.raw)
		}
	}
	if j.asked != linesAtWork {
		t.Errorf("%d questions, want %d", j.asked, linesAtWork)
	}
}

// Nothing waits for a session that has ended longer than a decision may take, nor does the end of the relay.
func TestEndsWhileAsked(t *testing.T) {
	t.Parallel()
	for _, end := range []func(g *rig, c *client){
		func(_ *rig, c *client) { _ = c.nc.Close() },
		func(g *rig, c *client) { g.api(200, "POST", "/v1/disconnect", `{"userId":"u1"}`) },
		func(g *rig, c *client) { go func() { _ = g.stop() }() },
	} {
		g, j := judged(t)
		c := g.client("u1")
		c.say(`{"type":"subscribe","id":1,"channel":"asked:a"}`, `{"type":"publish","id":2,"channel":"asked:a","data":1}`, `{"type":"publish","id":3,"channel":"asked:b","data":1}`)
		g.until("they are asked", func() bool { return j.waiting() == 2 })
		end(g, c)
		g.until("the session ends", func() bool { s := g.relay.sessions.Session(c.hello.ConnectionID); return s == nil || s.Ending() })
		g.until("the lines end", func() bool {
			j.all(g, nil)
			return g.relay.sessions.Held() == 0
		})
	}
}

// Backends that do not answer cost an event stream one wait, and not one for each channel.
func TestStreamsAskTogether(t *testing.T) {
	t.Parallel()
	g, j := judged(t)
	var names []string
	for i := range 40 {
		names = append(names, fmt.Sprint("asked:", i))
	}
	opened := make(chan *follower)
	go func() { opened <- g.follow("u1", "", names...) }()
	g.until("as many are asked as may be", func() bool { return j.waiting() == linesAtWork })
	done := 0
	for done < len(names) {
		g.until("more is asked", func() bool { return j.waiting() > 0 })
		j.answer(0, nil)
		done++
	}
	f := <-opened
	for range len(names) + 2 {
		if h := f.hear(); h.Type != "subscribed" && h.Type != "connected" {
			t.Fatal(h.raw)
		}
	}
	if j.most > linesAtWork {
		t.Errorf("%d questions at once", j.most)
	}
}

// A model of interleavings: commands for a few channels, answers in any order, and access that is taken away. Each command
// gets one answer, those of a channel in order, as far as they take the same way; a ping its own at once; and what a client
// follows at the end is what the answers say.
func TestInterleavings(t *testing.T) {
	t.Parallel()
	g, j := judged(t, func(c *config.Config) { c.Limit.Commands.Count = 1 << 20 })
	for round := range 60 {
		seed := uint64(round)
		r := rand.New(rand.NewPCG(seed, 1))
		c := g.client(fmt.Sprint("u", round))
		owed := map[string][]string{} // ids by channel, in order
		follows := map[string]bool{}
		last := map[string]int{} // the last answer of a channel, by the way that it takes
		n := 0
		take := func(h heard) {
			if h.Type == "unsubscribed" {
				follows[h.Channel] = false
				return
			}
			if h.Type == "channel_update" || h.Type == "update" {
				return
			}
			id := string(h.ID)
			for channel, list := range owed {
				i := slices.Index(list, id)
				if i < 0 {
					continue
				}
				way := channel + " sent by the turn"
				if h.Type == "subscribed" || h.Type == "ok" && h.Position.Epoch == "" {
					way = channel + " in turn with changes"
				}
				if at, _ := strconv.Atoi(id); at < last[way] {
					t.Fatalf("seed %d: the answer to %s comes after that to %d", seed, id, last[way])
				} else {
					last[way] = at
				}
				owed[channel] = slices.Delete(list, i, i+1)
				switch {
				case h.Type == "subscribed":
					follows[channel] = true
				case h.Type == "ok" && h.Position.Epoch == "":
					follows[channel] = false
				}
				return
			}
			t.Fatalf("seed %d: an answer to nothing: %s", seed, h.raw)
		}
		for range 80 {
			channel := fmt.Sprint("asked:", round, ".", r.IntN(4))
			switch k := r.IntN(12); k {
			case 0, 1, 2, 3, 4:
				n++
				kind := []string{"subscribe", "subscribe", "unsubscribe", "history", "publish"}[k]
				more := ""
				if kind == "publish" {
					more = `,"data":1`
				}
				c.say(fmt.Sprintf(`{"type":"%s","id":%d,"channel":"%s"%s}`, kind, n, channel, more))
				owed[channel] = append(owed[channel], fmt.Sprint(n))
			case 5:
				if access := g.api(200, "POST", "/v1/unsubscribe", fmt.Sprintf(`{"channel":"%s","userId":"u%d"}`, channel, round)); access.StatusCode != 200 {
					t.Fatal(access)
				}
			case 6:
				c.say(`{"type":"ping","id":"p"}`)
				for h := c.hear(); h.Type != "pong"; h = c.hear() {
					take(h)
				}
			default:
				if w := j.waiting(); w > 0 {
					j.answer(r.IntN(w), []error{nil, nil, nil, hub.ErrDenied, hub.ErrUnavailable}[r.IntN(5)])
				}
			}
		}
		left := func() (sum int) {
			for _, list := range owed {
				sum += len(list)
			}
			return sum
		}
		for left() > 0 {
			g.until("a question or an answer comes", func() bool {
				if j.waiting() > 0 {
					j.answer(0, nil)
					return true
				}
				return g.relay.sessions.Held() == 0
			})
			c.say(`{"type":"ping","id":"p"}`)
			for h := c.hear(); h.Type != "pong"; h = c.hear() {
				take(h)
			}
		}
		s := c.session()
		for channel := range owed {
			if got := s.Topic(channel) != nil; got != follows[channel] {
				t.Errorf("seed %d: %s is followed: %v, and the client was told %v", seed, channel, got, follows[channel])
			}
		}
		_ = c.nc.Close()
		c.gone()
	}
}
