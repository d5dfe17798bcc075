package relay

import (
	"strconv"

	"github.com/valyala/fasthttp"

	"weir/broker"
	"weir/relay/jsonbody"
	"weir/relay/problem"
	"weir/relay/session"
)

// handleChannels is GET /v1/channels: the channels whose names begin with prefix, a page at a time.
func (r *Relay) handleChannels(ctx *fasthttp.RequestCtx) {
	args := ctx.QueryArgs()
	n, err := queryInt(ctx, "limit")
	var limit int
	if err == nil {
		limit, err = session.PageSize(int(min(n, session.MaxPage+1)))
	}
	if err != nil {
		r.gate.Fail(ctx, err)
		return
	}
	list, err := r.hub.Broker.Channels(string(args.Peek("prefix")), string(args.Peek("after")), limit+1)
	if err != nil { // half a list would pass for a whole one
		r.gate.Fail(ctx, err)
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
func (r *Relay) handleState(ctx *fasthttp.RequestCtx, channel, _, _ string) {
	reply, ok := r.hub.Broker.Read(channel, nil)
	if !ok {
		r.missing(ctx, channel)
		return
	}
	b := append([]byte(`{"channel":"`), channel...)
	b = appendAt(append(b, `",`...), reply.Position.Epoch, reply.Position.Seq)
	b = append(append(b, `,"state":`...), reply.State...)
	jsonbody.Answer(ctx, append(b, '}'))
}

// missing answers a request for a channel that is not there, or can not be read.
func (r *Relay) missing(ctx *fasthttp.RequestCtx, channel string) {
	if err := r.hub.Broker.Load(channel); err != nil {
		r.gate.Fail(ctx, err)
		return
	}
	r.gate.Refuse(ctx, problem.NotFound)
}

// handleGroup is GET /v1/channels/{channel}/{group}: the items of one group.
func (r *Relay) handleGroup(ctx *fasthttp.RequestCtx, channel, group, _ string) {
	reply, ok := r.hub.Broker.Read(channel, []string{group})
	if !ok {
		r.missing(ctx, channel)
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
func (r *Relay) handleItem(ctx *fasthttp.RequestCtx, channel, group, key string) {
	data, at, ok := r.hub.Broker.Item(channel, group, key)
	if !ok {
		r.missing(ctx, channel)
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
func (r *Relay) handleHistory(ctx *fasthttp.RequestCtx, channel, _, _ string) {
	before, err := queryInt(ctx, "before")
	var n uint64
	if err == nil {
		n, err = queryInt(ctx, "limit")
	}
	var limit int
	if err == nil {
		limit, err = session.PageSize(int(min(n, session.MaxPage+1)))
	}
	if err != nil {
		r.gate.Fail(ctx, err)
		return
	}
	changes, more, at, ok := r.hub.Broker.History(channel, before, limit)
	if !ok {
		r.missing(ctx, channel)
		return
	}
	b := append([]byte(`{"channel":"`), channel...)
	b = appendAt(append(b, `",`...), at.Epoch, at.Seq)
	b = append(append(b, `,"changes":`...), changes...)
	b = strconv.AppendBool(append(b, `,"more":`...), more)
	jsonbody.Answer(ctx, append(b, '}'))
}

// handlePresence is GET /v1/channels/{channel}/presence.
func (r *Relay) handlePresence(ctx *fasthttp.RequestCtx, channel, _, _ string) {
	b := append([]byte(`{"channel":"`), channel...)
	b = r.hub.Presence.AppendUsers(append(b, '"'), channel, ctx.QueryArgs().Has("count"))
	jsonbody.Answer(ctx, append(b, '}'))
}

// handleClear is DELETE /v1/channels/{channel}: items and log go, readers are told by a resync.
func (r *Relay) handleClear(ctx *fasthttp.RequestCtx, channel, _, _ string) {
	at, err := r.hub.Broker.Drop(channel)
	if err != nil {
		r.gate.Fail(ctx, err)
		return
	}
	jsonbody.Answer(ctx, append(appendAt([]byte{'{'}, at.Epoch, at.Seq), '}'))
}

// handleClearGroup is DELETE /v1/channels/{channel}/{group}: a delete for each item.
func (r *Relay) handleClearGroup(ctx *fasthttp.RequestCtx, channel, group, _ string) {
	at, n, err := r.hub.Broker.DeleteGroup(channel, group)
	switch {
	case err != nil:
		r.gate.Fail(ctx, err)
		return
	case n == 0:
		r.gate.Refuse(ctx, problem.NotFound)
		return
	}
	b := appendAt([]byte{'{'}, at.Epoch, at.Seq)
	b = strconv.AppendInt(append(b, `,"deleted":`...), int64(n), 10)
	jsonbody.Answer(ctx, append(b, '}'))
}

// handleDelete is DELETE /v1/channels/{channel}/{group}/{key}.
func (r *Relay) handleDelete(ctx *fasthttp.RequestCtx, channel, group, key string) {
	if _, _, ok := r.hub.Broker.Item(channel, group, key); !ok {
		r.missing(ctx, channel)
		return
	}
	at, err := r.hub.Broker.Publish(channel, &broker.Publication{Op: broker.Delete, Group: group, Key: key})
	if err != nil {
		r.gate.Fail(ctx, err)
		return
	}
	jsonbody.Answer(ctx, append(appendAt([]byte{'{'}, at.Epoch, at.Seq), '}'))
}
