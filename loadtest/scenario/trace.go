package scenario

// Trace is recorded traffic: what is published when, who follows what, and who comes.
type Trace struct {
	Messages []Traced // in the order in which they are due
	Visits   []Traced // connections that join a channel and leave again, likewise
	Follows  [][]int  // channels of each subscriber
	Groups   []int    // a number for each subscriber, the same for those who follow the same channels
}

// Traced is a message, or a visit.
type Traced struct {
	Due     int64 // ns since the load began
	Channel int32
	Size    int32 // of the data
}

// deliveries is how many deliveries a message causes on average.
func (t *Trace) deliveries() float64 {
	if len(t.Messages) == 0 {
		return 0
	}
	followers, all := map[int32]int{}, 0
	for _, list := range t.Follows {
		for _, ch := range list {
			followers[int32(ch)]++
		}
	}
	for _, m := range t.Messages {
		all += followers[m.Channel]
	}
	return float64(all) / float64(len(t.Messages))
}

// sampleTrace chooses who is checked of those who follow what was recorded: all while it is cheap, or as many as are asked
// for, evenly spread.
func (p *Plan) sampleTrace(chosen []bool) {
	all := len(chosen)
	for _, s := range p.Steps {
		all = min(all, int(float64(len(chosen))*(1-s.Slow)))
	}
	n := all
	switch {
	case p.Checked > 0:
		n = min(int(p.Checked), all)
	case p.Checked == Share, p.Checked == Auto && p.AutoChecked(1) == Share:
		n = min(max(sampleLeast, len(chosen)/sampleShare), all)
	}
	for i := range chosen {
		chosen[i] = picks(i, n, len(chosen))
	}
}
