package feed

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"

	"github.com/oklog/ulid/v2"
	"github.com/valyala/fasthttp"

	"weir/broker"
	"weir/internal/wire"
	"weir/relay/hub"
	"weir/relay/jsonbody"
	"weir/relay/problem"
)

// handlePost is POST /v1/feed/{user}. The same id again gets the response of the first one.
func (s *System) handlePost(ctx *fasthttp.RequestCtx) error {
	user, _ := ctx.UserValue("user").(string)
	if plainUser, err := url.PathUnescape(user); err == nil {
		user = plainUser
	}
	it, err := s.item(ctx.PostBody())
	switch {
	case err != nil:
		return err
	case it.Users != nil:
		return bad("userIds is for POST /v1/feed, without a user in the path")
	}
	if err = jsonbody.OnlyMembers(ctx, "type", "id", "data"); err != nil {
		return err
	}
	receipt, err := s.post(user, &it)
	if err != nil {
		return err
	}
	members, err := answer(&it, receipt)
	if err != nil {
		return err
	}
	return jsonbody.Write(ctx, http.StatusOK, json.RawMessage(slices.Concat([]byte("{"), members, []byte("}"))))
}

// handlePostMany is POST /v1/feed: one item for several users, and a result for each.
func (s *System) handlePostMany(ctx *fasthttp.RequestCtx) error {
	it, err := s.item(ctx.PostBody())
	if err != nil {
		return err
	}
	if err := jsonbody.OnlyMembers(ctx, "type", "id", "data", "userIds"); err != nil {
		return err
	}
	if err := hub.CheckMany("userIds", it.Users); err != nil {
		return err
	}
	receipts, failed := make([]broker.Receipt, len(it.Users)), make([]error, len(it.Users))
	for i, user := range it.Users {
		receipts[i], failed[i] = s.post(user, &it)
	}
	a := hub.NewAnswers("userId")
	for i, user := range it.Users {
		var members []byte
		if failed[i] == nil {
			members, failed[i] = answer(&it, receipts[i])
		}
		a.Add(user, members, failed[i])
	}
	return jsonbody.Write(ctx, http.StatusOK, json.RawMessage(a.JSON()))
}

// item reads what a backend posts, and gives it an id if it has none.
func (s *System) item(body []byte) (item, error) {
	it, err := parse(body)
	if err != nil {
		return it, err
	}
	if it.ID == "" {
		it.ID = ulid.Make().String()
	}
	if len(it.Data) > s.limit {
		return it, problem.New(http.StatusRequestEntityTooLarge, "too_large", fmt.Sprintf("data is larger than %d bytes", s.limit), false)
	}
	return it, nil
}

// post adds an item to the feed of a user.
func (s *System) post(user string, it *item) (broker.Receipt, error) {
	channel, ok := channelOf(user)
	if !ok {
		return broker.Receipt{}, bad("the user id is too long for a feed")
	}
	if hub.EventCursor(channel, it.ID) {
		return broker.Receipt{}, bad("id looks like a cursor of this feed: choose another")
	}
	receipt, err := s.host.Submit(channel, &broker.Publication{Op: broker.Send, Data: it.append(nil), IdempotencyKey: it.ID})
	if err == nil {
		s.taken.Inc()
	}
	return receipt, err
}

// answer waits until an item is stored, if it is to be, and returns the members of the response.
func answer(it *item, receipt broker.Receipt) (members []byte, err error) {
	at, err := receipt.Settle()
	if err != nil {
		return nil, err
	}
	return wire.AppendPosition(append(wire.AppendString([]byte(`"id":`), it.ID), `,"position":`...), at.Epoch, at.Seq), nil
}
