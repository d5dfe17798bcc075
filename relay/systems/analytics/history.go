package analytics

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/valyala/fasthttp"

	"weir/internal/wire"
	"weir/relay"
	"weir/relay/auth"
)

// maxPoints bounds a response: an hour of seconds of a hundred metrics.
const maxPoints = 400_000

// serveHistory serves GET /analytics/history on both listeners.
func (s *System) serveHistory() {
	const path = "/analytics/history"
	s.core.User(http.MethodGet, path, func(ctx *fasthttp.RequestCtx, id *auth.Identity) error {
		if !id.HasRole(relay.RoleAdmin) {
			return errRole
		}
		query, err := url.ParseQuery(string(ctx.URI().QueryString()))
		if err != nil {
			return bad("the query is not valid")
		}
		b, err := s.history(query)
		if err == nil {
			ctx.SetContentType("application/json")
			ctx.Response.SetBodyRaw(b)
		}
		return err
	})
	s.core.Admin("GET "+path, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		b, err := s.history(req.URL.Query())
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Cache-Control", "no-store")
		_, _ = w.Write(b) //nolint:gosec // JSON in which names are escaped, for HTML too
	}))
}

// window is the steps that a request asks for.
type window struct {
	step     int64 // seconds: 1 and 10 of the seconds, 60 of the minutes
	from, to int64 // seconds; to is not part of it
}

// windowOf parses span and step. The default step is the finest that gives no more than some hundreds of points.
func windowOf(query url.Values, last int64) (window, error) {
	span := int64(300)
	if text := query.Get("span"); text != "" {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || n < 1 || n > keptMinutes*60 {
			return window{}, bad(fmt.Sprintf("span must be 1 to %d seconds", keptMinutes*60))
		}
		span = n
	}
	w := window{step: 1}
	switch {
	case span > keptSeconds:
		w.step = 60
	case span > 600:
		w.step = 10
	}
	if text := query.Get("step"); text != "" {
		switch text {
		case "1", "10", "60":
			w.step, _ = strconv.ParseInt(text, 10, 64)
		default:
			return window{}, bad("step must be 1, 10 or 60 seconds")
		}
		if w.step < 60 && span > keptSeconds {
			return window{}, bad("only minutes go back further than an hour: step must be 60")
		}
	}
	w.to = last + 1 - (last+1)%w.step // whole steps
	w.from = w.to - (span+w.step-1)/w.step*w.step
	return w, nil
}

// history returns the response. Errors are for clients.
func (s *System) history(query url.Values) ([]byte, error) {
	s.mu.Lock()
	last := s.second - 1
	chosen := s.order[:len(s.order):len(s.order)]
	if labels := query["metric"]; len(labels) > 0 {
		chosen = nil
		for _, label := range labels {
			m := s.byLabel[label]
			if m == nil {
				s.mu.Unlock()
				return nil, bad("no metric has the label " + strconv.Quote(label[:min(len(label), 100)]))
			}
			chosen = append(chosen, m)
		}
	}
	w, err := windowOf(query, last)
	steps := (w.to - w.from) / max(w.step, 1)
	if err == nil && steps*int64(len(chosen)) > maxPoints {
		err = bad("too many points: ask for fewer metrics, a shorter span or a longer step")
	}
	if err != nil {
		s.mu.Unlock()
		return nil, err
	}
	points := make([][]point, len(chosen))
	for i, m := range chosen {
		points[i] = m.read(w)
	}
	s.mu.Unlock()
	b := appendMillis(append(make([]byte, 0, 64<<10), `{"from":`...), w.from)
	b = strconv.AppendInt(append(b, `,"step":`...), w.step*int64(time.Second/time.Millisecond), 10)
	b = append(b, `,"metrics":{`...)
	for i, m := range chosen {
		if i > 0 {
			b = append(b, ',')
		}
		b = m.appendHistory(b, points[i])
	}
	return append(b, "}}"...), nil
}

// read returns the points of a window. The caller holds System.mu.
func (m *metric) read(w window) []point {
	out := make([]point, 0, (w.to-w.from)/w.step)
	for t := w.from; t < w.to; t += w.step {
		if w.step == 60 {
			out = append(out, m.minutes.at(t/60))
		} else {
			out = append(out, m.seconds.sum(t, t+w.step))
		}
	}
	return out
}

// appendHistory appends a metric's points; null where a gauge has no value.
func (m *metric) appendHistory(b []byte, points []point) []byte {
	b = append(wire.AppendString(b, m.label), ':')
	b = strconv.AppendBool(append(b, `{"gauge":`...), m.gauge)
	b = append(b, `,"value":[`...)
	for i, p := range points {
		if i > 0 {
			b = append(b, ',')
		}
		if m.gauge && p.count == 0 {
			b = append(b, "null"...)
			continue
		}
		b = appendNumber(b, m.value(p))
	}
	b = append(b, ']')
	if !m.gauge {
		b = append(b, `,"count":[`...)
		for i, p := range points {
			if i > 0 {
				b = append(b, ',')
			}
			b = strconv.AppendUint(b, p.count, 10)
		}
		b = append(b, ']')
	}
	return append(b, '}')
}
