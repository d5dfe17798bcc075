package api

import (
	"strings"

	"github.com/valyala/fasthttp"

	"weir/internal/wire"
	"weir/relay/hub"
	"weir/relay/jsonbody"
	"weir/relay/problem"
)

// handleEvents is POST /v1/events: one event, or one a line.
func (s *Server) handleEvents(ctx *fasthttp.RequestCtx) {
	switch lines, ok := hub.Publication(ctx.Request.Header.ContentType()); {
	case !ok:
		s.gate.Refuse(ctx, problem.MediaType)
		return
	case lines:
		s.handleEventLines(ctx)
		return
	}
	if err := s.emitOne(ctx.PostBody(), ctx.Request.Header.Peek("traceparent"), jsonbody.Lenient(ctx)); err != nil {
		s.gate.Fail(ctx, err)
		return
	}
	ctx.SetStatusCode(fasthttp.StatusAccepted)
	jsonbody.Answer(ctx, []byte(`{}`))
}

// emitOne emits what a backend sent, in a request with this traceparent.
func (s *Server) emitOne(body, traceparent []byte, lenient bool) error {
	var c wire.Command
	if err := c.Parse(body); err != nil {
		return err
	}
	if !lenient && !c.Within(wire.Emission) {
		return jsonbody.Unknown(wire.Beyond(body, wire.Emission))
	}
	if c.Key != "" && !wire.ValidName(c.Key) {
		return problem.BadField.With("key must be 1 to 128 of A-Z a-z 0-9 _ - . : / @ ~ =")
	}
	trace := strings.Clone(c.Traceparent)
	if trace == "" && wire.ValidTraceparent(traceparent) {
		trace = string(traceparent)
	}
	data := c.Data
	if data == nil {
		data = []byte("null")
	}
	return s.hub.Emit(&hub.Event{Topic: strings.Clone(c.Topic), Key: strings.Clone(c.Key), Trace: trace, Data: data}) // the names of a command do not outlive it
}

// handleEventLines emits NDJSON: each line is an event of its own and gets a line of its own in answer, in order,
// whether it was accepted or not. A brief answer has only those that were not, and how many were.
func (s *Server) handleEventLines(ctx *fasthttp.RequestCtx) {
	brief, err := hub.Brief(ctx.QueryArgs().Peek("answers"))
	if err != nil {
		s.gate.Fail(ctx, err)
		return
	}
	body, accepted := ctx.PostBody(), 0
	out := make([]byte, 0, 64+len(body)/16)
	for line, n := hub.NextLine(&body, 0); line != nil; line, n = hub.NextLine(&body, n) {
		switch err := s.emitOne(line, ctx.Request.Header.Peek("traceparent"), jsonbody.Lenient(ctx)); {
		case err != nil:
			out = hub.AppendLineFault(out, n, err)
			continue
		case !brief:
			out = append(out, "{}\n"...)
		}
		accepted++
	}
	if brief {
		out = append(hub.AppendAccepted(out, accepted), "}\n"...)
	}
	ctx.SetContentType("application/x-ndjson")
	ctx.Response.SetBodyRaw(out)
}
