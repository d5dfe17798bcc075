package relay

import (
	"time"

	"github.com/valyala/fasthttp"

	"weir/internal/wire"
	"weir/relay/auth"
)

// handleCommand is POST /command: one command of an end user who has no WebSocket to send it on, such as a
// page that follows its channels by an event stream. It is checked, limited and answered as it would be there.
// The session that runs it has no connection, and ends with the request.
func (r *Relay) handleCommand(ctx *fasthttp.RequestCtx, id *auth.Identity) error {
	var c wire.Command
	if err := c.Parse(ctx.PostBody()); err != nil {
		return err
	}
	switch c.Type {
	case "publish", "history", "presence", "message", "event":
	case "":
		return faultField.with("type is missing")
	case "subscribe", "unsubscribe", "refresh", "ping":
		return faultType.with(c.Type + " is for connections")
	default:
		return faultType
	}
	r.metrics.commands.of(c.Type).Inc()
	s := &session{relay: r, user: id.User, id: "command:" + id.User}
	s.identity.Store(id)
	if err := s.run(&c, time.Now()); err != nil {
		return err
	}
	answerJSON(ctx, s.out)
	return nil
}
