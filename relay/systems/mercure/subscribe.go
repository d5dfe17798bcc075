package mercure

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"weir/relay"
	"weir/relay/auth"
)

// subscriber is a client's stream.
type subscriber struct {
	// Set once, before it is opened.
	id     string
	modern bool
	wanted wanted
	topics []subscription // in the order of the request
	last   string         // the id from which it goes on; "": from now
	lines  []byte         // of the answer

	// Guarded by System.mu.
	class *class
	ended bool
}

// subscription is a selector that a subscriber asks for.
type subscription struct {
	selector
	payload json.RawMessage
}

// handleSubscribe is GET and QUERY /.well-known/mercure.
func (s *System) handleSubscribe(ctx *fasthttp.RequestCtx) {
	sub, bad := s.readSubscription(ctx)
	if bad != nil {
		s.refuse(ctx, bad, sub.modern)
		return
	}
	g, bad := s.authorize(ctx, s.now().subscriber)
	if bad == nil && g == nil && !s.now().Anonymous {
		bad = noToken
	}
	if bad != nil {
		s.refuse(ctx, bad, sub.modern)
		return
	}
	id := &auth.Identity{Anonymous: true, Expires: auth.MomentOf(s.host.Now().Add(spread(s.now().Lifetime)))}
	if g != nil {
		s.admit(sub, g)
		if !g.expires.IsZero() {
			if end := auth.MomentOf(s.host.Now().Add(spread(g.expires.Sub(s.host.Now())))); end < id.Expires {
				id.Expires = end
			}
		}
	}
	sub.wanted.topics, sub.wanted.rights = sorted(sub.wanted.topics), sorted(sub.wanted.rights)
	for _, line := range s.cors(ctx) {
		sub.lines = append(append(append(append(sub.lines, line[0]...), ": "...), line[1]...), "\r\n"...)
	}
	err := error(nil)
	if s.nodes != nil {
		err = s.nodes.awaitLog()
	}
	if err == nil {
		err = s.host.OpenStream(ctx, &s.route, id, sub)
	}
	if err != nil {
		s.failed(ctx, err)
	}
}

// spread is 80 to 100 % of a time, so that not all clients come back at once.
func spread(d time.Duration) time.Duration {
	if d <= 5 {
		return max(d, 0)
	}
	return d - rand.N(d/5)
}

// admit gives a subscriber the rights of its token.
func (s *System) admit(sub *subscriber, g *grants) {
	for _, x := range g.subscribe {
		if m, err := s.compile(x.selector); err == nil {
			sub.wanted.rights = append(sub.wanted.rights, m)
		}
	}
	for i := range sub.topics {
		sub.topics[i].payload = s.payloadFor(sub.topics[i].selector, g)
	}
}

// payloadFor is what a token says for others about its bearer, as a subscriber of some topics: in 1.0 for each grant.
func (s *System) payloadFor(x selector, g *grants) json.RawMessage {
	if !g.modern {
		return g.payload
	}
	for _, grant := range g.subscribe {
		m, err := s.compile(grant.selector)
		if err == nil && (grant.selector == x || x.kind != kindPattern && m.matches(x.text)) && grant.payload != nil {
			return grant.payload
		}
	}
	return nil
}

// readSubscription reads which topics a request is about. Also with a refusal it says which version is spoken.
func (s *System) readSubscription(ctx *fasthttp.RequestCtx) (*subscriber, *refusal) {
	sub := &subscriber{}
	var bad *refusal
	classic := false
	last := map[string]string{}
	take := func(key, value []byte) {
		name, x := string(key), selector{text: strings.ToValidUTF8(string(value), "\uFFFD")}
		switch {
		case name == "topic":
			classic = true
		case name == "match":
			x.kind, sub.modern = kindExact, true
		case name == "match_urlpattern":
			x.kind, sub.modern = kindPattern, true
		case len(name) >= 5 && strings.EqualFold(name[:5], "match"):
			sub.modern, bad = true, badRequest("unknown parameter: expected match or match_urlpattern")
			return
		case last[name] == "" && (name == "lastEventID" || name == "last_event_id" || strings.EqualFold(name, "last-event-id")):
			last[strings.ToLower(name)] = string(value)
			return
		default:
			return
		}
		if len(sub.topics) >= maxSelectors {
			bad = tooLarge("a subscription has at most 1000 topics")
			return
		}
		m, err := s.compile(x)
		if err != nil {
			bad = badRequest("match_urlpattern is not a URL pattern")
			return
		}
		sub.topics = append(sub.topics, subscription{selector: x})
		sub.wanted.topics = append(sub.wanted.topics, m)
	}
	for key, value := range ctx.QueryArgs().All() {
		take(key, value)
	}
	if string(ctx.Method()) == "QUERY" {
		sub.modern = true
		media, _, _ := bytes.Cut(ctx.Request.Header.ContentType(), []byte(";"))
		if !strings.EqualFold(string(bytes.TrimSpace(media)), "application/x-www-form-urlencoded") {
			return sub, &refusal{415, "invalid_request", "the body must be application/x-www-form-urlencoded"}
		}
		var form fasthttp.Args
		form.ParseBytes(ctx.Request.Body())
		for key, value := range form.All() {
			take(key, value)
		}
	}
	switch {
	case bad != nil:
		return sub, bad
	case classic && sub.modern:
		return sub, badRequest("topic is a parameter of Mercure 0.x and match of 1.0: expected one of them, not both")
	case len(sub.topics) == 0:
		return sub, badRequest("expected a parameter topic or match")
	}
	sub.last = string(ctx.Request.Header.Peek("Last-Event-ID"))
	for _, name := range []string{"lasteventid", "last_event_id", "last-event-id"} {
		if sub.last == "" {
			sub.last = last[name]
		}
	}
	return sub, nil
}

// open starts a stream: it is announced, and gets what it has missed.
func (s *System) open(c *relay.Client) {
	sub := c.Value.(*subscriber)
	sub.id = newID(s.host.Now())
	s.announce(sub, true)
	if sub.last != "" && s.nodes != nil {
		s.nodes.await(sub.last)
	}
	past := missed{events: []byte(":\n\n")}
	for {
		if sub.last != "" {
			past = s.missed(sub)
		}
		s.mu.Lock()
		if sub.last == "" || past.fills == s.log.fills {
			break
		}
		s.mu.Unlock() // the log is another one by now
	}
	defer s.mu.Unlock()
	events := past.events
	if sub.last != "" {
		events = replay(events, s.log.after(past.done), &sub.wanted)
		name := "Last-Event-ID: "
		if sub.modern {
			name = "Mercure-Last-Event-ID: "
		}
		sub.lines = append(append(append(sub.lines, name...), past.first...), "\r\n"...)
	}
	class := s.enter(sub.wanted.key(), &sub.wanted)
	if sub.class = class; sub.ended { // meanwhile
		sub.class = nil
		defer s.leave(class)
	} else if s.nodes != nil {
		s.nodes.streams[c] = struct{}{}
	}
	c.Begin(class.group, sub.lines, events)
	sub.lines = nil
}

// missed is what a subscriber has missed.
type missed struct {
	first  string // the id that the answer tells
	events []byte
	done   uint64 // up to which update that is all
	fills  uint64 // of the log
}

// missed finds out where a subscriber stands, and what it has missed up to now. Matching may take a while: the lock is not held meanwhile.
func (s *System) missed(sub *subscriber) missed {
	m := missed{events: []byte(":\n\n")}
	s.mu.Lock()
	now := s.host.Now()
	s.log.trim(&s.log.updates, now)
	s.log.trim(&s.log.notices, now)
	m.done, m.fills = s.log.number, s.log.fills
	var list []*update
	if from := s.log.byID[sub.last]; from != nil {
		m.first, list = sub.last, s.log.after(from.number)
	} else if sub.last == earliest {
		m.first, list = earliest, s.log.after(0)
	} else {
		list = s.log.after(0)
	}
	s.mu.Unlock()
	if m.first != "" {
		m.events = replay(m.events, list, &sub.wanted)
		return m
	}
	m.first = earliest // what it may read of those that are kept says where the hub stands
	for i := len(list) - 1; i >= 0 && m.first == earliest; i-- {
		if sub.wanted.mayRead(list[i]) {
			m.first = list[i].ID
		}
	}
	return m
}

// replay appends those updates that are for a subscriber.
func replay(events []byte, list []*update, w *wanted) []byte {
	for _, u := range list {
		if w.has(u) {
			events = append(events, u.event...)
		}
	}
	return events
}

// closed ends a stream.
func (s *System) closed(c *relay.Client) {
	sub := c.Value.(*subscriber)
	s.mu.Lock()
	if sub.ended = true; sub.class != nil {
		s.leave(sub.class)
	}
	if s.nodes != nil {
		delete(s.nodes.streams, c)
	}
	s.mu.Unlock()
	s.announce(sub, false)
}
