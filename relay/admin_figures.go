package relay

import (
	"math"
	"net/http"
	"runtime/debug"
	"strconv"
	"time"

	"weir/internal/buildinfo"
	"weir/internal/wire"
)

// handleFigures is GET /figures?after=SECOND on the admin listener: what this relay is, and its figures of the seconds
// after that one, an hour at most. The dashboard asks once a second; nothing is sent to it otherwise, so that looking
// at a relay does not change what is seen.
func (r *Relay) handleFigures(w http.ResponseWriter, req *http.Request) {
	after, _ := strconv.ParseInt(req.URL.Query().Get("after"), 10, 64) // 0: all there is
	b := r.appendSelf(append(make([]byte, 0, 4<<10), '{'))
	b = append(r.recorder.append(append(b, ','), after), '}')
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	_, _ = w.Write(b)
}

// appendSelf appends the member "relay": version, start (ms), data directory and systems of this process, and its
// memory limit in bytes (0: none).
func (r *Relay) appendSelf(b []byte) []byte {
	build := buildinfo.Read()
	b = wire.AppendString(append(b, `"relay":{"version":`...), build.Version)
	b = wire.AppendString(append(b, `,"revision":`...), build.Revision)
	b = strconv.AppendInt(append(b, `,"started":`...), r.started.UnixMilli(), 10)
	b = strconv.AppendInt(append(b, `,"now":`...), time.Now().UnixMilli(), 10)
	b = wire.AppendString(append(b, `,"data":`...), r.hub.Config.Data)
	b = strconv.AppendBool(append(b, `,"dev":`...), r.hub.Config.Dev)
	limit := debug.SetMemoryLimit(-1)
	if limit == math.MaxInt64 {
		limit = 0
	}
	b = strconv.AppendInt(append(b, `,"memoryLimit":`...), limit, 10)
	b = append(b, `,"systems":[`...)
	for i, s := range r.systems {
		if i > 0 {
			b = append(b, ',')
		}
		b = wire.AppendString(b, s.Name())
	}
	return append(b, "]}"...)
}
