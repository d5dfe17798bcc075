package linear

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"sort"
	"time"

	"github.com/anishathalye/porcupine"
)

// Never is when an operation without an answer returns.
const Never = math.MaxInt64

// Check returns nil if a list is linearizable by a model. Times are in nanoseconds since any moment. seen is called with what was answered, of the list or of its beginning, and returns
// which of the operations that were not may have been seen in that: the others may as well come last, and are left out rather than tried at every place.
//
// Errors: it is not linearizable, and from which answer on; or that was not found out within the limit.
func Check(model porcupine.Model, list []porcupine.Operation, limit time.Duration, seen func(answered []porcupine.Operation) (open func(porcupine.Operation) bool)) error {
	list = slices.Clone(list)
	slices.SortStableFunc(list, func(a, b porcupine.Operation) int { return cmp.Compare(a.Return, b.Return) })
	check := func(end int64) porcupine.CheckResult {
		return porcupine.CheckOperationsTimeout(model, until(list, end, seen), limit)
	}
	switch check(Never - 1) {
	case porcupine.Ok:
		return nil
	case porcupine.Unknown:
		return fmt.Errorf("whether %d operations are linearizable was not found out within %v", len(list), limit)
	}
	// What is not linearizable stays so, whatever comes later: the first answer that does not fit is sought.
	first := sort.Search(len(list), func(i int) bool { return check(min(list[i].Return, Never-1)) == porcupine.Illegal })
	bad := list[min(first, len(list)-1)]
	return fmt.Errorf("not linearizable: no order of the operations explains this result and all those before: %v, from %v to %v", bad.Input, time.Duration(bad.Call), time.Duration(bad.Return))
}

// until is what was known at a time, of a list in the order of the answers.
func until(list []porcupine.Operation, end int64, seen func([]porcupine.Operation) func(porcupine.Operation) bool) []porcupine.Operation {
	n, _ := slices.BinarySearchFunc(list, end, func(op porcupine.Operation, end int64) int {
		if op.Return <= end {
			return -1
		}
		return 1
	})
	known := slices.Clone(list[:n])
	open := seen(known)
	for _, op := range list[n:] {
		if op.Call <= end && open(op) {
			op.Return = Never
			known = append(known, op)
		}
	}
	return known
}
