package api

import (
	"strconv"

	"github.com/valyala/fasthttp"

	"weir/broker"
	"weir/internal/wire"
	"weir/pool"
	"weir/relay/jsonbody"
	"weir/relay/native"
	"weir/relay/problem"
)

// handleChannels is GET /v1/channels: the channels whose names begin with prefix, a page at a time.
func (s *Server) handleChannels(ctx *fasthttp.RequestCtx) {
	args := ctx.QueryArgs()
	limit, err := queryLimit(ctx)
	if err != nil {
		s.gate.Fail(ctx, err)
		return
	}
	list, err := s.Channels(string(args.Peek("prefix")), string(args.Peek("after")), limit+1)
	if err != nil { // half a list would pass for a whole one
		s.gate.Fail(ctx, err)
		return
	}
	more := len(list) > limit
	b := []byte(`{"channels":[`)
	for i, info := range list[:min(len(list), limit)] {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(append(b, `{"channel":"`...), info.Name...)
		b = appendAt(append(b, `",`...), info.Position.Epoch, info.Position.Seq)
		b = strconv.AppendInt(append(b, `,"items":`...), int64(info.Items), 10)
		b = strconv.AppendInt(append(b, `,"history":`...), int64(info.Changes), 10)
		b = strconv.AppendInt(append(b, `,"subscribers":`...), int64(info.Readers), 10)
		b = append(b, '}')
	}
	b = strconv.AppendBool(append(b, `],"more":`...), more)
	jsonbody.Answer(ctx, append(b, '}'))
}

// handleState is GET /v1/channels/{channel}: a snapshot.
func (s *Server) handleState(ctx *fasthttp.RequestCtx, channel, _, _ string) {
	reply, ok := s.hub.Broker.Read(channel, nil)
	if !ok {
		s.missing(ctx, channel)
		return
	}
	b := append([]byte(`{"channel":"`), channel...)
	b = appendAt(append(b, `",`...), reply.Position.Epoch, reply.Position.Seq)
	b = append(append(b, `,"state":`...), reply.State...)
	jsonbody.Answer(ctx, append(b, '}'))
}

// missing answers a request for a channel that is not there, or cannot be read.
func (s *Server) missing(ctx *fasthttp.RequestCtx, channel string) {
	if err := s.hub.Broker.Load(channel); err != nil {
		s.gate.Fail(ctx, err)
		return
	}
	s.gate.Refuse(ctx, problem.NotFound)
}

// handleGroup is GET /v1/channels/{channel}/{group}: the items of one group.
func (s *Server) handleGroup(ctx *fasthttp.RequestCtx, channel, group, _ string) {
	reply, ok := s.hub.Broker.Read(channel, []string{group})
	if !ok {
		s.missing(ctx, channel)
		return
	}
	items := []byte("{}")
	if head := len(`{"":`) + len(group); len(reply.State) > head { // {"group":{...}}
		items = reply.State[head : len(reply.State)-1]
	}
	b := append([]byte(`{"channel":"`), channel...)
	b = append(append(b, `","group":"`...), group...)
	b = appendAt(append(b, `",`...), reply.Position.Epoch, reply.Position.Seq)
	b = append(append(b, `,"items":`...), items...)
	jsonbody.Answer(ctx, append(b, '}'))
}

// handleItem is GET /v1/channels/{channel}/{group}/{key}.
func (s *Server) handleItem(ctx *fasthttp.RequestCtx, channel, group, key string) {
	data, at, ok := s.hub.Broker.Item(channel, group, key)
	if !ok {
		s.missing(ctx, channel)
		return
	}
	b := append([]byte(`{"channel":"`), channel...)
	b = append(append(b, `","group":"`...), group...)
	b = append(append(b, `","key":"`...), key...)
	b = appendAt(append(b, `",`...), at.Epoch, at.Seq)
	b = append(append(b, `,"data":`...), data...)
	jsonbody.Answer(ctx, append(b, '}'))
}

// handleHistory is GET /v1/channels/{channel}/history: changes, newest page first, in order.
func (s *Server) handleHistory(ctx *fasthttp.RequestCtx, channel, _, _ string) {
	before, err := queryInt(ctx, "before")
	var limit int
	if err == nil {
		limit, err = queryLimit(ctx)
	}
	if err != nil {
		s.gate.Fail(ctx, err)
		return
	}
	history := s.hub.Broker.HistoryOfSets
	if native.Features(ctx)&pool.Appends != 0 {
		history = s.hub.Broker.History
	}
	changes, more, at, ok := history(channel, before, limit)
	if !ok {
		s.missing(ctx, channel)
		return
	}
	b := append([]byte(`{"channel":"`), channel...)
	b = appendAt(append(b, `",`...), at.Epoch, at.Seq)
	b = append(append(b, `,"changes":`...), changes...)
	b = strconv.AppendBool(append(b, `,"more":`...), more)
	jsonbody.Answer(ctx, append(b, '}'))
}

// handlePresence is GET /v1/channels/{channel}/presence.
func (s *Server) handlePresence(ctx *fasthttp.RequestCtx, channel, _, _ string) {
	b := append([]byte(`{"channel":"`), channel...)
	b = s.hub.Presence.AppendUsers(append(b, '"'), channel, ctx.QueryArgs().Has("count"))
	jsonbody.Answer(ctx, append(b, '}'))
}

// handleClear is DELETE /v1/channels/{channel}: items and log go, readers are told by a resync.
func (s *Server) handleClear(ctx *fasthttp.RequestCtx, channel, _, _ string) {
	at, err := s.hub.Broker.Drop(channel)
	if err != nil {
		s.gate.Fail(ctx, err)
		return
	}
	jsonbody.Answer(ctx, append(appendAt([]byte{'{'}, at.Epoch, at.Seq), '}'))
}

// handleClearGroup is DELETE /v1/channels/{channel}/{group}: a delete for each item.
func (s *Server) handleClearGroup(ctx *fasthttp.RequestCtx, channel, group, _ string) {
	at, n, err := s.hub.Broker.DeleteGroup(channel, group)
	switch {
	case err != nil:
		s.gate.Fail(ctx, err)
		return
	case n == 0:
		s.gate.Refuse(ctx, problem.NotFound)
		return
	}
	b := appendAt([]byte{'{'}, at.Epoch, at.Seq)
	b = strconv.AppendInt(append(b, `,"deleted":`...), int64(n), 10)
	jsonbody.Answer(ctx, append(b, '}'))
}

// handleDelete is DELETE /v1/channels/{channel}/{group}/{key}.
func (s *Server) handleDelete(ctx *fasthttp.RequestCtx, channel, group, key string) {
	if _, _, ok := s.hub.Broker.Item(channel, group, key); !ok {
		s.missing(ctx, channel)
		return
	}
	at, err := s.hub.Broker.Publish(channel, &broker.Publication{Op: broker.Delete, Group: group, Key: key})
	if err != nil {
		s.gate.Fail(ctx, err)
		return
	}
	jsonbody.Answer(ctx, append(appendAt([]byte{'{'}, at.Epoch, at.Seq), '}'))
}

// appendAt appends the member position.
func appendAt(b []byte, epoch string, seq uint64) []byte {
	return wire.AppendPosition(append(b, `"position":`...), epoch, seq)
}

// queryInt is a whole number of the query; 0 if it is not there.
func queryInt(ctx *fasthttp.RequestCtx, name string) (uint64, error) {
	v := ctx.QueryArgs().Peek(name)
	if len(v) == 0 {
		return 0, nil
	}
	n, err := strconv.ParseUint(string(v), 10, 64)
	if err != nil {
		return 0, problem.BadField.With(name + " must be a whole number")
	}
	return n, nil
}

// queryLimit is how many entries of a list are asked for.
func queryLimit(ctx *fasthttp.RequestCtx) (int, error) {
	n, err := queryInt(ctx, "limit")
	if err != nil {
		return 0, err
	}
	return native.PageSize(int(min(n, native.MaxPage+1)))
}
