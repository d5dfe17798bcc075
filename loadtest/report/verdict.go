package report

import (
	"fmt"
	"strings"

	"weir/loadtest/record"
	"weir/loadtest/scenario"
)

// How far the tool may be a bottleneck itself before a run does not count: of its processors, and of
// the 99th percentile it measured (but a few ms are always allowed).
const (
	cpuMost  = .9
	lagShare = .25
	lagLeast = 5.0 // ms
)

// shareMost is how much of what was asked for may be missing before a run does not count. Beyond 1 % even the 99th
// percentile speaks of something else than what was asked about.
const shareMost = .01

// judge decides whether the run counts: whether it measured what it was asked to, and was not itself the limit.
func (res *Result) judge(r *record.Record) {
	if !r.End.Complete {
		res.bad("the run was interrupted")
	}
	if n := len(r.End.Probes); n > 0 && !r.End.Probes[n-1].Held {
		res.bad("the search found no rate that holds")
	}
	res.judgeLoad(r)
	res.judgeConnections(r)
	res.judgeMeasured(r)
	res.judgeTool()
	res.Valid = len(res.InvalidBecause) == 0
}

func (res *Result) bad(format string, args ...any) {
	res.InvalidBecause = append(res.InvalidBecause, fmt.Sprintf(format, args...))
}

// limit is who was the limit, as far as the run shows it, and why.
func (res *Result) limit() (who, why string) {
	for _, why := range res.InvalidBecause {
		if strings.HasPrefix(why, "the load generator") {
			return "the load generator", why
		}
	}
	if n := len(res.Search); n > 0 {
		return "the target", "the search went up to what it holds"
	}
	switch {
	case res.Lost > 0:
		return "the target", Count(float64(res.Lost)) + " lost"
	case res.Refused+res.Unanswered+res.Unsent > 0:
		return "the target", Count(float64(res.Refused+res.Unanswered+res.Unsent)) + " not taken"
	case res.Late > 0:
		return "the target", Count(float64(res.Late)) + " late"
	}
	return "nobody", "all that was asked for was done"
}

// judgeLoad asks whether the target was given the load, and took it.
func (res *Result) judgeLoad(r *record.Record) {
	sc := r.Header.Scenario
	due := r.End.Typing + res.Unsent
	for _, c := range r.Channels {
		due += c.Sent
	}
	missing := res.Refused + res.Unanswered + res.Unsent
	switch {
	case sc.Measure == scenario.Idle:
	case sc.Measure == scenario.Script:
		if tooMany(r.End.Failed+res.Unsent, r.End.Attempts+res.Unsent) {
			res.bad("%d of %s of the script failed or could not begin", r.End.Failed+res.Unsent, plural(int(r.End.Attempts+res.Unsent), "run"))
		}
	case sc.Measure == scenario.Connect:
		if all := r.End.Attempts + res.Unsent; tooMany(all-min(all, r.End.Joined), all) {
			res.bad("%d of %s did not get in", all-min(all, r.End.Joined), plural(int(all), "connection"))
		}
	case !sc.Publishes():
		if sc.Churn == 0 {
			res.bad("nothing was published: the scenario has no rate")
		}
	case due == 0:
		res.bad("nothing was published")
	case tooMany(missing, due):
		res.bad("%d of %s that were due were not published: %d refused, %d not answered, %d not sent", missing, plural(int(due), "message"), res.Refused, res.Unanswered, res.Unsent)
	}
	if sc.Measure != scenario.Connect && sc.Measure != scenario.Script && tooMany(r.End.Failed, r.End.Attempts) {
		res.bad("%d of %s did not get in", r.End.Failed, plural(int(r.End.Attempts), "visitor"))
	}
	if r.End.Down {
		res.bad("the target was gone, or no longer responded, at the end")
	}
}

// judgeConnections asks whether the subscribers were there, and did what they were asked to.
func (res *Result) judgeConnections(r *record.Record) {
	sc := r.Header.Scenario
	all := max(sc.Connections()-res.Connections.Stalled, 0)
	switch listens := sc.Measure == scenario.Delivery && sc.Publishes(); {
	case sc.Subscribers == 0 && listens:
		res.bad("nobody listened: there are no subscribers")
	case sc.Subscribers == 0 && sc.Measure == scenario.Idle && sc.Churn == 0:
		res.bad("there are no connections that could stay idle")
	case tooMany(uint64(r.End.Gone), uint64(all)):
		res.bad("%d of %s were not connected any more at the end", r.End.Gone, plural(all, "subscriber"))
	}
	if c := res.Connections; c.Checked > 0 && c.Uneven > unevenMost+1/float64(c.Checked) {
		res.bad("the checked connections are not evenly spread over the order of connecting: off by %.0f %%", 100*c.Uneven)
	}
	herd, slow := false, false
	for _, st := range r.Header.Steps {
		herd, slow = herd || st.Herd, slow || st.Slow > 0
	}
	if back := min(r.End.Resumed, uint64(sc.Subscribers)); herd && tooMany(uint64(sc.Subscribers)-back, uint64(sc.Subscribers)) {
		res.bad("%d of %s that were cut came back", back, plural(sc.Subscribers, "connection"))
	}
	if slow && res.Connections.Stalled == 0 {
		res.bad("no connection stopped reading: there are too few for that share")
	}
	if p := res.Presence; p != nil && sc.Churn > 0 && sc.Subscribers > 0 && p.Seen == 0 {
		res.bad("nobody was seen to join")
	}
}

// judgeMeasured asks whether there is a figure for what the scenario measures, in each of its stages.
func (res *Result) judgeMeasured(r *record.Record) {
	sc := r.Header.Scenario
	switch {
	case sc.Measure == scenario.Idle || !sc.Publishes() && sc.Churn > 0 && res.ConnectMs != nil:
		return
	case res.LatencyMs.Count == 0 && res.Received == 0 && res.Corrupted > 0:
		res.bad("nothing was measured: all that came was damaged")
		return
	case res.LatencyMs.Count == 0 && res.Expected > 0 && res.Received == 0:
		res.bad("nothing was measured: all was lost")
		return
	case res.LatencyMs.Count == 0:
		res.bad("nothing was measured")
		return
	}
	for i, st := range res.Stages {
		if st.LatencyMs.Count == 0 && st.Rate*(st.To-st.From) >= 1 {
			res.bad("nothing was measured in stage %d", i+1)
		}
	}
}

// judgeTool asks whether the load generator itself was the limit: on any of its machines, where there are several.
func (res *Result) judgeTool() {
	for _, a := range res.Agents {
		res.judgeMachine("the load generator on "+a.Name, a.CPU, a.Cores, a.OwnLag)
	}
	if len(res.Agents) == 0 {
		res.judgeMachine("the load generator", res.ClientCPU, res.ClientCores, res.OwnLag)
	}
}

func (res *Result) judgeMachine(name string, cpu float64, cores int, lag Lag) {
	if limit := cpuMost * float64(cores); cpu > limit && cores > 0 {
		res.bad("%s used %.2f of its %d cores: it was the limit, not the target", name, cpu, cores)
	}
	if res.Measure == string(scenario.Idle) {
		return // being late changes nothing there
	}
	limit := max(lagLeast, lagShare*res.LatencyMs.P99)
	for _, l := range []struct {
		what string
		ms   float64
	}{
		{"sent messages late by", lag.Send}, {"was busy elsewhere before it read, for", lag.Read}, {"was woken up late by", lag.Wake},
	} {
		if l.ms > limit {
			res.bad("%s %s %.1f ms (99th percentile), more than %.1f ms", name, l.what, l.ms, limit)
		}
	}
}

// tooMany reports whether more than shareMost of all are missing.
func tooMany(missing, all uint64) bool { return float64(missing) > shareMost*float64(all) }
