package simulate

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"weir/relay/relaytest/ledger"
)

// tailLines is how much of what happened is kept for a failure, problemLines how many problems.
const (
	tailLines    = 60
	problemLines = 20
)

// story is what was planned, what happened and what was wrong.
type story struct {
	start time.Time // set once

	mu sync.Mutex
	// Guarded by mu.
	planned  []string
	tail     []string // the last things that happened, the planned ones among them
	problems []string
	wrong    int
}

// plan tells of a step. The lines of a seed are always the same.
func (s *story) plan(line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.planned = append(s.planned, line)
	s.add("- " + line)
}

// tell tells of what came of it.
func (s *story) tell(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.add(fmt.Sprintf("  %v ", time.Since(s.start)) + fmt.Sprintf(format, args...))
}

// add adds a line to the tail, which ends at the first problem. The caller holds mu.
func (s *story) add(line string) {
	if s.wrong > 0 {
		return
	}
	if len(s.tail) >= 2*tailLines {
		s.tail = slices.Delete(s.tail, 0, tailLines)
	}
	s.tail = append(s.tail, line)
}

// problem tells of what must not be.
func (s *story) problem(format string, args ...any) {
	line := fmt.Sprintf("%v ", time.Since(s.start)) + fmt.Sprintf(format, args...)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.add("! " + line)
	if s.wrong++; len(s.problems) < problemLines {
		s.problems = append(s.problems, line)
	}
}

// Outcome is how a run ended.
type Outcome struct {
	Verdict  ledger.Verdict
	Problems []string // what clients and publishers have found, and the end's comparison; the first of them
	Story    []string // the plan, a line for each step: the same for the same Options
	Tail     []string // what happened before the first problem
	Counts   Counts
}

// Counts are sums over a run. They differ a little between runs of a seed.
type Counts struct {
	Published, Retried, Connected, Resumed, Snapshots, Changes uint64
}

// OK says that nothing was wrong.
func (o *Outcome) OK() bool { return o.Verdict.OK() && len(o.Problems) == 0 }

// String is one line.
func (o *Outcome) String() string {
	return fmt.Sprintf("%d steps, %+v, %v, %d problems", len(o.Story), o.Counts, o.Verdict, len(o.Problems))
}
