package newsfeed

import (
	"fmt"
	"net/http"
	"net/url"

	"github.com/oklog/ulid/v2"
	"github.com/valyala/fasthttp"

	"weir/broker"
	"weir/internal/wire"
	"weir/relay"
)

// handlePost is POST /v1/feed/{user}. The same id again answers what the first one was answered.
func (s *System) handlePost(ctx *fasthttp.RequestCtx) error {
	user, _ := ctx.UserValue("user").(string)
	if plainUser, err := url.PathUnescape(user); err == nil {
		user = plainUser
	}
	channel, ok := channelOf(user)
	if !ok {
		return bad("the user id is too long to have a feed")
	}
	it, err := parse(ctx.PostBody())
	if err != nil {
		return err
	}
	if it.ID == "" {
		it.ID = ulid.Make().String()
	}
	if relay.EventCursor(channel, it.ID) {
		return bad("id looks like a cursor of this feed: choose another")
	}
	if len(it.Data) > s.limit {
		return relay.Fault(http.StatusRequestEntityTooLarge, "too_large", fmt.Sprintf("data is larger than %d bytes", s.limit), false)
	}
	at, err := s.core.Publish(channel, &broker.Publication{Op: broker.Send, Data: it.append(nil), IdempotencyKey: it.ID})
	if err != nil {
		return err
	}
	b := wire.AppendString([]byte(`{"id":`), it.ID)
	b = wire.AppendPosition(append(b, `,"position":`...), at.Epoch, at.Seq)
	ctx.SetContentType("application/json")
	ctx.SetBody(append(b, '}'))
	return nil
}
