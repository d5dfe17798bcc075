package mercure

import (
	"strconv"
	"strings"

	"github.com/valyala/fasthttp"

	"weir/relay/problem"
)

// maxText bounds the id and the type of an update in bytes: ids come back in headers.
const maxText = 1024

// handlePublish is POST /.well-known/mercure.
func (s *System) handlePublish(ctx *fasthttp.RequestCtx) {
	g, bad := s.authorize(ctx, s.publisher)
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
	switch {
	case len(u.Topics) == 0:
		return nil, badRequest(`the parameter "topic" is missing`)
	case len(u.Topics) > maxSelectors:
		return nil, tooLarge("an update has at most 1000 topics")
	case strings.ContainsAny(u.ID, "\r\n\x00"), strings.HasPrefix(u.ID, "#"), u.ID == earliest, len(u.ID) > maxText:
		return nil, badRequest(`"id" must have at most 1024 bytes, hold no line break and no NUL, not begin with # and not be "earliest"`)
	case strings.ContainsAny(u.Type, "\r\n\x00"), len(u.Type) > maxText:
		return nil, badRequest(`"type" must have at most 1024 bytes and hold no line break and no NUL`)
	}
	if retry := text("retry"); retry != "" {
		var err error
		if u.Retry, err = strconv.ParseUint(retry, 10, 63); err != nil {
			return nil, badRequest(`"retry" must be milliseconds, in digits`)
		}
	}
	for _, topic := range u.Topics {
		if strings.Contains(topic, Path) {
			return nil, foreignTopic
		}
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
