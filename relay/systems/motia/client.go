package motia

import (
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/valyala/fasthttp"

	"weir/broker"
	"weir/internal/wire"
	"weir/relay"
	"weir/relay/auth"
	"weir/relay/problem"
)

// client is a connection. Its messages are handled one at a time.
type client struct {
	system *System
	client *relay.Client // set once, by open

	// Guarded by mu: access may be taken away at any time.
	mu     sync.Mutex
	joined map[string]*membership // by channel
	count  int                    // subscriptions in all of them
	ended  bool
}

// membership is what a client has joined of a group. Its connection follows the channel once: all of it, or the one item that is
// joined alone, so that nothing reaches it twice.
type membership struct {
	group group
	alone string              // the key of the item that is followed alone; "": all is followed
	subs  map[string][]string // ids of subscriptions by id of the item; "" is the group
}

// request is a join or a leave.
type request struct {
	group
	item, subscription string
	channel, key       string // what they are here
}

// identify returns who a client is: the token comes as a subprotocol, behind "Authorization", or as elsewhere.
func (s *System) identify(ctx *fasthttp.RequestCtx) (id *auth.Identity, value any, subprotocol string, err error) {
	token := ""
	for _, line := range ctx.Request.Header.PeekAll("Sec-WebSocket-Protocol") {
		for p := range strings.SplitSeq(string(line), ",") {
			switch p = strings.TrimSpace(p); {
			case p == tokenProtocol:
				subprotocol = tokenProtocol
			case token == "":
				token = p
			}
		}
	}
	if subprotocol == "" {
		token = ""
	}
	id, err = s.host.Authenticate(ctx, token)
	if err != nil && token == "" && *s.config.Anonymous && problem.Of(err).Status == 401 {
		id, err = &auth.Identity{Anonymous: true}, nil
	}
	return id, &client{system: s, joined: make(map[string]*membership)}, subprotocol, err
}

// accessDenied is the code that clients know.
const accessDenied = "STREAM_ACCESS_DENIED"

// tokenProtocol is the subprotocol that is answered; the token is offered behind it.
const tokenProtocol = "Authorization"

func (c *client) open(to *relay.Client) {
	c.client = to
	c.system.connections.Add(1)
}

// message handles a message. What is none of the protocol is not answered: clients could not bear it.
func (c *client) message(data []byte) {
	kind, body := "", []byte(nil)
	err := wire.Members(data, func(key string, value []byte) (err error) {
		switch key {
		case "type":
			kind, err = wire.Text(value)
		case "data":
			body = value
		}
		return err
	})
	r := request{}
	if err == nil && (kind == "join" || kind == "leave") {
		err = r.read(body)
	}
	switch {
	case err != nil:
		c.system.refused["form"].Inc()
	case kind == "join":
		c.join(&r)
	case kind == "leave":
		c.leave(&r)
	}
}

// read reads the data of a message.
func (r *request) read(data []byte) error {
	return wire.Members(data, func(name string, value []byte) (err error) {
		to := map[string]*string{"streamName": &r.stream, "groupId": &r.id, "id": &r.item, "subscriptionId": &r.subscription}[name]
		if to != nil && string(value) != "null" {
			text, bad := wire.Text(value)
			*to, err = strings.Clone(text), bad
		}
		return err
	})
}

// join has the client follow an item or a group, and sends what that is. Joined again, it is only sent.
func (c *client) join(r *request) {
	s := c.system
	var ok bool
	if r.channel, ok = channelOf(r.group); ok && r.item != "" {
		r.key, ok = keyOf(r.item)
	}
	if !ok {
		c.refuse(r, "name", "STREAM_BAD_NAME", "a name of a stream, group or item is empty or too long")
		return
	}
	if err := s.host.Allows(c.client.Identity(), auth.Subscribe, r.channel); err != nil {
		c.refuse(r, "access", accessDenied, "Access denied")
		return
	}
	s.clock.ready()
	f, widen, ok := c.enter(r)
	if !ok {
		c.refuse(r, "limit", "STREAM_LIMIT", "limit reached: motia.subscriptions")
		return
	}
	if widen {
		c.client.Unfollow(r.channel)
	}
	if err := c.client.Follow(f); err != nil && !s.host.Alone() && problem.Of(err).Status == 503 { // no node has the channel for the moment
		s.refused["unavailable"].Inc()
		c.client.Close(1013, "try again in a moment") // it comes back after two seconds, with all its joins
		return
	} else if err != nil {
		c.expel(r.channel, "limit", "STREAM_UNAVAILABLE", problem.Of(err).Message)
		return
	}
	c.mu.Lock()
	kept := c.joined[r.channel] != nil
	c.mu.Unlock()
	if !kept { // access was taken away meanwhile
		c.client.Unfollow(r.channel)
	}
}

// enter notes a subscription, and returns what is to be followed for it; widen says that the client follows less now. It returns false
// if there are too many.
func (c *client) enter(r *request) (f relay.Follow, widen, ok bool) {
	s := c.system
	c.mu.Lock()
	defer c.mu.Unlock()
	m := c.joined[r.channel]
	known := m != nil && slices.Contains(m.subs[r.item], r.subscription)
	if c.ended || !known && c.count >= s.config.Most {
		return f, false, false
	}
	if m == nil {
		m = &membership{group: r.group, alone: r.key, subs: make(map[string][]string)}
		c.joined[r.channel] = m
	}
	if !known {
		m.subs[r.item] = append(m.subs[r.item], r.subscription)
		c.count++
		s.subscriptions.Add(1)
	}
	s.note(r.channel, c, m)
	items := []string{r.item}
	if m.alone != "" && m.alone != r.key { // what changed between the two is not missed: all are sent anew
		m.alone, widen = "", true
		items = slices.Collect(maps.Keys(m.subs))
	}
	return c.follow(r.channel, m, items), widen, true
}

// follow is what is to be followed for a membership; the client is sent what some of its items are, or "", the group, are. The caller
// holds c.mu.
func (c *client) follow(channel string, m *membership, items []string) relay.Follow {
	g := m.group
	f := relay.Follow{Channel: channel, First: func(r broker.Reply) (out [][]byte) {
		for _, item := range items {
			if item == "" {
				out = append(out, appendGroupSync(nil, c.system.clock.next(), g, r.State))
			} else {
				out = append(out, appendItemSync(nil, c.system.clock.next(), g, item, r.State))
			}
		}
		return out
	}}
	if m.alone != "" {
		f.Groups, f.Key = []string{itemGroup}, m.alone
	}
	return f
}

// leave ends a subscription. What nothing needs is no longer followed.
func (c *client) leave(r *request) {
	s := c.system
	r.channel, _ = channelOf(r.group)
	c.mu.Lock()
	m := c.joined[r.channel]
	if m == nil {
		c.mu.Unlock()
		return
	}
	if i := slices.Index(m.subs[r.item], r.subscription); i >= 0 {
		m.subs[r.item] = slices.Delete(m.subs[r.item], i, i+1)
		c.count--
		s.subscriptions.Add(-1)
	}
	if len(m.subs[r.item]) == 0 {
		delete(m.subs, r.item)
	}
	last := len(m.subs) == 0
	if last {
		delete(c.joined, r.channel)
	}
	s.note(r.channel, c, m)
	c.mu.Unlock()
	if last {
		c.client.Unfollow(r.channel)
	}
}

// expel takes a group away from the client, which is told of each item and of the group that it has joined. It returns false if there
// are none.
func (c *client) expel(channel, reason, code, text string) bool {
	c.mu.Lock()
	m := c.joined[channel]
	var items []string
	if m != nil {
		items = slices.Collect(maps.Keys(m.subs))
		c.forget(channel, m)
	}
	c.mu.Unlock()
	if m == nil {
		return false
	}
	c.client.Unfollow(channel)
	for _, item := range items {
		c.refuse(&request{group: m.group, item: item}, reason, code, text)
	}
	return true
}

// forget drops all of a membership. The caller holds c.mu.
func (c *client) forget(channel string, m *membership) {
	for _, list := range m.subs {
		c.count -= len(list)
		c.system.subscriptions.Add(-int64(len(list)))
	}
	clear(m.subs)
	delete(c.joined, channel)
	c.system.note(channel, c, m)
}

func (c *client) refuse(r *request, reason, code, text string) {
	c.system.refused[reason].Inc()
	c.client.Send(appendRefusal(nil, c.system.clock.next(), r.group, r.item, code, text))
}

// closed is called when the connection has ended.
func (c *client) closed() {
	c.system.connections.Add(-1)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = true
	for channel, m := range c.joined {
		c.forget(channel, m)
	}
}

// note keeps in mind which clients have joined items of a channel. The caller holds c.mu; the order of locks is c.mu, s.mu.
func (s *System) note(channel string, c *client, m *membership) {
	items := len(m.subs)
	if len(m.subs[""]) > 0 {
		items--
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	list := s.alone[channel]
	switch {
	case items > 0 && list == nil:
		s.alone[channel] = map[*client]struct{}{c: {}}
	case items > 0:
		list[c] = struct{}{}
	default:
		if delete(list, c); len(list) == 0 {
			delete(s.alone, channel)
		}
	}
}

// syncItems sends what their items are to those that have joined some, because the log of the channel was lost.
func (s *System) syncItems(channel string) {
	s.mu.Lock()
	list := make([]*client, 0, len(s.alone[channel]))
	for c := range s.alone[channel] {
		list = append(list, c)
	}
	s.mu.Unlock()
	work := func() {
		for _, c := range list {
			c.sync(channel)
		}
	}
	if len(list) > 0 && !s.host.Background(work) {
		s.host.Log().Error("clients were not sent the items again after the log of a channel was lost: too much side work is running", "channel", channel)
	}
}

// sync sends the client what the items are that it has joined.
func (c *client) sync(channel string) {
	c.mu.Lock()
	m := c.joined[channel]
	if m == nil {
		c.mu.Unlock()
		return
	}
	items := slices.DeleteFunc(slices.Collect(maps.Keys(m.subs)), func(item string) bool { return item == "" })
	f := c.follow(channel, m, items)
	c.mu.Unlock()
	_ = c.client.Follow(f) // an end of the connection
}
