package mercure

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"github.com/valyala/fasthttp"

	"weir/broker"
	"weir/relay/problem"
)

// maxText bounds the id and the type of an update in bytes: ids come back in headers.
const maxText = 1024

// handlePublish is POST /.well-known/mercure.
func (s *System) handlePublish(ctx *fasthttp.RequestCtx) {
	g, bad := s.authorize(ctx, s.now().publisher)
	modern := g != nil && g.modern
	if bad == nil && g == nil {
		bad = noToken
	}
	if bad == nil && len(g.publish) == 0 {
		bad = outOfScope
	}
	var u *update
	if bad == nil {
		u, bad = s.readUpdate(ctx, g)
	}
	if bad != nil {
		s.refuse(ctx, bad, modern)
		return
	}
	if err := s.publish(u); err != nil {
		s.failed(ctx, err)
		return
	}
	ctx.SetContentType("text/plain; charset=utf-8")
	ctx.SetBodyString(u.ID)
	s.setCORS(ctx)
}

// failed answers a request that the relay cannot serve now.
func (s *System) failed(ctx *fasthttp.RequestCtx, err error) {
	p := problem.Of(err)
	if p == problem.Internal {
		s.host.Log().Error("mercure: request failed", "error", err.Error())
	}
	s.fail(ctx, p.Status, p.Message)
}

// readUpdate reads the form.
func (s *System) readUpdate(ctx *fasthttp.RequestCtx, g *grants) (*update, *refusal) {
	form := ctx.PostArgs()
	text := func(name string) string { return strings.ToValidUTF8(string(form.Peek(name)), "\uFFFD") }
	u := &update{ID: text("id"), Type: text("type"), Data: text("data"), Private: form.Has("private")}
	for _, topic := range form.PeekMulti("topic") {
		u.Topics = append(u.Topics, strings.ToValidUTF8(string(topic), "\uFFFD"))
	}
	if len(u.Topics) == 0 {
		return nil, badRequest(`the parameter "topic" is missing`)
	}
	if bad := u.check(); bad != nil && bad != foreignTopic {
		return nil, bad
	}
	if retry := text("retry"); retry != "" {
		var err error
		if u.Retry, err = strconv.ParseUint(retry, 10, 63); err != nil {
			return nil, badRequest(`"retry" must be milliseconds, in digits`)
		}
	}
	if bad := u.check(); bad != nil {
		return nil, bad
	}
	for _, topic := range u.Topics {
		if !s.covers(g.publish, topic) {
			return nil, outOfScope
		}
	}
	if u.ID == "" {
		u.ID = newID(s.host.Now())
	}
	return u, nil
}

// check returns what is wrong with an update.
func (u *update) check() *refusal {
	switch {
	case len(u.Topics) > maxSelectors:
		return tooLarge("an update has at most 1000 topics")
	case strings.ContainsAny(u.ID, "\r\n\x00"), strings.HasPrefix(u.ID, "#"), u.ID == earliest, len(u.ID) > maxText:
		return badRequest(`"id" must have at most 1024 bytes, hold no line break and no NUL, not begin with # and not be "earliest"`)
	case strings.ContainsAny(u.Type, "\r\n\x00"), len(u.Type) > maxText:
		return badRequest(`"type" must have at most 1024 bytes and hold no line break and no NUL`)
	case slices.ContainsFunc(u.Topics, func(topic string) bool { return strings.Contains(topic, Path) }):
		return foreignTopic
	}
	return nil
}

// carry publishes what a backend has published natively to the log: an update, as the log has it.
func (s *System) carry(channel string, p *broker.Publication) (broker.Receipt, error) {
	if channel != logChannel {
		return broker.Receipt{}, problem.NotFound.With("the hub has one channel, " + logChannel)
	}
	u := new(update)
	d := json.NewDecoder(bytes.NewReader(p.Data))
	d.DisallowUnknownFields()
	if p.Op != broker.Send || d.Decode(u) != nil || len(u.Topics) == 0 {
		return broker.Receipt{}, problem.BadField.With(`expected an update, such as {"topics":["https://example.com/books/1"],"data":"text"}, with private, type, id and retry as needed`)
	}
	if bad := u.check(); bad != nil {
		return broker.Receipt{}, problem.BadField.With(bad.text)
	}
	if u.ID == "" {
		u.ID = newID(s.host.Now())
	}
	s.ready(u)
	return s.accept(u, u.encode(), p.IdempotencyKey)
}
