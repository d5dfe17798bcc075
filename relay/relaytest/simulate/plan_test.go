package simulate

import (
	"fmt"
	"math"
	"math/rand/v2"
	"time"
)

// step is one thing that happens.
type step struct {
	at      time.Duration // since the start
	what    string
	who     int           // client or publisher
	channel int           // where one is meant
	count   int           // messages of a burst, bytes that survive a cut
	lasts   time.Duration // stalls, absences, trouble; the longest pause within a burst; by how much a clock is set
	seed    uint64        // of what the burst draws, or what is found after a power cut
}

func (s step) String() string {
	return fmt.Sprintf("%v %s who=%d channel=%d count=%d lasts=%v seed=%x", s.at, s.what, s.who, s.channel, s.count, s.lasts, s.seed)
}

// chance is how often a kind of step is drawn, among all.
type chance struct {
	what   string
	weight int
}

// chances are the steps of a plan. What ends every connection is rare, or nothing else would happen.
var chances = []chance{
	{"publish", 900}, {"cut", 150}, {"stall", 80}, {"leave", 60}, {"swap", 60}, {"again", 40},
	{"clear", 6}, {"race", 10}, {"storm", 5}, {"away", 4}, {"restart", 3}, {"crash", 4},
	{"slow disk", 4}, {"full disk", 4}, {"broken disk", 4}, {"clock", 3},
}

// calmChances are the steps of a plan for a cluster whose nodes come and go in order, clusterChances those of one whose nodes and links fail.
var (
	calmChances = []chance{
		{"publish", 900}, {"cut", 120}, {"stall", 40}, {"leave", 60}, {"swap", 60}, {"again", 40}, {"storm", 5},
		{"restart", 12}, {"lose frames", 10}, {"shuffle", 10}, {"no table", 4}, {"unsure table", 4}, {"clock", 6},
	}
	clusterChances = append([]chance{
		{"kill", 8}, {"pause", 10}, {"split", 8}, {"cut off", 8}, {"deaf", 8}, {"mute", 8}, {"flap", 5}, {"clear", 4}, {"race", 6},
	}, calmChances...)
)

// draw makes the plan of a seed.
func draw(o Options) []step {
	r := rand.New(rand.NewPCG(o.Seed, 1))
	total := 0
	chances := chances
	switch {
	case o.Nodes > 1 && o.Calm:
		chances = calmChances
	case o.Nodes > 1:
		chances = clusterChances
	}
	for _, c := range chances {
		total += c.weight
	}
	var plan []step
	at := time.Second
	for {
		gap, channel := time.Duration(-math.Log(1-r.Float64())*float64(o.Pace))+time.Microsecond, r.IntN(o.Channels)
		if len(plan) > 0 && r.IntN(4) == 0 { // at once, and in the same channel
			gap, channel = 0, plan[len(plan)-1].channel
		}
		if at = (at + gap).Truncate(time.Microsecond); at >= o.Span {
			return plan
		}
		s := step{at: at, channel: channel, seed: r.Uint64()}
		n := r.IntN(total)
		for _, c := range chances {
			if n -= c.weight; n < 0 {
				s.what = c.what
				break
			}
		}
		s.who = r.IntN(o.Clients)
		switch s.what {
		case "kill":
			s.count = []int{0, 1, 200, 5000}[r.IntN(4)]
			s.lasts = time.Duration(r.IntN(15_000)) * time.Millisecond
		case "pause", "split", "cut off", "deaf", "mute", "flap", "lose frames", "shuffle", "no table", "unsure table":
			s.count = 1 + r.IntN(50) // percent
			s.lasts = []time.Duration{time.Second, 3 * time.Second, 5 * time.Second, 15 * time.Second}[r.IntN(4)] + time.Duration(r.IntN(2000))*time.Millisecond
		case "publish":
			s.who = r.IntN(o.Publishers)
			s.count = 1 + r.IntN(1+r.IntN(40))
			s.lasts = []time.Duration{0, time.Millisecond, 20 * time.Millisecond, 200 * time.Millisecond}[r.IntN(4)]
		case "cut", "storm", "crash":
			s.count = []int{0, 0, 1, 7, 200, 5000}[r.IntN(6)]
			s.lasts = time.Duration(r.IntN(3000)) * time.Millisecond
		case "stall":
			s.lasts = time.Duration(1+r.IntN(60_000)) * time.Millisecond
		case "leave":
			s.lasts = time.Duration(1+r.IntN(int(max(o.Span/8/time.Millisecond, 1)))) * time.Millisecond
		case "race":
			s.lasts = time.Duration(r.IntN(60)) * time.Millisecond
			s.who = r.IntN(o.Publishers)
			s.count = r.IntN(30)
		case "slow disk", "full disk", "broken disk":
			s.count = []int{0, 3, 40, 300, 2000}[r.IntN(5)] // ms an operation takes, bytes that there is room for
			s.lasts = time.Duration(r.IntN(15_000)) * time.Millisecond
		case "clock":
			s.lasts = (time.Duration(r.IntN(7200)) - 3600) * time.Second
		case "away", "restart":
			s.lasts = time.Duration(r.IntN(10_000)) * time.Millisecond
		}
		plan = append(plan, s)
	}
}
