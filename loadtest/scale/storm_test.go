package scale

import (
	"container/heap"
	"math"
	"math/rand/v2"
	"slices"
)

// Storm is everybody reconnecting: clients whose connections all end at the same moment, and who try again
// with a growing, random pause each time they fail.
type Storm struct {
	Clients  int
	Accept   float64 // connections a second that the nodes that are left take
	Patience float64 // s until a client gives an attempt up that is not answered
	First    float64 // s; the first pause is random up to this
	Most     float64 // s; pauses double up to this
	Spread   float64 // s over which the nodes spread their closes when they shut down in order; 0 at once
	Jitter   bool    // pauses are random from 0 to their length; without, they are their length
}

// Outcome is how a storm went.
type Outcome struct {
	Half, Most, Last float64 // s until half, 99 % and all of the clients were back
	Attempts         float64 // for each client
	Waiting          int     // most connections waiting to be taken at any time
}

// attempt is a client's next try.
type attempt struct {
	at    float64
	tries int
}

type attempts []attempt

func (a attempts) Len() int           { return len(a) }
func (a attempts) Less(i, j int) bool { return a[i].at < a[j].at }
func (a attempts) Swap(i, j int)      { a[i], a[j] = a[j], a[i] }
func (a *attempts) Push(x any)        { *a = append(*a, x.(attempt)) }
func (a *attempts) Pop() any {
	last := (*a)[len(*a)-1]
	*a = (*a)[:len(*a)-1]
	return last
}

// Play plays a storm through. Whoever would have to wait longer than its patience gives up after that; the
// nodes notice and spend nothing on it.
func (s Storm) Play() Outcome {
	random := rand.New(rand.NewPCG(1, 2))
	next := make(attempts, s.Clients)
	for i := range next {
		next[i] = attempt{at: s.Spread*random.Float64() + s.pause(random, 0)}
	}
	heap.Init(&next)
	var (
		free float64 // when the server has worked off what it has taken
		back = make([]float64, 0, s.Clients)
		out  Outcome
		took = 1 / s.Accept
		made float64
	)
	for len(next) > 0 {
		a := heap.Pop(&next).(attempt)
		made++
		begin := max(free, a.at)
		if wait := begin - a.at; wait > s.Patience {
			heap.Push(&next, attempt{a.at + s.Patience + s.pause(random, a.tries+1), a.tries + 1})
			continue
		}
		free = begin + took
		out.Waiting = max(out.Waiting, int((begin-a.at)*s.Accept))
		back = append(back, free)
	}
	slices.Sort(back)
	n := float64(len(back))
	out.Half, out.Most, out.Last = back[int(n*.5)], back[int(n*.99)], back[len(back)-1]
	out.Attempts = made / n
	return out
}

// pause is how long a client waits before its next try.
func (s Storm) pause(random *rand.Rand, tries int) float64 {
	length := min(s.First*math.Pow(2, float64(tries)), s.Most)
	if s.Jitter {
		return length * random.Float64()
	}
	return length
}
