package admin

import (
	"cmp"
	"encoding/json"
	"slices"
	"strconv"
	"time"

	"github.com/valyala/fasthttp"

	"weir/internal/wire"
	"weir/relay/hub"
	"weir/relay/jsonbody"
	"weir/relay/problem"
)

// whereabouts is where a message is, on this node.
type whereabouts struct {
	Channel   string        `json:"channel"`
	Seq       uint64        `json:"seq"`
	Epoch     string        `json:"epoch"`            // of the channel's log
	Head      uint64        `json:"head"`             // seq of its last change
	Published bool          `json:"published"`        // there is such a change
	Logged    bool          `json:"logged"`           // and the log still has it
	Change    any           `json:"change,omitempty"` // as the log has it
	Followers int           `json:"followers"`        // of the channel
	Flushed   bool          `json:"flushed"`          // it has left the window; false without followers
	Waiting   []slowSession `json:"waiting"`          // followers for which something waits, ten at most: it may be among that
	Trace     *traced       `json:"trace,omitempty"`  // if the message was traced, and lately
}

// traced is when a traced message got how far.
type traced struct {
	ID    string       `json:"traceId"`
	Begun time.Time    `json:"begun"`
	Steps []tracedStep `json:"steps"`
}

// tracedStep is one step.
type tracedStep struct {
	Name string  `json:"name"`
	MS   float64 `json:"ms"` // since the message came
}

// handleTrace is GET /trace?channel=&seq=: where a message is.
func (s *Server) handleTrace(ctx *fasthttp.RequestCtx) {
	channel := string(ctx.QueryArgs().Peek("channel"))
	if !wire.ValidChannel(channel) {
		s.gate.Refuse(ctx, problem.BadChannel)
		return
	}
	seq, err := strconv.ParseUint(string(ctx.QueryArgs().Peek("seq")), 10, 64)
	if err != nil || seq == 0 {
		s.gate.Refuse(ctx, problem.BadField.With("seq must be a whole number, 1 or more"))
		return
	}
	if err := s.hub.EnsureLoaded(channel, hub.WaitForDisk); err != nil {
		s.gate.Fail(ctx, err)
		return
	}
	b, err := json.Marshal(s.whereabouts(channel, seq))
	if err != nil {
		s.gate.Fail(ctx, err)
		return
	}
	ctx.Response.Header.Set("Cache-Control", "no-store")
	jsonbody.Answer(ctx, b)
}

func (s *Server) whereabouts(channel string, seq uint64) *whereabouts {
	w := &whereabouts{Channel: channel, Seq: seq, Waiting: []slowSession{}}
	changes, _, at, ok := s.hub.Broker.History(channel, seq+1, 1)
	w.Epoch, w.Head = at.Epoch, at.Seq
	w.Published = ok && seq <= at.Seq
	var list []struct {
		Seq uint64 `json:"seq"`
	}
	var whole []any
	if json.Unmarshal(changes, &list) == nil && len(list) == 1 && list[0].Seq == seq && json.Unmarshal(changes, &whole) == nil {
		w.Logged, w.Change = true, whole[0]
	}
	for _, x := range s.sessions.Sessions() {
		follows := false
		x.EachChannel(func(name string, f *hub.Fanout) {
			if f != nil && name == channel {
				follows, w.Flushed = true, f.Flushed() >= seq
			}
		})
		if !follows {
			continue
		}
		w.Followers++
		if queued := x.Conn().Queued(); queued > 0 {
			w.Waiting = append(w.Waiting, slowSession{x.ID(), x.User(), x.Address(), queued})
		}
	}
	slices.SortFunc(w.Waiting, func(a, b slowSession) int { return cmp.Compare(b.Queued, a.Queued) })
	w.Waiting = w.Waiting[:min(len(w.Waiting), 10)]
	if t := s.hub.Tracing.Of(channel, seq); t != nil {
		w.Trace = &traced{ID: t.TraceID, Begun: t.Begun, Steps: []tracedStep{}}
		step := func(name string, at time.Time) {
			if !at.IsZero() {
				w.Trace.Steps = append(w.Trace.Steps, tracedStep{name, float64(at.Sub(t.Begun).Microseconds()) / 1000})
			}
		}
		step("accepted", t.Accepted)
		step("stored", t.Stored)
		step("left its window", t.Flushed)
		step("frame", t.Built)
		step("first write", t.First)
		step("last write", t.Last)
	}
	return w
}
