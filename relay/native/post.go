package native

import (
	"log/slog"
	"time"

	"github.com/valyala/fasthttp"

	"weir/internal/wire"
	"weir/relay/auth"
	"weir/relay/hub"
	"weir/relay/jsonbody"
	"weir/relay/problem"
)

// HandleCommand is POST /command: one command of an end user who has no WebSocket to send it on, such as a
// page that follows its channels by an event stream. It is checked, limited and answered as it would be there.
// The session that runs it has no connection, and ends with the request.
func (m *Server) HandleCommand(ctx *fasthttp.RequestCtx, id *auth.Identity) error {
	var c wire.Command
	err := c.Parse(ctx.PostBody())
	if limit := int(m.hub.Config.Limit.Message); err == nil && len(ctx.PostBody()) > limit {
		err = problem.TooLarge.With("a command must not exceed " + m.hub.Config.Limit.Message.String())
	}
	s := &speaker{server: m}
	m.sessions.ForRequest(&s.Session, id, Features(ctx), s)
	var payload []byte
	if err == nil {
		payload, err = s.post(&c)
	}
	if err != nil {
		f := problem.Of(err)
		if f == problem.Internal {
			m.hub.Log.Error("command failed", slog.String("error", err.Error()))
		}
		m.hub.Counters.Errors.Of(f.Code).Inc()
		ctx.SetStatusCode(f.Status)
		payload = f.AppendError(nil, c.ID)
	}
	jsonbody.Answer(ctx, payload)
	return nil
}

// post runs a command that came in a request.
func (s *speaker) post(c *wire.Command) ([]byte, error) {
	switch c.Type {
	case "publish", "history", "presence", "message", "event", "call":
	case "":
		return nil, problem.BadField.With("type is missing")
	case "subscribe", "unsubscribe":
		return s.onStream(c)
	case "ping":
		return Pong(c.ID), nil
	case "refresh":
		return nil, problem.UnknownType.With("refresh is for WebSockets: open a new stream with the new token")
	default:
		return nil, problem.UnknownType
	}
	s.server.hub.Counters.Commands.Of(c.Type).Inc()
	return s.run(c, time.Now(), hub.WaitForAll)
}

// onStream runs a command that changes what an event stream of the same user follows. The stream itself tells what
// comes of a subscription, in order with the changes; that it has begun is answered here.
func (s *speaker) onStream(c *wire.Command) ([]byte, error) {
	if c.Connection == "" {
		return nil, problem.BadField.With(c.Type + " needs connectionId, that of an event stream")
	}
	var stream *speaker
	if other := s.server.sessions.Session(c.Connection); other != nil && other.User() == s.User() {
		stream, _ = other.Protocol().(*speaker)
	}
	if stream == nil || stream.stream == nil || stream.stream.open != nil {
		return nil, problem.NotFound.With("not found: no event stream of this user has this connectionId")
	}
	s.server.hub.Counters.Commands.Of(c.Type).Inc()
	var err error
	switch {
	case c.Type == "subscribe":
		err = stream.subscribeCommand(c, hub.WaitForAll)
	case !wire.ValidChannel(c.Channel):
		err = problem.BadChannel
	case !stream.Unsubscribe(c.Channel, nil):
		err = problem.NotSubscribed
	}
	if err != nil {
		return nil, err
	}
	return answer("ok", c.ID, nil), nil
}
