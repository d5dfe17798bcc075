package report

import (
	"math"

	"weir/loadtest/record"
	"weir/loadtest/scenario"
)

// New reports a record.
func New(r *record.Record) *Result {
	h, sc := r.Header, r.Header.Scenario
	res := &Result{
		Scenario: sc.Name, About: sc.About, Target: h.Target, URL: h.URL, Command: h.Command, Machine: h.Machine, Started: h.Started,
		Loop: "open", Measure: string(sc.Measure), Seconds: seconds(max(h.Until-h.Warm, 0)),
		Setup:       Setup{sc.Connections(), sc.Channels, int(sc.Payload), sc.Publishers, sc.Batch, sc.Rate},
		ClientCores: h.Cores, Search: r.End.Probes, Troubles: r.End.Messages,
		Unsent: uint64(r.End.Unsent), Resent: r.End.Resent,
	}
	if sc.Paced() {
		res.Loop = "closed"
		res.Think = sc.Think.Seconds()
	}
	for _, c := range r.Channels {
		res.Refused += c.Refused
		res.Unanswered += c.Unanswered
	}
	res.count(r)
	res.latencies(r)
	for _, a := range r.End.Script {
		res.Script = append(res.Script, Action{a.Name, a.Verb, a.Failed, a.Why, quantiles(record.Merge(3, a.Took))})
	}
	res.DeliveredMs = some(r.End.Deliveries)
	res.rates(r)
	res.usage(r)
	res.agents(r)
	res.unit(r)
	res.Series = series(r)
	res.judge(r)
	return res
}

func seconds(ns int64) float64 { return float64(ns) / 1e9 }

func round(v float64) uint64 { return uint64(max(math.Round(v), 0)) }

// count fills in what was expected and what came of it.
func (res *Result) count(r *record.Record) {
	a := accounting(r)
	res.Connections = a.conns
	res.Connections.Gone = r.End.Gone
	switch m := r.Header.Scenario.Measure; {
	case m == scenario.Publish || m == scenario.Echo && !r.Header.Socket:
		for _, c := range r.Channels {
			a.expected += float64(c.Sent - min(c.Sent, c.Refused))
		}
		a.received = a.expected - float64(res.Unanswered)
		a.lost = float64(res.Unanswered)
	case m == scenario.Connect:
		a.expected, a.received, a.lost = float64(r.End.Attempts), float64(r.End.Joined), float64(r.End.Attempts-min(r.End.Attempts, r.End.Joined))
	}
	res.Expected, res.Received, res.Lost = round(a.expected), round(a.received), round(a.lost)
	res.Duplicated, res.Reordered, res.Corrupted = round(a.duplicated), round(a.reordered), round(a.corrupted)
	res.Late, res.Superseded = round(a.late), round(a.superseded)
	if r.Header.Scenario.Measure == scenario.Script {
		users := plural(r.Header.Scenario.Connections(), "user")
		res.Connections.Accounting = users + " checked what came while they followed a channel: numbers of each publisher without gaps, once, in order, intact"
		res.Connections.Chosen = "all of " + users
	}
	if r.Header.Scenario.Presence {
		p := &Presence{Joined: r.End.Joined}
		for _, c := range r.Conns {
			p.Seen += c.Joins
			p.Unseen += c.Unseen
			p.Leaves += c.Leaves
		}
		res.Presence = p
	}
	if r.End.Resumed > 0 {
		res.Herd = &Herd{r.End.Resumed, seconds(r.End.ResumedIn)}
	}
}

// quantiles sums up a distribution.
func quantiles(m *record.Meter) Quantiles {
	return Quantiles{m.Total(), m.Millis(.5), m.Millis(.9), m.Millis(.99), m.Millis(.999), m.Max()}
}

// some is the same, nil for nothing.
func some(h record.Histogram) *Quantiles {
	if len(h) == 0 {
		return nil
	}
	q := quantiles(record.Merge(3, h))
	return &q
}

// curveAt are the percentiles of the curve.
var curveAt = []float64{0, 10, 20, 30, 40, 50, 60, 70, 75, 80, 85, 90, 92.5, 95, 97, 98, 99, 99.5, 99.7, 99.9, 99.95, 99.99, 99.999, 100}

// latencies fills in the distributions, the warm-up left out.
func (res *Result) latencies(r *record.Record) {
	all := record.NewMeter(3)
	measured := 0
	for i, s := range r.Header.Steps {
		if s.Warmup || i >= len(r.End.Latency) {
			continue
		}
		measured++
		all.Add(r.End.Latency[i])
		res.Stages = append(res.Stages, Stage{
			From: seconds(s.From), To: seconds(s.To), Rate: s.Rate, Slow: s.Slow, Herd: s.Herd,
			LatencyMs: quantiles(record.Merge(3, r.End.Latency[i])),
		})
	}
	if measured < 2 {
		res.Stages = nil
	}
	res.LatencyMs = quantiles(all)
	res.AckMs, res.ConnectMs = some(r.End.Ack), some(r.End.Connect)
	if all.Total() > 0 {
		for _, p := range curveAt {
			res.Curve = append(res.Curve, CurveStep{p, all.Millis(p / 100)})
		}
		res.Curve[len(res.Curve)-1].Ms = all.Max()
	}
	p99 := func(h record.Histogram) float64 { return record.Merge(3, h).Millis(.99) }
	res.OwnLag = Lag{Send: p99(r.End.SendLag), Read: p99(r.End.ReadLag), Wake: p99(r.End.Hiccup)}
}

// rates fills in what happened a second, in the measured window.
func (res *Result) rates(r *record.Record) {
	var b record.Bucket
	for _, k := range window(r) {
		b.Span += k.Span
		b.Bytes += k.Bytes
		b.Checked += k.Checked
		b.Messages += k.Messages
		b.Acked += k.Acked
		b.Opened += k.Opened
		b.Client += k.Client
		b.Server += k.Server
	}
	if b.Span <= 0 {
		return
	}
	d := seconds(b.Span)
	res.PublishesPerSecond = float64(b.Acked) / d
	res.ConnectsPerSecond = float64(b.Opened) / d
	res.DeliveriesPerSecond = deliveries(b) / d
	res.ClientCPU = seconds(b.Client) / d
	if known(r) {
		cpu := seconds(b.Server) / d
		res.ServerCPU = &cpu
	}
}

// deliveries is all deliveries of an interval: those of the checked connections are known, the others
// have their share by bytes.
func deliveries(b record.Bucket) float64 {
	if b.Checked == 0 {
		return 0
	}
	return float64(b.Messages) * float64(b.Bytes) / float64(b.Checked)
}

// window is the intervals that lie in the measurement.
func window(r *record.Record) (list []record.Bucket) {
	for _, b := range r.Buckets {
		if b.At >= r.Header.Warm && b.At+b.Span <= r.Header.Until {
			list = append(list, b)
		}
	}
	return list
}

// known reports whether the target's usage was read.
func known(r *record.Record) bool { return r.End.PeakRSS > 0 }

// agents fills in what each machine did.
func (res *Result) agents(r *record.Record) {
	p99 := func(h record.Histogram) float64 { return record.Merge(3, h).Millis(.99) }
	for _, a := range r.Header.Agents {
		res.Agents = append(res.Agents, Agent{
			Name: a.Name, Subscribers: a.Subscribers, Publishers: a.Publishers, Cores: a.Cores,
			OffsetMs: float64(a.Offset) / 1e6, UncertaintyMs: float64(a.Uncertainty) / 1e6, DriftMs: float64(a.Drift) / 1e6,
			CPU: float64(a.Client) / float64(max(r.Header.Until-r.Header.Warm, 1)), OwnLag: Lag{p99(a.SendLag), p99(a.ReadLag), p99(a.Hiccup)},
		})
	}
}

// unit fills in the price of a write, and what the target used in it.
func (res *Result) unit(r *record.Record) {
	if r.Header.Unit == nil {
		return
	}
	res.Unit = &Unit{Price: *r.Header.Unit}
	if res.ServerCPU != nil && res.Unit.Micros > 0 {
		n := *res.ServerCPU * 1e6 / res.Unit.Micros
		res.Unit.ServerWrites = &n
	}
}

func (res *Result) usage(r *record.Record) {
	if !known(r) {
		return
	}
	m := &Memory{Before: r.End.IdleRSS[0], After: r.End.IdleRSS[1], Peak: r.End.PeakRSS}
	if n := len(r.Conns); n > 0 && m.After > m.Before {
		m.PerConnection = float64(m.After-m.Before) / float64(n)
	}
	res.ServerMemory = m
}
