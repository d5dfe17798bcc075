package analytics

import (
	"net/http"
	"strconv"

	"github.com/valyala/fasthttp"

	"weir/internal/wire"
	"weir/relay"
	"weir/relay/auth"
	"weir/relay/problem"
)

// rateSeconds is the window of the rates in a snapshot.
const rateSeconds = 60

var errRole = problem.New(http.StatusForbidden, "forbidden", "the role admin is required", false)

// dashboards returns the route that they connect to.
func (s *System) dashboards() relay.Live {
	return relay.Live{
		Errors: true,
		Admit: func(_ *fasthttp.RequestCtx, id *auth.Identity) (any, error) {
			if !id.HasRole(relay.RoleAdmin) {
				if id.Anonymous {
					return nil, problem.New(http.StatusUnauthorized, "unauthorized", "a valid token is needed", false)
				}
				return nil, errRole
			}
			return nil, nil
		},
		Open: func(c *relay.Client) {
			s.core.Watch(true)
			s.mu.Lock()
			defer s.mu.Unlock()
			s.room.Join(c, s.snapshot(s.second-1), false)
		},
		Message: s.message,
		Closed:  func(*relay.Client) { s.core.Watch(false) },
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
		if !id.HasRole(relay.RoleAdmin) {
			c.Close(wire.CloseForbidden, "the new token does not have the role admin")
			return
		}
		b := wire.AppendID([]byte(`{"type":"ok",`), m.ID)
		c.Send(append(strconv.AppendInt(append(b, `"expiresAt":`...), id.Expires.UnixMilli(), 10), '}'))
	default:
		c.SendError(m.ID, problem.New(http.StatusBadRequest, "unknown_type", "expected ping or refresh", false))
	}
}

// snapshot returns the message with all metrics and alerts after a second. The caller holds s.mu.
func (s *System) snapshot(second int64) []byte {
	b := append(make([]byte, 0, 8<<10), `{"type":"snapshot","data":{`...)
	b = appendMillis(append(b, `"timestamp":`...), second)
	b = appendMillis(append(b, `,"since":`...), s.started)
	b = append(b, `,"counters":{`...)
	b = s.each(b, false, func(b []byte, m *metric) []byte {
		b = strconv.AppendUint(append(b, `{"count":`...), m.total.count, 10)
		return append(appendNumber(append(b, `,"value":`...), m.total.sum), '}')
	})
	b = append(b, `},"rates":{`...)
	span := float64(max(min(second+1-s.started, rateSeconds), 1))
	b = s.each(b, false, func(b []byte, m *metric) []byte {
		p := m.seconds.sum(second+1-rateSeconds, second+1)
		b = appendNumber(append(b, `{"count":`...), round(float64(p.count)/span))
		return append(appendNumber(append(b, `,"value":`...), round(p.sum/span)), '}')
	})
	b = append(b, `},"gauges":{`...)
	b = s.each(b, true, func(b []byte, m *metric) []byte { return appendNumber(b, m.value(m.seconds.at(second))) })
	b = append(b, `},"alerts":[`...)
	first := true
	for _, r := range s.rules {
		if r.raised {
			if !first {
				b = append(b, ',')
			}
			first = false
			b = r.append(b, second)
		}
	}
	return append(b, `]}}`...)
}

// each appends the metrics that are gauges, or are not, as members of an object. The caller holds s.mu.
func (s *System) each(b []byte, gauges bool, f func(b []byte, m *metric) []byte) []byte {
	first := true
	for _, m := range s.order {
		if m.gauge != gauges {
			continue
		}
		if !first {
			b = append(b, ',')
		}
		first = false
		b = append(wire.AppendString(b, m.label), ':')
		b = f(b, m)
	}
	return b
}

// round rounds to three decimals.
func round(x float64) float64 { return float64(int64(x*1000+0.5)) / 1000 }

// sendTop sends dashboards the busiest channels and the slowest sessions.
func (s *System) sendTop(second int64) {
	if s.room.Members() == 0 {
		return
	}
	b := []byte(`{"type":"top","data":{"channels":[`)
	for i, x := range s.core.Busiest(second) {
		if i > 0 {
			b = append(b, ',')
		}
		b = x.Append(b)
	}
	b = append(b, `],"clients":[`...)
	for i, x := range s.core.Slowest() {
		if i > 0 {
			b = append(b, ',')
		}
		b = x.Append(b)
	}
	b = append(appendMillis(append(b, `],"timestamp":`...), second), "}}"...)
	_ = s.room.Send(relay.RoomMessage{Data: b}) // the next one comes in a second
}
