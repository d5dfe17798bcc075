package analytics

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"github.com/valyala/fasthttp"

	"weir/relay/auth"
	"weir/relay/systems/internal/encode"
)

// maxPoints bounds a response: an hour of seconds of a hundred metrics.
const maxPoints = 400_000

// serveHistory serves GET /analytics/history on both listeners.
func (s *System) serveHistory() {
	const path = "/analytics/history"
	s.host.User(http.MethodGet, path, func(ctx *fasthttp.RequestCtx, id *auth.Identity) error {
		if !id.HasRole(auth.RoleAdmin) {
			return errRole
		}
		return s.serve(ctx)
	})
	s.host.Admin(http.MethodGet, path, s.serve)
}

// serve answers with the history that the query asks for.
func (s *System) serve(ctx *fasthttp.RequestCtx) error {
	query, err := url.ParseQuery(string(ctx.URI().QueryString()))
	if err != nil {
		return bad("the query is not valid")
	}
	b, err := s.history(query)
	if err == nil {
		ctx.Response.Header.Set("Cache-Control", "no-store")
		ctx.SetContentType("application/json")
		ctx.Response.SetBodyRaw(b)
	}
	return err
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
	w, metrics, points, err := s.points(query)
	if err != nil {
		return nil, err
	}
	b := encode.Members(make([]byte, 0, 64<<10), "from", w.from*1000, "step", w.step*1000)
	b = append(b, `,"metrics":{`...)
	for i, m := range metrics {
		b = encode.Members(b, m.label, func(b []byte) []byte { return m.appendHistory(b, points[i]) })
	}
	return append(b, "}}"...), nil
}

// points reads the points that a query asks for, of each metric.
func (s *System) points(query url.Values) (w window, metrics []*metric, points [][]point, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	metrics = slices.Clip(s.order)
	if labels := query["metric"]; len(labels) > 0 {
		metrics = nil
		for _, label := range labels {
			m := s.byLabel[label]
			if m == nil {
				return w, nil, nil, bad("no metric has the label " + strconv.Quote(label[:min(len(label), 100)]))
			}
			metrics = append(metrics, m)
		}
	}
	if w, err = windowOf(query, s.second-1); err != nil {
		return w, nil, nil, err
	}
	if (w.to-w.from)/w.step*int64(len(metrics)) > maxPoints {
		return w, nil, nil, bad("too many points: ask for fewer metrics, a shorter span or a longer step")
	}
	for _, m := range metrics {
		points = append(points, m.read(w))
	}
	return w, metrics, points, nil
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
	b = encode.List(append(strconv.AppendBool(append(b, `{"gauge":`...), m.gauge), `,"value":`...), points, func(b []byte, p point) []byte {
		if m.gauge && p.count == 0 {
			return append(b, "null"...)
		}
		return encode.Number(b, m.value(p))
	})
	if !m.gauge {
		b = encode.List(append(b, `,"count":`...), points, func(b []byte, p point) []byte { return strconv.AppendUint(b, p.count, 10) })
	}
	return append(b, '}')
}
