package analytics

import (
	"net/http"
	"slices"

	"github.com/valyala/fasthttp"

	"weir/internal/wire"
	"weir/relay"
	"weir/relay/auth"
	"weir/relay/problem"
	"weir/relay/systems/internal/encode"
)

// rateSeconds is the window of the rates in a snapshot.
const rateSeconds = 60

var errRole = problem.New(http.StatusForbidden, "forbidden", "the role admin is required", false)

// dashboards returns the route that they connect to.
func (s *System) dashboards() relay.WebSocketRoute {
	return relay.WebSocketRoute{
		Errors: true,
		Admit: func(_ *fasthttp.RequestCtx, id *auth.Identity) (any, error) {
			switch {
			case id.HasRole(auth.RoleAdmin):
				return nil, nil
			case id.Anonymous:
				return nil, problem.New(http.StatusUnauthorized, "unauthorized", "a valid token is required", false)
			}
			return nil, errRole
		},
		Open: func(c *relay.Client) {
			s.host.Watch(true)
			s.mu.Lock()
			defer s.mu.Unlock()
			s.room.Join(c, s.snapshot(s.second-1), false)
		},
		Message: s.message,
		Closed:  func(*relay.Client) { s.host.Watch(false) },
	}
}

// message handles what a dashboard sends: a ping, or a new token.
func (s *System) message(c *relay.Client, data []byte, _ bool) {
	var m wire.Command
	if err := m.Parse(data); err != nil {
		c.SendError(m.ID, err)
		return
	}
	switch m.Type {
	case "ping":
		c.Pong(m.ID)
	case "refresh":
		if err := c.Refresh(m.Token); err != nil {
			c.SendError(m.ID, err)
			return
		}
		id := c.Identity()
		if !id.HasRole(auth.RoleAdmin) {
			c.Close(wire.CloseForbidden, "the new token does not have the role admin")
			return
		}
		c.Send(encode.Object("type", "ok", "id", m.ID, "expiresAt", id.Expires.Time().UnixMilli()))
	default:
		c.SendError(m.ID, problem.New(http.StatusBadRequest, "unknown_type", "expected ping or refresh", false))
	}
}

// snapshot returns the message with all metrics and alerts after a second. The caller holds s.mu.
func (s *System) snapshot(second int64) []byte {
	span := float64(max(min(second+1-s.started, rateSeconds), 1))
	counted := func(count, value float64) []byte { return encode.Object("count", count, "value", value) }
	counters, rates, gauges := []byte{'{'}, []byte{'{'}, []byte{'{'}
	for _, m := range s.order {
		if m.gauge {
			gauges = encode.Members(gauges, m.label, m.value(m.seconds.at(second)))
			continue
		}
		p := m.seconds.sum(second+1-rateSeconds, second+1)
		counters = encode.Members(counters, m.label, counted(float64(m.total.count), m.total.sum))
		rates = encode.Members(rates, m.label, counted(round(float64(p.count)/span), round(p.sum/span)))
	}
	alerts := slices.DeleteFunc(slices.Clone(s.rules), func(r *rule) bool { return !r.raised })
	var own []byte // left out of what only one node has
	if s.nodes != nil {
		own = s.nodes.own.append(nil)
	}
	return encode.Object("type", "snapshot", "data", encode.Object("timestamp", second*1000, "since", s.started*1000,
		"counters", append(counters, '}'), "rates", append(rates, '}'), "gauges", append(gauges, '}'), "nodes", own, "alerts", func(b []byte) []byte {
			return encode.List(b, alerts, func(b []byte, r *rule) []byte { return append(b, r.json(second)...) })
		}))
}

// round rounds to three decimals.
func round(x float64) float64 { return float64(int64(x*1000+0.5)) / 1000 }

// sendTop sends dashboards the busiest channels and the slowest sessions.
func (s *System) sendTop(second int64) {
	if s.room.Members() == 0 {
		return
	}
	data := encode.Object("channels", list(s.host.TopChannels(second)), "clients", list(s.host.Slowest()), "timestamp", second*1000)
	_ = s.room.Send(relay.GroupMessage{Data: encode.Object("type", "top", "data", data)}) // the next one comes in a second
}

// list returns a function that appends a list of values that append themselves.
func list[T any, P interface {
	*T
	Append(b []byte) []byte
}](values []T) func(b []byte) []byte {
	return func(b []byte) []byte {
		return encode.List(b, values, func(b []byte, x T) []byte { return P(&x).Append(b) })
	}
}
