package relay

import (
	"bytes"
	"errors"
	"net/url"
	"strconv"
	"sync"
	"time"

	"github.com/valyala/fasthttp"

	"weir/broker"
	"weir/internal/wire"
	"weir/relay/auth"
	"weir/relay/jsonbody"
	"weir/relay/problem"
)

// publishPath is the route that backends use most.
const publishPath = "/v1/publish"

// route is one route for backends.
type route struct {
	method, path string
	handle       fasthttp.RequestHandler
}

// apiRoutes lists the routes for backends; the OpenAPI document describes the same.
func (r *Relay) apiRoutes() []route {
	return []route{
		{"POST", publishPath, r.handlePublish},
		{"GET", "/v1/channels", r.handleChannels},
		{"GET", "/v1/channels/{channel}", r.onChannel(r.handleState)},
		{"DELETE", "/v1/channels/{channel}", r.onChannel(r.handleClear)},
		{"GET", "/v1/channels/{channel}/history", r.onChannel(r.handleHistory)},
		{"GET", "/v1/channels/{channel}/presence", r.onChannel(r.handlePresence)},
		{"GET", "/v1/channels/{channel}/{group}", r.onChannel(r.handleGroup)},
		{"DELETE", "/v1/channels/{channel}/{group}", r.onChannel(r.handleClearGroup)},
		{"GET", "/v1/channels/{channel}/{group}/{key}", r.onChannel(r.handleItem)},
		{"DELETE", "/v1/channels/{channel}/{group}/{key}", r.onChannel(r.handleDelete)},
		{"POST", "/v1/events", r.handleEvents},
		{"GET", "/v1/connections", r.handleConnections},
		{"POST", "/v1/disconnect", r.handleDisconnect},
		{"POST", "/v1/unsubscribe", r.handleUnsubscribe},
		{"POST", "/v1/tickets", r.handleTickets},
	}
}

// handlePublish is POST /v1/publish: one JSON object, or one a line.
func (r *Relay) handlePublish(ctx *fasthttp.RequestCtx) {
	lines, ok := publication(ctx.Request.Header.ContentType())
	if !ok {
		r.refuse(ctx, problem.MediaType)
		return
	}
	p := r.publisher()
	defer p.release()
	p.lenient = jsonbody.Lenient(ctx)
	if lines {
		p.lines(r, ctx.PostBody())
		ctx.SetContentType("application/x-ndjson")
		ctx.Response.SetBody(p.out) // a copy
		return
	}
	var err error
	if p.out, err = p.publish(r, p.out, ctx.PostBody()); err != nil {
		r.fail(ctx, err)
		return
	}
	jsonbody.Answer(ctx, p.out) // a copy
}

// publication says whether a Content-Type is that of one publication a line, and whether it is that of
// publications at all.
func publication(kind []byte) (lines, ok bool) {
	kind, _, _ = bytes.Cut(kind, []byte(";"))
	var lower [40]byte // which is longer than any of them
	switch kind = bytes.TrimSpace(kind); string(lowercase(lower[:], kind)) {
	case "application/x-ndjson", "application/ndjson", "application/jsonl":
		return true, true
	case "":
		return false, len(kind) == 0
	case "application/json", "application/x-www-form-urlencoded", "text/plain": // what curl -d says
		return false, true
	}
	return false, false
}

// publisher publishes what one request of a backend holds. It remembers what the last publication was for:
// lines of one request are often of one channel.
type publisher struct {
	command   wire.Command
	publisher broker.Publisher
	channel   string // aliases the request
	ns        *namespace
	epoch     string
	head      []byte // of an answer with that epoch
	out       []byte // the answer; the request's handler fills it
	waits     []lineWait
	lenient   bool // members that are not known are passed over

	// Asked before what belongs to a durable channel is published; an error keeps it from that. nil: nobody.
	durable func(publisher *broker.Publisher, c *wire.Command) error
}

// lineWait is a line that is not safe yet.
type lineWait struct {
	line int
	at   int // where its answer begins
	wait func() (broker.Position, error)
}

func appendLineFault(dst []byte, line int, err error) []byte {
	dst = problem.Of(err).AppendBody(append(dst, '{'))
	return append(strconv.AppendInt(append(dst, `,"line":`...), int64(line), 10), "}\n"...)
}

// settle waits for the lines that are not safe yet, and puts errors in the place of the answers to those that do
// not get there.
func (p *publisher) settle(out []byte) []byte {
	var settled []byte // of out up to from
	from := 0
	for _, w := range p.waits {
		if _, err := w.wait(); err != nil {
			settled = appendLineFault(append(settled, out[from:w.at]...), w.line, err)
			from = w.at + bytes.IndexByte(out[w.at:], '\n') + 1
		}
	}
	clear(p.waits)
	p.waits = p.waits[:0]
	if from == 0 {
		return out
	}
	return append(settled, out[from:]...)
}

// publishers are used again: their buffers are.
var publishers = sync.Pool{New: func() any { return new(publisher) }}

// publisher is for one request. It is to be released.
func (r *Relay) publisher() *publisher {
	p := publishers.Get().(*publisher)
	p.publisher = r.broker.Publisher()
	return p
}

// release gives the publisher back. It keeps nothing of the request.
func (p *publisher) release() {
	*p = publisher{head: p.head[:0], out: p.out[:0], waits: p.waits[:0]}
	if cap(p.out) <= 1<<17 && cap(p.waits) <= 1<<12 {
		publishers.Put(p)
	}
}

// publish makes one publication, waits until it is as safe as is asked for, and appends the answer. It may write to
// body, which is to stay as it is then.
func (p *publisher) publish(r *Relay, dst, body []byte) ([]byte, error) {
	dst, receipt, err := p.submit(r, dst, body)
	if errors.Is(err, errMany) {
		return p.many(r, dst)
	}
	if err == nil && receipt.Wait != nil {
		_, err = receipt.Wait()
	}
	return dst, err
}

// submit is publish that leaves the waiting for the ticket to the caller, and what is for several channels: errMany.
func (p *publisher) submit(r *Relay, dst, body []byte) ([]byte, broker.Receipt, error) {
	c := &p.command
	if err := c.Parse(body); err != nil {
		return dst, broker.Receipt{}, err
	}
	if !p.lenient && !c.Within(wire.Publication) {
		return dst, broker.Receipt{}, jsonbody.Unknown(wire.Beyond(body, wire.Publication))
	}
	if c.Channels != nil {
		return dst, broker.Receipt{}, errMany
	}
	if p.ns == nil || c.Channel != p.channel {
		if !wire.ValidChannel(c.Channel) {
			return dst, broker.Receipt{}, problem.BadChannel
		}
		p.channel, p.ns = c.Channel, r.policies.of(c.Channel)
	}
	if p.durable != nil && p.ns.log.Durable {
		if err := p.durable(&p.publisher, c); err != nil {
			return dst, broker.Receipt{}, err
		}
	}
	receipt, err := r.submit(&p.publisher, p.ns, c, "")
	if err != nil {
		return dst, broker.Receipt{}, err
	}
	at := receipt.Position
	if at.Epoch != p.epoch {
		p.epoch = at.Epoch
		p.head = append(append(append(p.head[:0], `{"position":{"epoch":"`...), at.Epoch...), `","seq":`...)
	}
	return append(strconv.AppendUint(append(dst, p.head...), at.Seq, 10), `}}`...), receipt, nil
}

// lines publishes NDJSON: each line is a publication of its own and gets a line of its own in answer, in
// order, whether it succeeded or not. Those that are to be safe on disk are waited for together.
func (p *publisher) lines(r *Relay, body []byte) {
	out := p.out
	for n := 1; len(body) > 0; n++ {
		var line []byte
		if i := bytes.IndexByte(body, '\n'); i >= 0 {
			line, body = body[:i], body[i+1:]
		} else {
			line, body = body, nil
		}
		if len(line) == 0 || line[0] != '{' && len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		answered, receipt, err := p.submit(r, out, line)
		if errors.Is(err, errMany) {
			answered, err = p.many(r, out)
		}
		if err != nil {
			out = appendLineFault(out, n, err)
		} else {
			if receipt.Wait != nil {
				p.waits = append(p.waits, lineWait{n, len(out), receipt.Wait})
			}
			out = append(answered, '\n')
		}
	}
	out = p.settle(out)
	p.out = out
}

// fail answers a request with an error.
func (r *Relay) fail(ctx *fasthttp.RequestCtx, err error) {
	f := problem.Of(err)
	if f == problem.Internal {
		r.log.Error("request failed", "path", string(ctx.Path()), "error", err.Error())
	}
	r.refuse(ctx, f)
}

// onChannel decodes the names in the path of a route.
func (r *Relay) onChannel(next func(ctx *fasthttp.RequestCtx, channel, group, key string)) fasthttp.RequestHandler {
	return func(ctx *fasthttp.RequestCtx) {
		var names [3]string
		for i, param := range []string{"channel", "group", "key"} {
			raw, ok := ctx.UserValue(param).(string)
			if !ok {
				continue
			}
			name, err := url.PathUnescape(raw)
			if err != nil || i == 0 && !wire.ValidChannel(name) {
				r.refuse(ctx, problem.BadChannel)
				return
			}
			if i > 0 && !wire.ValidName(name) {
				r.refuse(ctx, problem.BadName)
				return
			}
			names[i] = name
		}
		next(ctx, names[0], names[1], names[2])
	}
}

// target names whom a backend means.
type target struct {
	Channel      string `json:"channel"`
	UserID       string `json:"userId"`
	ConnectionID string `json:"connectionId"`
	Reason       string `json:"reason"`
}

// sessions finds whom a backend means: one connection, or all of a user.
func (r *Relay) targets(t target) ([]*session, error) {
	if (t.UserID == "") == (t.ConnectionID == "") {
		return nil, problem.BadField.With("either userId or connectionId is needed")
	}
	if t.UserID != "" {
		return r.sessions.byUser(t.UserID), nil
	}
	if s := r.sessions.byID(t.ConnectionID); s != nil {
		return []*session{s}, nil
	}
	return nil, nil
}

// handleDisconnect is POST /v1/disconnect.
func (r *Relay) handleDisconnect(ctx *fasthttp.RequestCtx) {
	var t target
	err := jsonbody.Read(ctx, &t)
	var list []*session
	if err == nil {
		list, err = r.targets(t)
	}
	if err != nil {
		r.fail(ctx, err)
		return
	}
	if t.Reason == "" {
		t.Reason = "disconnected"
	}
	if t.UserID != "" {
		r.policies.forget(t.UserID, "")
	}
	for _, s := range list {
		s.end(closing{code: wire.CloseForbidden, reason: t.Reason})
	}
	jsonbody.Answer(ctx, strconv.AppendInt([]byte(`{"disconnected":`), int64(len(list)), 10))
	ctx.Response.AppendBodyString("}")
}

// handleUnsubscribe is POST /v1/unsubscribe.
func (r *Relay) handleUnsubscribe(ctx *fasthttp.RequestCtx) {
	var t target
	err := jsonbody.Read(ctx, &t)
	var list []*session
	if err == nil {
		list, err = r.targets(t)
	}
	if err == nil && !wire.ValidChannel(t.Channel) {
		err = problem.BadChannel
	}
	if err != nil {
		r.fail(ctx, err)
		return
	}
	f := problem.Forbidden
	if t.Reason != "" {
		f = f.With(t.Reason)
	}
	n := 0
	if t.UserID != "" {
		r.policies.forget(t.UserID, t.Channel)
	}
	r.revocations.add(revocation{t.UserID, t.ConnectionID, t.Channel, f})
	for _, s := range list {
		if s.deny(t.Channel, f) {
			n++
		}
	}
	jsonbody.Answer(ctx, strconv.AppendInt([]byte(`{"unsubscribed":`), int64(n), 10))
	ctx.Response.AppendBodyString("}")
}

// ticketRequest is the body of POST /v1/tickets: who the ticket stands for.
type ticketRequest struct {
	UserID   string              `json:"userId"`
	Name     string              `json:"name"`
	Avatar   string              `json:"avatar"`
	Roles    []string            `json:"roles"`
	Channels map[string][]string `json:"channels"`
	TTL      int64               `json:"ttl"` // of the session, in seconds; 1 hour
}

// maxTicketTTL bounds how long a session that began with a ticket may last, in seconds.
const maxTicketTTL = 24 * 3600

// handleTickets is POST /v1/tickets: a ticket that opens one connection within 30 seconds, for clients
// that can not set headers.
func (r *Relay) handleTickets(ctx *fasthttp.RequestCtx) {
	var req ticketRequest
	err := jsonbody.Read(ctx, &req)
	if err == nil && (req.TTL < 0 || req.TTL > maxTicketTTL) {
		err = problem.BadField.With("ttl must be 1 to 86400 seconds")
	}
	if err == nil && (req.UserID == "" || !wire.ValidChannel(wire.UserChannel(req.UserID))) {
		err = problem.BadField.With("userId is missing or too long")
	}
	var id *auth.Identity
	if err == nil {
		id, err = auth.Vouch(auth.Claims{Sub: req.UserID, Name: req.Name, Avatar: req.Avatar, Roles: req.Roles, Channels: req.Channels,
			TTL: time.Duration(req.TTL) * time.Second, IssuedAt: r.now()})
		if err != nil {
			err = problem.BadField.With("what a token could not say: " + err.Error())
		}
	}
	if err != nil {
		r.fail(ctx, err)
		return
	}
	ticket, err := r.tickets.Issue(id)
	if err != nil {
		r.fail(ctx, problem.Overloaded.With("too many tickets are waiting to be used"))
		return
	}
	ctx.Response.Header.Set("Cache-Control", "no-store")
	b := wire.AppendString([]byte(`{"ticket":`), ticket)
	jsonbody.Answer(ctx, append(b, `,"expiresIn":30}`...))
}
