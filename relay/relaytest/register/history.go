package register

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"sort"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"
)

// operation is a write of a value, or a read that returned it; "": nothing had been written.
type operation struct {
	write bool
	value string
}

// never is when a write without an answer returns.
const never = math.MaxInt64

// History is what the clients of one register did, and what they were answered. The zero value is an empty one. It is safe for concurrent use. Times are since any moment, by one clock.
type History struct {
	mu   sync.Mutex
	list []porcupine.Operation // guarded by mu
}

// Wrote notes a write that was acknowledged.
func (h *History) Wrote(value string, from, to time.Duration) {
	h.add(operation{true, value}, int64(from), int64(to))
}

// Tried notes a write that nobody has acknowledged.
func (h *History) Tried(value string, from time.Duration) {
	h.add(operation{true, value}, int64(from), never)
}

// Read notes a read. One without an answer has no effect, and is not noted.
func (h *History) Read(value string, from, to time.Duration) {
	h.add(operation{false, value}, int64(from), int64(to))
}

func (h *History) add(op operation, from, to int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.list = append(h.list, porcupine.Operation{Input: op, Call: from, Return: to})
}

// model is a register.
var model = porcupine.Model{
	Init: func() any { return "" },
	Step: func(state, input, _ any) (bool, any) {
		op := input.(operation)
		return op.write || op.value == state, op.value
	},
}

// Check returns nil if the history is linearizable. Errors: it is not, and from which answer on; or that was not found out within the limit.
func (h *History) Check(limit time.Duration) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	list := slices.Clone(h.list)
	slices.SortStableFunc(list, func(a, b porcupine.Operation) int { return cmp.Compare(a.Return, b.Return) })
	switch porcupine.CheckOperationsTimeout(model, until(list, never), limit) {
	case porcupine.Ok:
		return nil
	case porcupine.Unknown:
		return fmt.Errorf("whether %d operations are linearizable was not found out within %v", len(list), limit)
	}
	// What is not linearizable stays so, whatever comes later: the first answer that does not fit is sought.
	first := sort.Search(len(list), func(i int) bool {
		return porcupine.CheckOperationsTimeout(model, until(list, list[i].Return), limit) == porcupine.Illegal
	})
	bad := list[min(first, len(list)-1)]
	what := "a read returned %q, from %v to %v"
	if bad.Input.(operation).write {
		what = "a write of %q, from %v to %v"
	}
	return fmt.Errorf("not linearizable: nothing that is possible explains this answer and all those before: "+what, bad.Input.(operation).value, time.Duration(bad.Call), time.Duration(bad.Return))
}

// until is what was known at a time. A write without an answer, of which nobody had read anything, may as well come last: it is left out, and not tried at every place.
func until(list []porcupine.Operation, end int64) []porcupine.Operation {
	read := make(map[string]bool)
	for _, op := range list {
		if o := op.Input.(operation); !o.write && op.Return <= end {
			read[o.value] = true
		}
	}
	var known []porcupine.Operation
	for _, op := range list {
		o := op.Input.(operation)
		open := op.Return == never || op.Return > end
		if op.Call > end || open && (!o.write || !read[o.value]) {
			continue
		}
		if open {
			op.Return = never
		}
		known = append(known, op)
	}
	return known
}
