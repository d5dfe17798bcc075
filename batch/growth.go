package batch

import "slices"

// Growth is what an item has become by a message that puts something behind its value: the whole of it, of which the message holds the last
// part. Such messages of an item that follow each other in a batch are joined into the last of them, if the window conflates.
type Growth struct {
	Whole []byte // immutable
	Head  int    // bytes of the message in front of the part
	Foot  int    // and behind it
}

// growth is a message of a buffer that has a Growth.
type growth struct {
	Growth
	mark   int  // index into marks
	from   int  // length of the value before the first message that this one stands for
	joined bool // it stands for others too
	later  bool // another one of the same item, or a set, follows in the batch for the same receivers
}

// grow notes a message that puts something behind the value of an item.
func (b *buffer) grow(m *Message, conflate bool) {
	if b.tails == nil {
		b.tails = make(map[itemName]int)
	}
	name := itemName{m.Group, m.Key}
	g := growth{Growth: *m.Grows, mark: len(b.marks)}
	g.from = len(g.Whole) - (len(m.Bytes) - g.Head - g.Foot)
	if i, ok := b.tails[name]; ok {
		before := &b.growths[i]
		mark := &b.marks[before.mark]
		switch {
		case mark.exclude != m.Exclude:
			delete(b.sets, name) // what is before it stays, since it stays
		case conflate:
			g.from, g.joined = before.from, true
			b.replace(mark, m)
		default:
			before.later = true
			m.Created = m.Created || mark.created
		}
	}
	b.tails[name] = len(b.growths)
	b.growths = append(b.growths, g)
}

// cut ends what messages that put something behind the value of an item are joined to: m sets the item, or is something else about it.
func (b *buffer) cut(m *Message, conflate bool) {
	name := itemName{m.Group, m.Key}
	i, ok := b.tails[name]
	if !ok {
		return
	}
	delete(b.tails, name)
	g := &b.growths[i]
	switch mark := &b.marks[g.mark]; {
	case m.Set && mark.exclude == m.Exclude && conflate:
		b.replace(mark, m)
		return
	case m.Set && mark.exclude == m.Exclude:
		g.later = true
	}
	delete(b.sets, name)
}

// grows reports whether some of the messages from first up to upto have a growth, of those that stay.
func (b *buffer) grows(first, upto int) bool {
	i, _ := slices.BinarySearchFunc(b.growths, first, func(g growth, first int) int { return g.mark - first })
	for ; i < len(b.growths) && b.growths[i].mark < upto; i++ {
		if !b.marks[b.growths[i].mark].replaced {
			return true
		}
	}
	return false
}

// growing returns the growth of the i-th mark; nil: it has none. at is where those of the marks before it end, and is moved.
func (b *buffer) growing(i int, at *int) *growth {
	for *at < len(b.growths) && b.growths[*at].mark < i {
		*at++
	}
	if *at == len(b.growths) || b.growths[*at].mark != i {
		return nil
	}
	return &b.growths[*at]
}

// join writes the message of g to at, with the parts of all that it stands for. There is room up to its end: that is where their messages are.
func (b *buffer) join(at int, m *mark, g *growth) (n int) {
	n = copy(b.bytes[at:], b.bytes[m.start:m.start+g.Head])
	n += copy(b.bytes[at+n:], g.Whole[g.from:])
	return n + copy(b.bytes[at+n:], b.bytes[m.end-g.Foot:m.end])
}

// Rewrite returns the batch with f's messages in the place of its own: f appends the one for an entry to dst; nothing leaves it out. The batch is
// valid as long as b is, and nothing in it grows.
func (b *Batch) Rewrite(f func(dst []byte, e *Entry) []byte) *Batch {
	out := &Batch{Last: b.Last, Excludes: b.Excludes, Since: b.Since, buffer: new(buffer)}
	to := out.buffer
	b.Each(func(e Entry) {
		start := len(to.bytes)
		if start > 0 {
			to.bytes = append(to.bytes, ',')
		}
		from := len(to.bytes)
		to.bytes = f(to.bytes, &e)
		if len(to.bytes) == from {
			to.bytes = to.bytes[:start]
			return
		}
		to.marks = append(to.marks, mark{start: from, end: len(to.bytes), seq: e.Seq, group: e.Group, key: e.Key, exclude: e.Exclude, created: e.Created})
	})
	out.upto = len(to.marks)
	out.Count, out.Body = out.upto, to.bytes
	return out
}
