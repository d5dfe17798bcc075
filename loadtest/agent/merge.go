package agent

import (
	"slices"
	"strings"

	"weir/loadtest/record"
	"weir/loadtest/scenario"
)

// merge makes one record of those of all agents.
func (c *conductor) merge() (*record.Record, error) {
	plan, err := scenario.New(c.Scenario)
	if err != nil {
		return nil, err
	}
	all := &record.Record{Header: c.agents[0].rec.Header, End: c.agents[0].rec.End}
	all.Header.Scenario, all.Header.Command, all.Header.Cores = plan.Scenario, c.Command, 0
	all.Header.Unit = nil // machines differ
	for i, s := range plan.Steps {
		all.Header.Steps[i].Rate = s.Rate
	}
	var machines []string
	for i, a := range c.agents {
		machines = append(machines, a.name+": "+a.rec.Header.Machine)
		all.Header.Agents = append(all.Header.Agents, a.summary())
		all.Header.Cores += a.rec.Header.Cores
		all.Conns = append(all.Conns, a.rec.Conns...)
		for k := range a.rec.End.Messages {
			a.rec.End.Messages[k] = a.name + ": " + a.rec.End.Messages[k]
		}
		if i == 0 {
			all.Buckets, all.Channels = a.rec.Buckets, a.rec.Channels
			all.End.Messages = a.rec.End.Messages
			continue
		}
		all.Header.Until = min(all.Header.Until, a.rec.Header.Until)
		for ch, n := range a.rec.Channels {
			k := &all.Channels[ch]
			k.Sent, k.Refused, k.Unanswered = k.Sent+n.Sent, k.Refused+n.Refused, k.Unanswered+n.Unanswered
		}
		addEnd(&all.End, &a.rec.End)
	}
	all.Header.Machine = strings.Join(machines, "; ")
	addBuckets(all.Buckets, c.agents[1:])
	return all, nil
}

// summary is what is reported of an agent by itself.
func (a *agent) summary() record.Agent {
	h, s := a.rec.Header, a.job.Scenario
	out := record.Agent{
		Name: a.name, Machine: h.Machine, Cores: h.Cores, Subscribers: s.Subscribers, Publishers: s.Publishers,
		Offset: a.offset, Uncertainty: a.uncertainty, Drift: a.drift,
		SendLag: a.rec.End.SendLag, ReadLag: a.rec.End.ReadLag, Hiccup: a.rec.End.Hiccup,
	}
	for _, b := range a.rec.Buckets {
		if b.At >= h.Warm && b.At+b.Span <= h.Until {
			out.Client += b.Client
		}
	}
	return out
}

// addBuckets adds what agents did to the intervals of the first of them. What the target used is known from that one.
func addBuckets(rows []record.Bucket, agents []*agent) {
	if len(rows) == 0 {
		return
	}
	latency := make([][]record.Histogram, len(rows))
	for i := range rows {
		latency[i] = []record.Histogram{rows[i].Latency}
	}
	for _, a := range agents {
		open := make([]int64, len(rows))
		for _, b := range a.rec.Buckets {
			i, found := slices.BinarySearchFunc(rows, b.At, func(r record.Bucket, at int64) int { return int(r.At - at) })
			if !found {
				i = max(i-1, 0)
			}
			r := &rows[i]
			r.Bytes, r.Messages, r.Checked = r.Bytes+b.Bytes, r.Messages+b.Messages, r.Checked+b.Checked
			r.Sent, r.Acked, r.Opened, r.Client = r.Sent+b.Sent, r.Acked+b.Acked, r.Opened+b.Opened, r.Client+b.Client
			open[i] = b.Open
			latency[i] = append(latency[i], b.Latency)
		}
		last := int64(0)
		for i := range rows {
			if open[i] > 0 {
				last = open[i]
			}
			rows[i].Open += last
		}
	}
	for i := range rows {
		rows[i].Latency = record.Merge(2, latency[i]...).Keep()
	}
}

// addEnd adds what is known of another agent at the end.
func addEnd(sum, e *record.End) {
	merge := func(to *record.Histogram, from record.Histogram) { *to = record.Merge(3, *to, from).Keep() }
	for i := range min(len(sum.Latency), len(e.Latency)) {
		merge(&sum.Latency[i], e.Latency[i])
	}
	merge(&sum.Ack, e.Ack)
	merge(&sum.Connect, e.Connect)
	merge(&sum.SendLag, e.SendLag)
	merge(&sum.ReadLag, e.ReadLag)
	merge(&sum.Hiccup, e.Hiccup)
	merge(&sum.Deliveries, e.Deliveries)
	for i := range min(len(sum.Script), len(e.Script)) {
		s, o := &sum.Script[i], e.Script[i]
		s.Failed += o.Failed
		if s.Why == "" {
			s.Why = o.Why
		}
		merge(&s.Took, o.Took)
	}
	sum.Unsent += e.Unsent
	sum.Typing, sum.Joined, sum.Attempts, sum.Failed = sum.Typing+e.Typing, sum.Joined+e.Joined, sum.Attempts+e.Attempts, sum.Failed+e.Failed
	sum.Cut, sum.Resent, sum.Resumed, sum.Gone = sum.Cut+e.Cut, sum.Resent+e.Resent, sum.Resumed+e.Resumed, sum.Gone+e.Gone
	sum.Down, sum.Complete = sum.Down || e.Down, sum.Complete && e.Complete
	sum.Drained, sum.ResumedIn = max(sum.Drained, e.Drained), max(sum.ResumedIn, e.ResumedIn)
	sum.Messages = append(sum.Messages, e.Messages...)
}
