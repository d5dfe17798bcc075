package register

import (
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The judge is judged: what one register could have answered passes, and nothing else.
func TestCheck(t *testing.T) {
	const limit = time.Minute
	for _, test := range []struct {
		name string
		bad  string // what is wrong, as Check says it; "": nothing
		fill func(h *History)
	}{
		{"nothing", "", func(*History) {}},
		{"one after the other", "", func(h *History) {
			h.Read("", 0, 1)
			h.Wrote("a", 2, 3)
			h.Read("a", 4, 5)
			h.Wrote("b", 6, 7)
			h.Read("b", 8, 9)
		}},
		{"a read during a write may see it or not", "", func(h *History) {
			h.Wrote("a", 0, 10)
			h.Read("", 1, 2)
			h.Read("a", 3, 4)
			h.Read("a", 11, 12)
		}},
		{"a write without an answer may be made late", "", func(h *History) {
			h.Tried("a", 0)
			h.Wrote("b", 1, 2)
			h.Read("b", 3, 4)
			h.Read("a", 5, 6)
		}},
		{"or never", "", func(h *History) {
			h.Wrote("b", 1, 2)
			h.Tried("a", 3)
			h.Read("b", 4, 5)
		}},
		{"a stale read", `a read returned "a", from 4ns to 5ns`, func(h *History) {
			h.Wrote("a", 0, 1)
			h.Wrote("b", 2, 3)
			h.Read("a", 4, 5)
			h.Read("b", 6, 7)
		}},
		{"a read of nothing, after a write", `a read returned ""`, func(h *History) {
			h.Wrote("a", 0, 1)
			h.Read("", 2, 3)
		}},
		{"a write that is lost after it was seen", `a read returned "a", from 6ns to 7ns`, func(h *History) {
			h.Wrote("a", 0, 1)
			h.Tried("b", 2)
			h.Read("b", 4, 5)
			h.Read("a", 6, 7)
		}},
		{"a write that is made twice", `a read returned "a", from 6ns to 7ns`, func(h *History) {
			h.Wrote("a", 0, 1)
			h.Wrote("b", 2, 3)
			h.Read("b", 4, 5)
			h.Read("a", 6, 7)
		}},
		{"two readers that see two writes in two orders", "a read returned", func(h *History) {
			h.Wrote("a", 0, 10)
			h.Wrote("b", 0, 10)
			h.Read("a", 11, 12)
			h.Read("b", 13, 14)
		}},
		{"what nobody has written", `a read returned "c"`, func(h *History) {
			h.Wrote("a", 0, 1)
			h.Read("c", 2, 3)
		}},
		{"what was not asked for yet", `a read returned "a"`, func(h *History) {
			h.Read("a", 0, 1)
			h.Tried("a", 2)
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			var h History
			test.fill(&h)
			err := h.Check(limit)
			if (err == nil) != (test.bad == "") || err != nil && !strings.Contains(err.Error(), test.bad) {
				t.Errorf("%v, want %q", err, test.bad)
			}
		})
	}
}

// A long history of a real register passes, however its operations overlap, with many writes that were not answered; with one value in it that comes back it does not.
func TestLongHistory(t *testing.T) {
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 1))
		var good, bad History
		value := ""
		for i := range 400 {
			at := time.Duration(10 * (i + 1)) // when it happens
			from, to := at-time.Duration(r.IntN(30)), at+time.Duration(r.IntN(30))
			write, answered := r.IntN(2) == 0, r.IntN(4) > 0
			for _, h := range []*History{&good, &bad} {
				switch {
				case i == 200:
					h.Wrote("x", at, at+1)
					h.Wrote("y", at+2, at+3)
				case write && answered:
					h.Wrote(strconv.Itoa(i), from, to)
				case write:
					h.Tried(strconv.Itoa(i), from)
				default:
					h.Read(value, from, to)
				}
			}
			if i == 200 {
				value = "y"
				good.Read("y", at+4, at+4)
				bad.Read("x", at+4, at+4)
			} else if write {
				value = strconv.Itoa(i)
			}
		}
		if err := good.Check(time.Minute); err != nil {
			t.Errorf("seed %d: %v", seed, err)
		}
		if err := bad.Check(time.Minute); err == nil || !strings.Contains(err.Error(), `a read returned "x"`) {
			t.Errorf("seed %d: a value that comes back: %v", seed, err)
		}
	}
}
