package document

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"

	"weir/relay/relaytest/linear"
)

// operation is an insert that made a version, or a read of that version.
type operation struct {
	mark    string // "": a read
	version int
}

func (o operation) String() string {
	if o.mark == "" {
		return fmt.Sprintf("a read of version %d", o.version)
	}
	return fmt.Sprintf("%q at version %d", o.mark, o.version)
}

// History is what the clients of one document did, and what they were answered. The zero value is an empty one. It is safe for concurrent use. Times are since any moment, by one clock.
// Marks are not empty, and have no white space; in the text one stands behind each.
type History struct {
	mu sync.Mutex

	// Guarded by mu.
	list    []porcupine.Operation // what was answered
	open    []porcupine.Operation // inserts that nobody has acknowledged; their versions are not known
	refused []string
	marks   []string // by version - 1, as far as they were acknowledged or read; "": not known
	wrong   error    // two answers that exclude each other; nil: none do
}

// Made notes an insert that was acknowledged at a version, which is the one after it.
func (h *History) Made(mark string, version int, from, to time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.stands(mark, version)
	h.list = append(h.list, porcupine.Operation{Input: operation{mark, version}, Call: int64(from), Return: int64(to)})
}

// Tried notes an insert that nobody has acknowledged, and that may have been made.
func (h *History) Tried(mark string, from time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.open = append(h.open, porcupine.Operation{Input: operation{mark: mark}, Call: int64(from), Return: linear.Never})
}

// Refused notes an insert of which the client was told that nothing has come of it.
func (h *History) Refused(mark string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.refused = append(h.refused, mark)
}

// Read notes a read of a version; 0: there is no document. What may be old is to be noted as if it had been asked for earlier, by as much as it may be old. A read without an answer has no effect, and is not noted.
func (h *History) Read(version int, text string, from, to time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	marks := strings.Fields(text)
	slices.Reverse(marks)
	for i, mark := range marks {
		if i >= len(h.marks) || h.marks[i] != mark {
			h.stands(mark, i+1)
		}
	}
	if len(marks) != version {
		h.contradict("version %d was read with %d marks", version, len(marks))
	}
	h.list = append(h.list, porcupine.Operation{Input: operation{version: version}, Call: int64(from), Return: int64(to)})
}

// stands notes which insert made a version. Called with mu held.
func (h *History) stands(mark string, version int) {
	for len(h.marks) < version {
		h.marks = append(h.marks, "")
	}
	if have := &h.marks[version-1]; *have == "" {
		*have = mark
	} else if *have != mark {
		h.contradict("version %d is of %q, and of %q", version, *have, mark)
	}
}

// contradict notes that answers exclude each other. Called with mu held.
func (h *History) contradict(format string, args ...any) {
	if h.wrong == nil {
		h.wrong = fmt.Errorf(format, args...)
	}
}

// model is a document, of which the version tells all.
var model = porcupine.Model{
	Init: func() any { return 0 },
	Step: func(state, input, _ any) (bool, any) {
		op, version := input.(operation), state.(int)
		if op.mark != "" {
			version++
		}
		return op.version == version, version
	},
}

// Check returns nil if the history is linearizable. Errors: those of [linear.Check], and answers that exclude each other.
func (h *History) Check(limit time.Duration) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	list, err := h.placed()
	if err != nil {
		return err
	}
	return linear.Check(model, list, limit, func(answered []porcupine.Operation) func(porcupine.Operation) bool {
		last := 0
		for _, op := range answered {
			last = max(last, op.Input.(operation).version)
		}
		return func(op porcupine.Operation) bool {
			o := op.Input.(operation)
			return o.mark != "" && o.version <= last
		}
	})
}

// placed returns what was done, with the version of each insert: one without an answer has that in which it was read, or one that nobody else can have made. Called with mu held.
func (h *History) placed() (list []porcupine.Operation, err error) {
	if h.wrong != nil {
		return nil, h.wrong
	}
	versions := make(map[string]int) // of the marks that are known to stand in the text
	for i, mark := range h.marks {
		if before, twice := versions[mark]; twice && mark != "" {
			return nil, fmt.Errorf("%q is there twice, at version %d and at version %d", mark, before, i+1)
		}
		versions[mark] = i + 1
	}
	delete(versions, "")
	for _, mark := range h.refused {
		if at, ok := versions[mark]; ok {
			return nil, fmt.Errorf("%q was refused, and is there at version %d", mark, at)
		}
	}
	list = slices.Clone(h.list)
	var rest []porcupine.Operation // that nobody has seen
	for _, op := range h.open {
		mark := op.Input.(operation).mark
		if at, ok := versions[mark]; ok {
			op.Input = operation{mark, at}
			list = append(list, op)
		} else {
			rest = append(rest, op)
		}
	}
	for _, op := range list {
		delete(versions, op.Input.(operation).mark)
	}
	for mark, at := range versions {
		err = errors.Join(err, fmt.Errorf("%q is there at version %d, and nobody has inserted it", mark, at))
	}
	slices.SortFunc(rest, func(a, b porcupine.Operation) int { return cmp.Compare(a.Call, b.Call) })
	for i, mark := range h.marks {
		switch {
		case mark != "":
		case len(rest) == 0:
			err = errors.Join(err, fmt.Errorf("nobody can have made version %d", i+1))
		default:
			list = append(list, porcupine.Operation{Input: operation{rest[0].Input.(operation).mark, i + 1}, Call: rest[0].Call, Return: linear.Never})
			rest = rest[1:]
		}
	}
	return list, err
}
