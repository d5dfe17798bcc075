package batch

import "time"

// mark is where a message lies in the bytes of a window.
type mark struct {
	start, end int
	seq        uint64
	group      string
	key        string
	exclude    string
	exclusive  bool
	created    bool // the item of a set is new
	replaced   bool // a later set of the same item stands in for it
}

type itemName struct{ group, key string }

// buffer is what a window holds between two flushes. Idle windows hold none.
type buffer struct {
	bytes    []byte // the messages, separated by commas
	marks    []mark
	seals    []int            // indexes into marks at which a new batch begins
	sets     map[itemName]int // newest set of each item in the batch that is being filled, by index into marks
	growths  []growth         // of messages that have one, in their order
	tails    map[itemName]int // newest growth of each item in the batch that is being filled that the next one is behind, by index into growths
	replaced int              // messages that were replaced
	excludes bool
	since    time.Time // when the first message came
}

// add appends a message. It returns true if that ends a batch because it has reached a bound.
func (b *buffer) add(m *Message, conflate bool) bool {
	if m.Exclusive {
		b.seal()
	} else if m.Grows != nil {
		b.grow(m, conflate)
	} else {
		if len(b.tails) > 0 {
			b.cut(m, conflate)
		}
		if conflate && m.Set {
			b.conflate(m)
		}
	}
	if len(b.marks) > 0 {
		b.bytes = append(b.bytes, ',')
	}
	start := len(b.bytes)
	b.bytes = append(b.bytes, m.Bytes...)
	b.marks = append(b.marks, mark{start: start, end: len(b.bytes), seq: m.Seq, group: m.Group, key: m.Key, exclude: m.Exclude, exclusive: m.Exclusive, created: m.Created})
	b.excludes = b.excludes || m.Exclude != ""
	first := b.begin()
	full := len(b.marks)-first >= earlyMessages || len(b.bytes)-b.marks[first].start >= earlyBytes
	if m.Exclusive || full {
		b.seal()
	}
	return full
}

// conflate marks the earlier set of the same item as replaced. One that leaves out another receiver
// stays: that receiver would lose both.
func (b *buffer) conflate(m *Message) {
	if b.sets == nil {
		b.sets = make(map[itemName]int)
	}
	name := itemName{m.Group, m.Key}
	if i, ok := b.sets[name]; ok && b.marks[i].exclude == m.Exclude {
		b.replace(&b.marks[i], m)
	}
	b.sets[name] = len(b.marks)
}

// replace has m stand in for an earlier message.
func (b *buffer) replace(earlier *mark, m *Message) {
	earlier.replaced = true
	b.replaced++
	m.Created = m.Created || earlier.created // for a reader that has not seen the first, it is
}

// begin is the index of the first mark of the batch that is being filled.
func (b *buffer) begin() int {
	if n := len(b.seals); n > 0 {
		return b.seals[n-1]
	}
	return 0
}

// seal ends the batch that is being filled, if it holds anything.
func (b *buffer) seal() {
	if n := len(b.marks); n > b.begin() {
		b.seals = append(b.seals, n)
		clear(b.sets)
		clear(b.tails)
	}
}

// maxKept is the capacity beyond which a buffer is left to the garbage collector.
const maxKept = 256 << 10

// empty makes b ready for its next window. It returns false if b has grown too large to be kept.
func (b *buffer) empty() bool {
	if cap(b.bytes) > maxKept || cap(b.marks) > maxKept/64 || cap(b.growths) > maxKept/64 {
		return false
	}
	clear(b.marks) // they hold strings
	clear(b.sets)
	clear(b.growths)
	clear(b.tails)
	*b = buffer{bytes: b.bytes[:0], marks: b.marks[:0], seals: b.seals[:0], sets: b.sets, growths: b.growths[:0], tails: b.tails}
	return true
}
