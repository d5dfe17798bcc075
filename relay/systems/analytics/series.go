package analytics

// point is the count and the sum of the values in a span of time.
type point struct {
	count uint64
	sum   float64
}

func (p *point) add(q point) {
	p.count += q.count
	p.sum += q.sum
}

// mean is the mean of the values; 0 without any.
func (p point) mean() float64 {
	if p.count == 0 {
		return 0
	}
	return p.sum / float64(p.count)
}

// blockSize is how many steps a block has.
const blockSize = 60

// block is a run of points.
type block struct {
	base   int64 // step of the first
	points [blockSize]point
}

// series is the newest points of a metric, by step: the number of a second or of a minute. What is older is
// overwritten; a block is made when something falls into it.
type series struct{ blocks []*block }

// newSeries returns a series of at least so many steps.
func newSeries(steps int) series { return series{make([]*block, steps/blockSize+1)} }

// add counts p into a step. Steps come in order.
func (s *series) add(step int64, p point) {
	at := int(step / blockSize % int64(len(s.blocks)))
	base := step - step%blockSize
	b := s.blocks[at]
	switch {
	case b == nil:
		b = &block{base: base}
		s.blocks[at] = b
	case b.base != base:
		*b = block{base: base}
	}
	b.points[step-base].add(p)
}

// at returns the point of a step.
func (s *series) at(step int64) point { return s.sum(step, step+1) }

// sum returns the sum of the steps from from to to, without to.
func (s *series) sum(from, to int64) point {
	var p point
	for step := from; step < to; step++ {
		b := s.blocks[int(step/blockSize%int64(len(s.blocks)))]
		base := step - step%blockSize
		if b == nil || b.base != base {
			step = base + blockSize - 1 // nothing in this one
			continue
		}
		p.add(b.points[step-base])
	}
	return p
}
