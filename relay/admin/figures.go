package admin

import (
	"math"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/valyala/fasthttp"

	"weir/internal/buildinfo"
	"weir/internal/wire"
	"weir/relay/jsonbody"
)

// handleFigures is GET /figures?after=SECOND on the admin listener: what this relay is, and its figures of the seconds
// after that one, an hour at most. The dashboard asks once a second; nothing is sent to it otherwise, so that looking
// at a relay does not change what is seen. In a cluster the figures are those of all nodes.
func (s *Server) handleFigures(ctx *fasthttp.RequestCtx) {
	after, _ := strconv.ParseInt(string(ctx.QueryArgs().Peek("after")), 10, 64) // 0: all there is
	b := append(s.appendSelf(append(make([]byte, 0, 4<<10), '{')), ',')
	if s.hub.Cluster == nil {
		b = s.appendFigures(b, after)
	} else {
		var err error
		if b, err = s.appendAll(b, after); err != nil {
			s.gate.Fail(ctx, err)
			return
		}
	}
	b = append(b, '}')
	ctx.Response.Header.Set("X-Content-Type-Options", "nosniff")
	ctx.Response.Header.Set("Cache-Control", "no-store")
	jsonbody.Answer(ctx, b)
}

// appendFigures appends the figures of this relay as the members of an object.
func (s *Server) appendFigures(b []byte, after int64) []byte {
	b = append(s.recorder.append(b, after), `,"slow":[`...)
	for i, x := range s.Slowest() {
		if i > 0 {
			b = append(b, ',')
		}
		b = x.Append(b)
	}
	return append(b, ']')
}

// appendSelf appends the member "relay": version, start (ms), data directory and systems of this process, whether it is of a
// cluster that keeps durable channels ("replicated"), and its memory limit in bytes (0: none). In a cluster "node" is its name.
func (s *Server) appendSelf(b []byte) []byte {
	build := buildinfo.Read()
	b = wire.AppendString(append(b, `"relay":{"version":`...), build.Version)
	b = wire.AppendString(append(b, `,"revision":`...), build.Revision)
	b = strconv.AppendInt(append(b, `,"started":`...), s.started.UnixMilli(), 10)
	b = strconv.AppendInt(append(b, `,"now":`...), time.Now().UnixMilli(), 10)
	b = wire.AppendString(append(b, `,"data":`...), s.hub.Config.Data)
	b = strconv.AppendBool(append(b, `,"replicated":`...), s.hub.Ledger != nil)
	b = strconv.AppendBool(append(b, `,"dev":`...), s.hub.Config.Dev)
	limit := debug.SetMemoryLimit(-1)
	if limit == math.MaxInt64 {
		limit = 0
	}
	b = strconv.AppendInt(append(b, `,"memoryLimit":`...), limit, 10)
	if s.hub.Cluster != nil {
		b = wire.AppendString(append(b, `,"node":`...), s.hub.Cluster.Node())
	}
	b = append(b, `,"systems":[`...)
	for i, name := range s.systems {
		if i > 0 {
			b = append(b, ',')
		}
		b = wire.AppendString(b, name)
	}
	return append(b, "]}"...)
}
