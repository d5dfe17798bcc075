package loadtest

import "weir/loadtest/target"

// beats says when connections of a loop say something by themselves: each every so often, spread evenly over that time. It
// is owned by the loop.
type beats struct {
	every int64 // ns; 0: never
	next  int64 // when the next one is due
	turn  int   // whose turn it is
}

// beatEvery is how often clients of a target say something, 0 for never.
func beatEvery(t target.Target) int64 {
	if b, ok := t.(target.Beater); ok {
		return b.Every()
	}
	return 0
}

// tick calls beat for those of n connections that are due, and returns when the next one is.
func (b *beats) tick(now int64, n int, beat func(i int)) (next int64) {
	if b.every == 0 || n == 0 {
		return never
	}
	gap := max(b.every/int64(n), 1)
	if b.next == 0 {
		b.next = now + gap
	}
	for range n {
		if b.next > now {
			return b.next
		}
		b.turn = (b.turn + 1) % n
		beat(b.turn)
		b.next += gap
	}
	b.next = max(b.next, now+1)
	return b.next
}

// dockTick is the ticker of a loop of subscribers that say something by themselves. Its dock comes after the loop has started;
// it is set and used on the loop.
type dockTick struct{ d *dock }

func (t *dockTick) tick(now int64) (next int64) {
	d := t.d
	if d == nil {
		return never
	}
	return d.beats.tick(now, len(d.conns), func(i int) {
		if c := d.conns[i]; c.phase == listening {
			c.sock.send(d.f.e.target.(target.Beater).Beat(&c.sub))
		}
	})
}
