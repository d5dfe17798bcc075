package api

import (
	"errors"
	"net/url"
	"strconv"
	"time"

	"github.com/valyala/fasthttp"

	"weir/internal/wire"
	"weir/relay/auth"
	"weir/relay/cluster"
	"weir/relay/hub"
	"weir/relay/ingress"
	"weir/relay/jsonbody"
	"weir/relay/problem"
	"weir/relay/session"
)

// apiRoutes lists the routes for backends; the OpenAPI document describes the same.
func (s *Server) apiRoutes() []Route {
	return []Route{
		{"POST", ingress.PublishPath, s.handlePublish},
		{"GET", "/v1/channels", s.handleChannels},
		{"GET", "/v1/channels/{channel}", s.onChannel(s.handleState)},
		{"DELETE", "/v1/channels/{channel}", s.onChannel(s.handleClear)},
		{"GET", "/v1/channels/{channel}/history", s.onChannel(s.handleHistory)},
		{"GET", "/v1/channels/{channel}/presence", s.onChannel(s.handlePresence)},
		{"GET", "/v1/channels/{channel}/{group}", s.onChannel(s.handleGroup)},
		{"DELETE", "/v1/channels/{channel}/{group}", s.onChannel(s.handleClearGroup)},
		{"GET", "/v1/channels/{channel}/{group}/{key}", s.onChannel(s.handleItem)},
		{"DELETE", "/v1/channels/{channel}/{group}/{key}", s.onChannel(s.handleDelete)},
		{"POST", "/v1/events", s.handleEvents},
		{"GET", "/v1/connections", s.handleConnections},
		{"POST", "/v1/disconnect", s.handleDisconnect},
		{"POST", "/v1/unsubscribe", s.handleUnsubscribe},
		{"POST", "/v1/tickets", s.handleTickets},
	}
}

// handlePublish is POST /v1/publish: one JSON object, or one a line.
func (s *Server) handlePublish(ctx *fasthttp.RequestCtx) {
	lines, ok := hub.Publication(ctx.Request.Header.ContentType())
	if !ok {
		s.gate.Refuse(ctx, problem.MediaType)
		return
	}
	p := s.hub.Publisher()
	defer p.Release()
	p.Lenient = jsonbody.Lenient(ctx)
	if s.hub.Tracing != nil {
		p.Traceparent = ctx.Request.Header.Peek("traceparent")
	}
	brief, err := hub.Brief(ctx.QueryArgs().Peek("answers"))
	if err != nil {
		s.gate.Fail(ctx, err)
		return
	}
	if lines {
		p.Brief = brief
		p.Lines(s.hub, ctx.PostBody())
		ctx.SetContentType("application/x-ndjson")
		ctx.Response.SetBody(p.Out) // a copy
		return
	}
	if p.Out, err = p.Publish(s.hub, p.Out, ctx.PostBody()); err != nil {
		s.gate.Fail(ctx, err)
		return
	}
	jsonbody.Answer(ctx, p.Out) // a copy
}

// onChannel decodes the names in the path of a route.
func (s *Server) onChannel(next func(ctx *fasthttp.RequestCtx, channel, group, key string)) fasthttp.RequestHandler {
	return func(ctx *fasthttp.RequestCtx) {
		var names [3]string
		for i, param := range []string{"channel", "group", "key"} {
			raw, ok := ctx.UserValue(param).(string)
			if !ok {
				continue
			}
			name, err := url.PathUnescape(raw)
			if err != nil || i == 0 && !wire.ValidChannel(name) {
				s.gate.Refuse(ctx, problem.BadChannel)
				return
			}
			if i > 0 && !wire.ValidName(name) {
				s.gate.Refuse(ctx, problem.BadName)
				return
			}
			names[i] = name
		}
		if s.hub.Elsewhere(names[0]) {
			err := cluster.ErrNotOwner
			if forwardedBy(ctx) == nil {
				err = s.forward(ctx, names[0], nil)
			}
			if err != nil {
				s.fail(ctx, err)
			}
			return
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

// check returns what is wrong with a target: it names one connection, or all of a user.
func (t *target) check() error {
	if (t.UserID == "") == (t.ConnectionID == "") {
		return problem.BadField.With("userId or connectionId is required")
	}
	return nil
}

// handleDisconnect is POST /v1/disconnect.
func (s *Server) handleDisconnect(ctx *fasthttp.RequestCtx) {
	var t target
	err := jsonbody.Read(ctx, &t)
	if err == nil {
		err = t.check()
	}
	if err != nil {
		s.gate.Fail(ctx, err)
		return
	}
	if t.Reason == "" {
		t.Reason = "disconnected"
	}
	s.answerOutcome(ctx, "disconnected", s.sessions.Disconnect(t.UserID, t.ConnectionID, t.Reason))
}

// handleUnsubscribe is POST /v1/unsubscribe.
func (s *Server) handleUnsubscribe(ctx *fasthttp.RequestCtx) {
	var t target
	err := jsonbody.Read(ctx, &t)
	if err == nil {
		err = t.check()
	}
	if err == nil && !wire.ValidChannel(t.Channel) {
		err = problem.BadChannel
	}
	if err != nil {
		s.gate.Fail(ctx, err)
		return
	}
	s.answerOutcome(ctx, "unsubscribed", s.sessions.Unsubscribe(t.UserID, t.ConnectionID, t.Channel, t.Reason))
}

// answerOutcome tells how many an order has reached, and in a cluster on how many nodes.
func (s *Server) answerOutcome(ctx *fasthttp.RequestCtx, member string, o session.Outcome) {
	b := strconv.AppendInt(append(append([]byte(`{"`), member...), `":`...), int64(o.Count), 10)
	if s.hub.Cluster != nil {
		b = strconv.AppendInt(append(b, `,"nodes":`...), int64(o.Nodes), 10)
	}
	if len(o.Silent) > 0 {
		b = append(b, `,"silent":[`...)
		for i, node := range o.Silent {
			if i > 0 {
				b = append(b, ',')
			}
			b = wire.AppendString(b, node)
		}
		b = append(b, ']')
	}
	jsonbody.Answer(ctx, append(b, '}'))
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
// that cannot set headers.
func (s *Server) handleTickets(ctx *fasthttp.RequestCtx) {
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
			TTL: time.Duration(req.TTL) * time.Second, IssuedAt: s.sessions.Now()})
		if err != nil {
			why := err.Error()
			if refused, ok := errors.AsType[*auth.Error](err); ok {
				why = refused.Detail
			}
			err = problem.BadField.With("not allowed in a token: " + why)
		}
	}
	if err != nil {
		s.gate.Fail(ctx, err)
		return
	}
	ticket, err := s.sessions.IssueTicket(id)
	if err != nil {
		s.gate.Fail(ctx, problem.Overloaded.With("limit reached: too many unused tickets"))
		return
	}
	ctx.Response.Header.Set("Cache-Control", "no-store")
	b := wire.AppendString([]byte(`{"ticket":`), ticket)
	jsonbody.Answer(ctx, append(b, `,"expiresIn":30}`...))
}
