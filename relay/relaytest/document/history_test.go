package document

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The judge is judged: what one document could have answered passes, and nothing else.
func TestCheck(t *testing.T) {
	for _, test := range []struct {
		name string
		bad  string // what is wrong, as Check says it; "": nothing
		fill func(h *History)
	}{
		{"nothing", "", func(*History) {}},
		{"one after the other", "", func(h *History) {
			h.Read(0, "", 0, 1)
			h.Made("a", 1, 2, 3)
			h.Read(1, "a ", 4, 5)
			h.Made("b", 2, 6, 7)
			h.Read(2, "b a ", 8, 9)
		}},
		{"a read during an insert may see it or not", "", func(h *History) {
			h.Made("a", 1, 0, 10)
			h.Read(1, "a ", 1, 2)
			h.Made("b", 2, 3, 10)
			h.Read(1, "a ", 4, 5)
		}},
		{"an insert without an answer may be made late", "", func(h *History) {
			h.Tried("a", 0)
			h.Made("b", 1, 1, 2)
			h.Read(1, "b ", 3, 4)
			h.Read(2, "a b ", 5, 6)
		}},
		{"or never", "", func(h *History) {
			h.Tried("a", 0)
			h.Made("b", 1, 1, 2)
			h.Read(1, "b ", 3, 4)
		}},
		{"or unseen", "", func(h *History) {
			h.Tried("late", 5)
			h.Tried("a", 0)
			h.Made("b", 2, 1, 2)
		}},
		{"a read that may be old", "", func(h *History) {
			h.Made("a", 1, 0, 1)
			h.Made("b", 2, 2, 3)
			h.Read(1, "a ", 4-2, 5)
		}},
		{"a refusal", "", func(h *History) {
			h.Refused("a")
			h.Made("b", 1, 1, 2)
			h.Read(1, "b ", 3, 4)
		}},
		{"a stale read", "a read of version 1, from 4ns to 5ns", func(h *History) {
			h.Made("a", 1, 0, 1)
			h.Made("b", 2, 2, 3)
			h.Read(1, "a ", 4, 5)
			h.Read(2, "b a ", 6, 7)
		}},
		{"a read of nothing, after an insert", "a read of version 0", func(h *History) {
			h.Made("a", 1, 0, 1)
			h.Read(0, "", 2, 3)
		}},
		{"an insert that is lost after it was acknowledged", `version 1 is of "a", and of "b"`, func(h *History) {
			h.Made("a", 1, 0, 1)
			h.Made("b", 1, 2, 3)
		}},
		{"one that is lost after it was read", `version 1 is of "a", and of "b"`, func(h *History) {
			h.Tried("a", 0)
			h.Read(1, "a ", 1, 2)
			h.Made("b", 1, 3, 4)
			h.Read(1, "b ", 5, 6)
		}},
		{"one that is not in a later text", `version 1 is of "a", and of "b"`, func(h *History) {
			h.Made("a", 1, 0, 1)
			h.Made("b", 2, 2, 3)
			h.Read(1, "b ", 4, 5)
		}},
		{"one that is made twice", `"a" is there twice`, func(h *History) {
			h.Made("a", 1, 0, 1)
			h.Made("b", 2, 2, 3)
			h.Read(3, "a b a ", 4, 5)
		}},
		{"one that was refused", `"a" was refused, and is there at version 1`, func(h *History) {
			h.Refused("a")
			h.Read(1, "a ", 0, 1)
		}},
		{"a version that nobody has made", "nobody can have made version 2", func(h *History) {
			h.Made("a", 1, 0, 1)
			h.Made("b", 3, 2, 3)
		}},
		{"a version with another text", "version 2 was read with 1 marks", func(h *History) {
			h.Made("a", 1, 0, 1)
			h.Read(2, "a ", 2, 3)
		}},
		{"inserts in another order than they were made in", `"a" at version 2, from 0s to 1ns`, func(h *History) {
			h.Made("a", 2, 0, 1)
			h.Made("b", 1, 2, 3)
		}},
		{"two readers that see two orders", "version 1 is of", func(h *History) {
			h.Made("a", 1, 0, 10)
			h.Made("b", 2, 0, 10)
			h.Read(2, "b a ", 11, 12)
			h.Read(2, "a b ", 13, 14)
		}},
		{"what nobody has inserted", `"c" is there at version 2, and nobody has inserted it`, func(h *History) {
			h.Made("a", 1, 0, 1)
			h.Read(2, "c a ", 2, 3)
		}},
		{"what was not asked for yet", "a read of version 1, from 0s to 1ns", func(h *History) {
			h.Read(1, "a ", 0, 1)
			h.Tried("a", 2)
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			var h History
			test.fill(&h)
			err := h.Check(time.Minute)
			if (err == nil) != (test.bad == "") || err != nil && !strings.Contains(err.Error(), test.bad) {
				t.Errorf("%v, want %q", err, test.bad)
			}
		})
	}
}

// A long history of a real document passes, however its operations overlap, with many inserts that were not answered; with one read in it that is too old it does not.
func TestLongHistory(t *testing.T) {
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 1))
		var good, bad History
		var texts []string // by version
		texts = append(texts, "")
		for i := range 600 {
			at := time.Duration(10 * (i + 1)) // when it happens
			from, to := at-time.Duration(r.IntN(30)), at+time.Duration(r.IntN(30))
			version := len(texts) - 1
			insert, answered, lost, old := r.IntN(2) == 0, r.IntN(4) > 0, r.IntN(2) == 0, r.IntN(4) == 0
			mark := fmt.Sprint(i)
			for _, h := range []*History{&good, &bad} {
				switch {
				case insert && answered:
					h.Made(mark, version+1, from, to)
				case insert:
					h.Tried(mark, from)
				case old:
					then := max(version-5, 0)
					h.Read(then, texts[then], from-1000, to)
				default:
					h.Read(version, texts[version], from, to)
				}
			}
			if insert && (answered || !lost) {
				texts = append(texts, mark+" "+texts[version])
			}
		}
		end, version := time.Duration(10_000), len(texts)
		last := "last " + texts[version-1]
		for _, h := range []*History{&good, &bad} {
			h.Made("last", version, end-1, end)
			h.Read(version, last, end, end+1)
		}
		bad.Read(version-1, texts[version-1], end+2, end+3)
		if err := good.Check(time.Minute); err != nil {
			t.Errorf("seed %d: %v", seed, err)
		}
		if err, want := bad.Check(time.Minute), fmt.Sprintf("a read of version %d, from 10.002µs", version-1); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("seed %d: an old read: %v, want %s", seed, err, want)
		}
	}
}
