package scenario

import "math"

// What is checked when nothing else is asked for: of every channel at least sampleLeast of its subscribers, or one in
// sampleShare where that is more. Up to checkedAll deliveries a second it is all of them: they cost the client little.
const (
	sampleLeast = 50
	sampleShare = 20
	checkedAll  = 100_000
)

// AutoChecked is what is checked on each of n machines when nothing else is asked for: All while it is cheap, or Share.
func (p *Plan) AutoChecked(n int) Checked {
	if cost := p.peak() / float64(n); cost == 0 || p.Closed || cost > checkedAll {
		return Share
	}
	return All
}

// peak is the most deliveries a second.
func (p *Plan) peak() (most float64) {
	for _, s := range p.Steps {
		most = max(most, s.Rate)
	}
	return most * p.Deliveries()
}

// Sample reports of each subscriber whether it is checked message by message. Every channel has its share of them, spread
// evenly over the order of connecting: a relay serves its connections in some such order, and those that came first
// get each message first.
func (p *Plan) Sample() []bool {
	chosen := make([]bool, p.Subscribers)
	if p.Trace != nil {
		p.sampleTrace(chosen)
		return chosen
	}
	groups := min(p.groups(), p.Subscribers)
	size := func(group int) int { return (p.Subscribers - group + groups - 1) / groups }
	share := func(group int) int {
		of := p.Follow / gcd(p.Channels, p.Follow) // groups that a channel has
		return min(max(ceil(sampleLeast, of), ceil(size(group), sampleShare)), size(group))
	}
	all, sum := p.Subscribers, 0
	for _, s := range p.Steps {
		all = min(all, int(float64(p.Subscribers)*(1-s.Slow))) // those that stall are never among the checked ones
	}
	for group := range groups {
		sum += share(group)
	}
	n := all
	switch {
	case p.Checked > 0:
		n = min(int(p.Checked), all)
	case p.Checked == Share, p.Checked == Auto && p.AutoChecked(1) == Share:
		n = min(sum, all)
	}
	for i := range chosen {
		group, turn := i%groups, i/groups
		k := share(group)
		if n != sum { // not every channel has what it should: all have as many, give or take one
			k = n / groups
			if picks(group, n%groups, groups) {
				k++
			}
		}
		turns := size(group)
		if k > 0 && k < turns && n < p.Subscribers {
			_, later := math.Modf(float64(group*min(n, groups)/groups) * math.Phi) // the golden ratio keeps those of different groups apart
			chosen[i] = picks((turn+int(later*float64(turns)/float64(k)))%turns, k, turns)
		} else {
			chosen[i] = k > 0
		}
	}
	return chosen
}

// groups is how many different sets of channels connections follow: connection i follows the same as i plus groups.
func (p *Plan) groups() int { return p.Channels / gcd(p.Channels, p.Follow) }

// Group returns the number of a set of channels: connections of the same group follow the same.
func (p *Plan) Group(i int) int {
	if p.Trace != nil {
		return p.Trace.Groups[i]
	}
	return i % p.groups()
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

func ceil(a, b int) int { return (a + b - 1) / b }

// picks reports whether i is one of k numbers that are spread evenly over 0 to n-1, both ends alike.
func picks(i, k, n int) bool { return (2*(i+1)*k+n)/(2*n) != (2*i*k+n)/(2*n) }
