package register

import (
	"fmt"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"

	"weir/relay/relaytest/linear"
)

// operation is a write of a value, or a read that returned it; "": nothing had been written.
type operation struct {
	write bool
	value string
}

func (o operation) String() string {
	if o.write {
		return fmt.Sprintf("a write of %q", o.value)
	}
	return fmt.Sprintf("a read returned %q", o.value)
}

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
	h.add(operation{true, value}, int64(from), linear.Never)
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

// Check returns nil if the history is linearizable. Errors: those of [linear.Check].
func (h *History) Check(limit time.Duration) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return linear.Check(model, h.list, limit, func(answered []porcupine.Operation) func(porcupine.Operation) bool {
		read := make(map[string]bool)
		for _, op := range answered {
			if o := op.Input.(operation); !o.write {
				read[o.value] = true
			}
		}
		return func(op porcupine.Operation) bool {
			o := op.Input.(operation)
			return o.write && read[o.value]
		}
	})
}
