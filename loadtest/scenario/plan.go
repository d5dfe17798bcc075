package scenario

import (
	"math"
	"slices"
	"sort"
	"strconv"
)

// Plan is a validated scenario and its timetable. Times are nanoseconds since the load began. It does
// not change once made and may be shared.
type Plan struct {
	Scenario
	Steps []Step
	Warm  int64 // when the measurement begins
	End   int64 // when the load ends
}

// Step is a stage with its place in the timetable. The warm-up is the first step.
type Step struct {
	Stage
	Warmup   bool
	From, To int64   // ns
	first    float64 // messages due before the step
	start    float64 // rate at its beginning
}

// New fills in a scenario's defaults, validates it and works out its timetable. The error wraps
// ErrInvalid.
func New(s Scenario) (*Plan, error) {
	if err := s.validate(); err != nil {
		return nil, err
	}
	p := &Plan{Scenario: s.withDefaults()}
	if p.Measure == Echo || p.Measure == Script { // who listens is who publishes
		p.Publishers, p.Subscribers = p.Subscribers, 0
	}
	steps := p.steps()
	if p.Warmup > 0 {
		warm := steps[0]
		warm.Duration, warm.Slow, warm.Herd = p.Warmup, 0, false
		if steps[0].Ramp {
			warm.Rate, warm.Inflight, warm.Open, warm.Ramp = 0, 0, 0, false
		}
		p.add(warm, true)
		p.Warm = p.End
	}
	for _, st := range steps {
		p.add(st, false)
	}
	return p, nil
}

func (p *Plan) add(st Stage, warmup bool) {
	step := Step{Stage: st, Warmup: warmup, From: p.End, To: p.End + int64(st.Duration), start: st.Rate}
	if n := len(p.Steps); n > 0 {
		last := p.Steps[n-1]
		step.first = last.first + last.due(last.To)
	}
	if st.Ramp {
		step.start = 0
		if n := len(p.Steps); n > 0 {
			step.start = p.Steps[n-1].Rate
		}
	}
	p.Steps = append(p.Steps, step)
	p.End = step.To
}

// due is how many messages of the step are due up to time t within it.
func (s Step) due(t int64) float64 {
	x := float64(t-s.From) / 1e9
	d := float64(s.To-s.From) / 1e9
	return s.start*x + (s.Rate-s.start)*x*x/(2*d)
}

// Requests is how many requests, of Batch messages each, the whole timetable holds.
func (p *Plan) Requests() int64 {
	if p.Trace != nil {
		return int64(len(p.Trace.Messages))
	}
	last := p.Steps[len(p.Steps)-1]
	return int64(math.Ceil((last.first + last.due(last.To)) / float64(p.Batch) * (1 - 1e-12)))
}

// Due is when request j, counted from 0, is due. ok is false when the timetable ends before it. The
// messages of a request are all due when it is.
func (p *Plan) Due(j int64) (ns int64, ok bool) {
	if j < 0 || j >= p.Requests() {
		return 0, false
	}
	if p.Trace != nil {
		return p.Trace.Messages[j].Due, true
	}
	m := float64(j) * float64(p.Batch)
	i := sort.Search(len(p.Steps), func(i int) bool {
		s := p.Steps[i]
		return s.first+s.due(s.To) > m
	})
	if i == len(p.Steps) {
		return 0, false
	}
	s := p.Steps[i]
	return min(s.From+int64(s.when(m-s.first)*1e9), s.To-1), true
}

// when is the time in seconds within the step at which m of its messages are due: the inverse of due.
func (s Step) when(m float64) float64 {
	if m <= 0 {
		return 0
	}
	d := float64(s.To-s.From) / 1e9
	slope := (s.Rate - s.start) / d
	if math.Abs(slope)*d < 1e-9*(s.Rate+s.start) {
		return m / s.start
	}
	// start*x + slope*x²/2 = m, in the form that does not cancel
	return 2 * m / (s.start + math.Sqrt(max(s.start*s.start+2*slope*m, 0)))
}

// InflightAt is how much may be under way at time t: messages in a closed loop, connections with think time.
func (p *Plan) InflightAt(t int64) int {
	most := p.Inflight
	if p.Think > 0 {
		most = p.Publishers
	}
	return p.level(t, most, func(s Step) int { return s.Inflight })
}

// OpenAt is how many connections there are at time t: all, but where idle is measured in stages.
func (p *Plan) OpenAt(t int64) int {
	return p.level(t, p.Subscribers, func(s Step) int { return s.Open })
}

// level is a number that stages may set, at time t. Without one in any stage it is most.
func (p *Plan) level(t int64, most int, of func(Step) int) int {
	if !slices.ContainsFunc(p.Stages, func(s Stage) bool { return of(Step{Stage: s}) > 0 }) {
		return most
	}
	i := p.at(max(t, 0))
	s := p.Steps[i]
	to := min(of(s), most)
	if !s.Ramp {
		return to
	}
	from := 0
	if i > 0 {
		from = min(of(p.Steps[i-1]), most)
	}
	share := min(max(float64(t-s.From), 0)/float64(s.To-s.From), 1)
	return from + int(share*float64(to-from)+.5)
}

// at is the step that time t falls into; the last one for times after the end.
func (p *Plan) at(t int64) int {
	i := sort.Search(len(p.Steps), func(i int) bool { return p.Steps[i].To > t })
	return min(i, len(p.Steps)-1)
}

// ChannelOf is the channel, from 0, of message k.
func (p *Plan) ChannelOf(k int64) int {
	if p.Trace != nil {
		return int(p.Trace.Messages[k].Channel)
	}
	return int(k % int64(p.Channels))
}

// SizeOf is how long the data of message k is.
func (p *Plan) SizeOf(k int64) int {
	if p.Trace != nil {
		return int(p.Trace.Messages[k].Size)
	}
	return int(p.Payload)
}

// TypingAt reports whether message k is a typing sign: the share is spread evenly and differently over
// the channels.
func (p *Plan) TypingAt(k int64) bool {
	if p.Typing == 0 {
		return false
	}
	h := uint64(k)*0x9e3779b97f4a7c15 + 0x632be59bd9b4e019
	h ^= h >> 32
	return float64(h&(1<<32-1)) < p.Typing*(1<<32)
}

// ChannelName is the name of channel i.
func (p *Plan) ChannelName(i int) string { return p.Prefix + strconv.Itoa(i) }

// Follows lists the channels of subscriber i.
func (p *Plan) Follows(i int) []int {
	if p.Trace != nil {
		return p.Trace.Follows[i]
	}
	list := make([]int, p.Follow)
	for f := range list {
		list[f] = (i*p.Follow + f) % p.Channels
	}
	return list
}

// Deliveries is how many deliveries one published message causes, on average.
func (p *Plan) Deliveries() float64 {
	if p.Trace != nil {
		return p.Trace.deliveries()
	}
	return float64(p.Subscribers) * float64(p.Follow) / float64(p.Channels)
}

// Connections is how many lasting connections there are, those that only publish left out.
func (s Scenario) Connections() int {
	if s.Measure == Echo || s.Measure == Script {
		return s.Publishers // of a plan, where they are the subscribers
	}
	return s.Subscribers
}

// StepName describes what happens at time t.
func (p *Plan) StepName(t int64) string {
	i := p.at(t)
	switch s := p.Steps[i]; {
	case t >= p.End:
		return "draining"
	case s.Warmup:
		return "warming up"
	case len(p.Stages) > 1:
		n := i + 1
		if p.Steps[0].Warmup {
			n--
		}
		return "stage " + strconv.Itoa(n) + " of " + strconv.Itoa(len(p.Stages))
	}
	return "measuring"
}
