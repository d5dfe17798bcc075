package analytics

import "github.com/VictoriaMetrics/metrics"

// counters are the metrics of the system itself.
type counters struct {
	events, refused, alerts *metrics.Counter
}

func newCounters(set *metrics.Set, s *System) counters {
	gauge := func(name string, of func() int) {
		set.NewGauge(name, func() float64 {
			s.mu.Lock()
			defer s.mu.Unlock()
			return float64(of())
		})
	}
	gauge("weir_analytics_metrics", func() int { return len(s.order) })
	gauge("weir_analytics_alerts_raised", func() int {
		n := 0
		for _, r := range s.rules {
			if r.raised {
				n++
			}
		}
		return n
	})
	set.NewGauge("weir_analytics_dashboards", func() float64 { return float64(s.room.Members()) })
	return counters{
		events:  set.NewCounter("weir_analytics_events_total"),
		refused: set.NewCounter("weir_analytics_refused_total"),
		alerts:  set.NewCounter("weir_analytics_alerts_total"),
	}
}
