package batch

import "time"

// Bounds of how the windows of a group are divided. A pass over many connections takes its time, and the last ones wait for all of it besides the window; halves of the
// windows, one after the other, make two passes of half the length. But whoever reads channels of both halves gets two writes for one: windows are divided as long as
// readers have little more than one channel each that has something.
const (
	mostParts   = 8
	longPass    = 8 * time.Millisecond // from which on parts are halved
	shortPass   = 2 * time.Millisecond // below which two of them become one
	mostShared  = 1.25                 // channels of a reader, on average, up to which they are halved
	tooShared   = 1.5                  // from which on they become one again
	togetherFor = 10 * time.Second     // then, at least
)

// parts is into how many parts the windows are divided for now. It belongs to the loop.
type parts struct {
	count    int           // a power of two
	longest  time.Duration // pass since it was last looked at
	readers  int           // since then, too; see Spent
	channels int
	together time.Time // until when they are not divided
}

func (p *parts) spent(d time.Duration, readers, channels int) {
	p.longest = max(p.longest, d)
	p.readers += readers
	p.channels += channels
}

// look brings count up to date. It is called as often as the load is looked at.
func (p *parts) look(now time.Time) {
	shared := float64(p.channels) / float64(max(p.readers, 1))
	switch {
	case shared > tooShared:
		p.together = now.Add(togetherFor)
		p.count = max(p.count/2, 1)
	case p.longest < shortPass:
		p.count = max(p.count/2, 1)
	case p.longest > longPass && shared <= mostShared && now.After(p.together):
		p.count = min(2*p.count, mostParts)
	}
	p.longest, p.readers, p.channels = 0, 0, 0
}
