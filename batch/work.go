package batch

import "time"

// mark is where a message lies in the bytes of a window.
type mark struct {
	start, end int
	seq        uint64
	group      string
	exclude    string
	alone      bool
	replaced   bool // a later set of the same item stands in for it
}

type itemName struct{ group, key string }

// work is what a window holds between two flushes. Idle windows hold none.
type work struct {
	buf      []byte // the messages, separated by commas
	marks    []mark
	seals    []int            // indexes into marks at which a new batch begins
	sets     map[itemName]int // newest set of each item in the batch that is being filled, by index into marks
	replaced int              // messages that were replaced
	excludes bool
	since    time.Time // when the first message came
}

// add appends a message. It answers true if that ends a batch because it has reached a bound.
func (k *work) add(m *Message, conflate bool) bool {
	if m.Alone {
		k.seal()
	} else if conflate && m.Set {
		k.conflate(m)
	}
	if len(k.marks) > 0 {
		k.buf = append(k.buf, ',')
	}
	start := len(k.buf)
	k.buf = append(k.buf, m.Bytes...)
	k.marks = append(k.marks, mark{start: start, end: len(k.buf), seq: m.Seq, group: m.Group, exclude: m.Exclude, alone: m.Alone})
	k.excludes = k.excludes || m.Exclude != ""
	first := k.begin()
	full := len(k.marks)-first >= EarlyMessages || len(k.buf)-k.marks[first].start >= EarlyBytes
	if m.Alone || full {
		k.seal()
	}
	return full
}

// conflate marks the earlier set of the same item as replaced. One that leaves out another receiver
// stays: that receiver would lose both.
func (k *work) conflate(m *Message) {
	if k.sets == nil {
		k.sets = make(map[itemName]int)
	}
	name := itemName{m.Group, m.Key}
	if i, ok := k.sets[name]; ok && k.marks[i].exclude == m.Exclude {
		k.marks[i].replaced = true
		k.replaced++
	}
	k.sets[name] = len(k.marks)
}

// begin is the index of the first mark of the batch that is being filled.
func (k *work) begin() int {
	if n := len(k.seals); n > 0 {
		return k.seals[n-1]
	}
	return 0
}

// seal ends the batch that is being filled, if it holds anything.
func (k *work) seal() {
	if n := len(k.marks); n > k.begin() {
		k.seals = append(k.seals, n)
		clear(k.sets)
	}
}

// held is the bytes of its messages, without the commas between them.
func (k *work) held() int64 { return int64(len(k.buf) - max(len(k.marks)-1, 0)) }

// maxKept is the capacity beyond which a work is left to the garbage collector.
const maxKept = 256 << 10

// empty makes k ready for its next window. It answers false if k has grown too large to be kept.
func (k *work) empty() bool {
	if cap(k.buf) > maxKept || cap(k.marks) > maxKept/64 {
		return false
	}
	clear(k.marks) // they hold strings
	clear(k.sets)
	*k = work{buf: k.buf[:0], marks: k.marks[:0], seals: k.seals[:0], sets: k.sets}
	return true
}
