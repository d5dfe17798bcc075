package typing

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"weir/broker"
)

// desk is typing by itself, in a bubble of time.
type desk struct {
	State
	t     *testing.T
	begin time.Time

	mu   sync.Mutex
	seen []string
	out  map[string]bool // members no more
}

func atDesk(t *testing.T, f func(d *desk)) {
	synctest.Test(t, func(t *testing.T) {
		d := &desk{t: t, begin: time.Now(), out: make(map[string]bool)}
		d.Now, d.Refused, d.Member = time.Now, errors.New("no member"), func(_, user string) bool { return !d.out[user] }
		d.Publish = func(room, user string, p *broker.Publication) error {
			d.mu.Lock()
			defer d.mu.Unlock()
			line := fmt.Sprintf("%.1f %s/%s %v", time.Since(d.begin).Seconds(), room, user, p.Op)
			if p.Op == broker.Set {
				line += fmt.Sprintf(" for %.1f", p.TTL.Seconds())
			}
			d.seen = append(d.seen, line)
			return nil
		}
		f(d)
		d.Close()
	})
}

// told says what was told so far.
func (d *desk) told(want ...string) {
	d.t.Helper()
	synctest.Wait()
	d.mu.Lock()
	defer d.mu.Unlock()
	if !slices.Equal(d.seen, want) {
		d.t.Fatalf("told\n%s\nwant\n%s", strings.Join(d.seen, "\n"), strings.Join(want, "\n"))
	}
}

// says has a user start.
func (d *desk) says(user string) {
	d.t.Helper()
	if err := d.Start("r", user, "c"); err != nil {
		d.t.Fatal(err)
	}
}

func at(seconds float64) { time.Sleep(time.Duration(seconds * float64(time.Second))) }

// At most one update of a user goes out in 2 seconds. A start that is withheld is told late and not dropped, with
// what is left of the 5 seconds since the last start.
func TestStartsAreThrottled(t *testing.T) {
	atDesk(t, func(d *desk) {
		for range 10 { // 0.0 to 0.9
			d.says("u1")
			at(0.1)
		}
		at(0.5)
		d.says("u1") // 1.5
		at(0.4)
		d.told("0.0 r/u1 set for 5.0")
		at(0.1)
		d.told("0.0 r/u1 set for 5.0", "2.0 r/u1 set for 4.5")
		at(1) // 3.0
		d.says("u1")
		d.says("u2") // others have a pause of their own
		at(30)
		d.told("0.0 r/u1 set for 5.0", "2.0 r/u1 set for 4.5", "3.0 r/u2 set for 5.0", "4.0 r/u1 set for 4.0")
		if d.Count() != 0 {
			t.Error("still known:", d.Count())
		}
		d.says("u1")
		d.told("0.0 r/u1 set for 5.0", "2.0 r/u1 set for 4.5", "3.0 r/u2 set for 5.0", "4.0 r/u1 set for 4.0", "33.0 r/u1 set for 5.0")
	})
}

// A stop is told at once, and a start that was withheld is not told after it.
func TestStopIsExempt(t *testing.T) {
	atDesk(t, func(d *desk) {
		d.says("u1")
		at(0.5)
		d.says("u1")
		at(0.1)
		d.End("r", "u1")
		d.told("0.0 r/u1 set for 5.0", "0.6 r/u1 delete")
		d.End("r", "u1") // no news
		at(0.4)
		d.says("u1") // 1.0: late, at 2.0
		at(20)
		d.told("0.0 r/u1 set for 5.0", "0.6 r/u1 delete", "2.0 r/u1 set for 4.0")
		if d.Count() != 0 {
			t.Error("still known:", d.Count())
		}
	})
}

// The end of a connection takes back what it said last, and no more.
func TestGone(t *testing.T) {
	atDesk(t, func(d *desk) {
		_ = d.Start("r", "u1", "a")
		_ = d.Start("s", "u1", "b")
		_ = d.Start("r", "u2", "c")
		d.Disconnected("u1", "x", "")
		d.Disconnected("u9", "a", "")
		at(1)
		d.Disconnected("u1", "a", "")
		d.told("0.0 r/u1 set for 5.0", "0.0 s/u1 set for 5.0", "0.0 r/u2 set for 5.0", "1.0 r/u1 delete")
	})
}

// Who is no member any more is refused, and nothing comes late of them.
func TestStrangersDoNotType(t *testing.T) {
	atDesk(t, func(d *desk) {
		d.says("u1")
		d.says("u1") // withheld
		d.out["u1"] = true
		d.End("r", "u1")
		if err := d.Start("r", "u1", "c"); err == nil {
			t.Error("a stranger types")
		}
		at(10)
		d.told("0.0 r/u1 set for 5.0", "0.0 r/u1 delete")
	})
}

// Nothing happens after the end.
func TestTypingCloses(t *testing.T) {
	atDesk(t, func(d *desk) {
		d.says("u1")
		d.says("u1")
		d.Close()
		d.says("u2")
		d.End("r", "u1")
		at(10)
		d.told("0.0 r/u1 set for 5.0")
	})
}
