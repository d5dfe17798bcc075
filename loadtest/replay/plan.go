package replay

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"weir/internal/units"
	"weir/loadtest/check"
	"weir/loadtest/scenario"
)

// Options change what was recorded.
type Options struct {
	Times  float64 // so many times the connections and messages, in the same time; 1
	Single bool    // the target has one channel a connection: who followed several has as many connections
}

// Limits of a load test of one client machine.
const (
	maxMessages    = 20_000_000
	maxConnections = 1_000_000
	stayMost       = 30 * time.Second
)

// Scenario is the load test of a recording. The error wraps ErrFormat if nothing can be made of it.
func (r *Recording) Scenario(o Options) (scenario.Scenario, error) {
	times := cmp.Or(o.Times, 1)
	s := scenario.Scenario{Name: "replay", About: fmt.Sprintf("traffic recorded on %s, %g times", r.Started.Format(time.DateTime), times), Warmup: -1, Follow: 1}
	if len(r.Samples) < 2 {
		return s, fmt.Errorf("%d samples: expected two or more: %w", len(r.Samples), ErrFormat)
	}
	b := &builder{times: times, channels: map[string]int32{}, trace: &scenario.Trace{}, random: rand.New(rand.NewPCG(1, 2))} //nolint:gosec // the same each time
	first := r.Samples[0]
	b.connect(first, o.Single)
	if len(b.trace.Follows) > maxConnections {
		return s, fmt.Errorf("%d connections: expected %d at most, for fewer times: %w", len(b.trace.Follows), maxConnections, ErrFormat)
	}
	slow := -1
	for i, now := range r.Samples[1:] {
		b.second(int64(r.Samples[i].At-first.At), int64(now.At-first.At), now)
		if len(b.trace.Messages) > maxMessages {
			return s, fmt.Errorf("over %d messages: expected a shorter recording, or fewer times: %w", maxMessages, ErrFormat)
		}
		if slow < 0 && now.Slow > 0 {
			slow = i
		}
	}
	if len(b.trace.Messages) > 0 && !slices.ContainsFunc(first.Channels, func(c Channel) bool { return c.Subscribers > 0 }) {
		return s, fmt.Errorf("nobody followed a channel when it began: expected a recording of a relay that has clients: %w", ErrFormat)
	}
	length := r.Samples[len(r.Samples)-1].At - first.At
	s.Trace, s.Channels, s.Subscribers = b.trace, len(b.channels)+1, len(b.trace.Follows)
	rate, bytes := float64(len(b.trace.Messages))/length.Seconds(), 0
	for _, m := range b.trace.Messages {
		bytes += int(m.Size)
	}
	s.Payload = units.Size(max(bytes/max(len(b.trace.Messages), 1), check.MinSize))
	s.Churn, s.Stay = float64(len(b.trace.Visits))/length.Seconds(), b.stay(length)
	if slow < 0 {
		s.Rate, s.Duration = rate, length
		return s, nil
	}
	at, share := r.Samples[slow].At-first.At, 0.0
	for _, now := range r.Samples {
		share = max(share, float64(now.Slow)/float64(max(now.Connections, 1)))
	}
	if at > 0 {
		s.Stages = append(s.Stages, scenario.Stage{Duration: at, Rate: rate})
	}
	s.Stages = append(s.Stages, scenario.Stage{Duration: length - at, Rate: rate, Slow: min(share, .9)})
	return s, nil
}

// builder makes a trace.
type builder struct {
	times    float64
	channels map[string]int32 // numbers by id
	trace    *scenario.Trace
	random   *rand.Rand
	left     float64 // of a message or a visit that is not whole yet
	present  float64 // subscriptions, added up over the seconds
}

func (b *builder) channel(id string) int32 {
	n, ok := b.channels[id]
	if !ok {
		n = int32(len(b.channels)) + 1
		b.channels[id] = n
	}
	return n
}

// whole is how many times n is, what is left over carried on to the next.
func (b *builder) whole(n float64) int {
	b.left += n * b.times
	k := int(b.left)
	b.left -= float64(k)
	return k
}

// connect deals out the subscriptions that there were when the recording began. Channel 0 is that of connections that
// followed none: nothing is published to it.
func (b *builder) connect(s Sample, single bool) {
	list := slices.SortedFunc(slices.Values(s.Channels), func(x, y Channel) int { return cmp.Or(y.Subscribers-x.Subscribers, cmp.Compare(x.ID, y.ID)) })
	all := 0
	for _, c := range list {
		all += int(float64(c.Subscribers)*b.times + .5)
	}
	n := int(float64(s.Connections)*b.times + .5)
	if len(list) > 0 {
		n = max(n, int(float64(list[0].Subscribers)*b.times+.5)) // a connection follows a channel once
	}
	if single {
		n = max(n, all)
	}
	b.trace.Follows = make([][]int, n)
	next := 0
	for _, c := range list {
		ch := int(b.channel(c.ID))
		for range int(float64(c.Subscribers)*b.times + .5) {
			b.trace.Follows[next%n] = append(b.trace.Follows[next%n], ch)
			next++
		}
	}
	groups := map[string]int{}
	for i, follows := range b.trace.Follows {
		if len(follows) == 0 {
			b.trace.Follows[i] = []int{0}
		}
		key := fmt.Sprint(b.trace.Follows[i])
		if _, ok := groups[key]; !ok {
			groups[key] = len(groups)
		}
		b.trace.Groups = append(b.trace.Groups, groups[key])
	}
}

// second adds what happened between two moments: spread evenly over the time, in an order of no meaning.
func (b *builder) second(from, to int64, s Sample) {
	var messages, visits []scenario.Traced
	for _, c := range s.Channels {
		ch := b.channel(c.ID)
		b.present += float64(c.Subscribers) * float64(to-from)
		for _, size := range slices.Sorted(maps.Keys(c.Sizes)) {
			for range b.whole(float64(c.Sizes[size])) {
				messages = append(messages, scenario.Traced{Channel: ch, Size: int32(min(max(size, check.MinSize), 1<<20))})
			}
		}
		for range b.whole(float64(c.Joins)) {
			visits = append(visits, scenario.Traced{Channel: ch})
		}
	}
	for _, list := range [][]scenario.Traced{messages, visits} {
		b.random.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
		for i := range list {
			list[i].Due = from + int64((float64(i)+.5)/float64(len(list))*float64(to-from))
		}
	}
	b.trace.Messages, b.trace.Visits = append(b.trace.Messages, messages...), append(b.trace.Visits, visits...)
}

// stay is how long those who join stay: as long as subscriptions did on average (Little's law), within limits.
func (b *builder) stay(length time.Duration) time.Duration {
	joins := float64(len(b.trace.Visits)) / b.times
	if joins == 0 {
		return time.Second
	}
	return min(max(time.Duration(b.present/joins), 100*time.Millisecond), stayMost, length)
}
