package broker

import "slices"

// Empty lists and objects are shared; their capacity keeps callers from appending to them.
var (
	emptyArray  = []byte("[]")[:2:2]
	emptyObject = []byte("{}")[:2:2]
)

// part is what of a channel a reader follows. The zero value is all of it.
type part struct {
	groups  []string // none: all
	key     string   // "": all
	appends bool     // changes are told as they stand in the log; otherwise appends as sets
}

// since returns the changes after a position as a JSON array, if all of them are still there and
// within the limit on bytes.
func (c *Channel) since(from Position, p part) ([]byte, bool) {
	if from.Epoch != c.epoch {
		var ok bool
		if from, ok = c.joinsAt(from); !ok {
			return nil, false
		}
	}
	if from.Seq > c.seq {
		return nil, false
	}
	if from.Seq == c.seq {
		return emptyArray, true
	}
	l := c.log
	if l == nil || c.seq-from.Seq > uint64(l.size) {
		return nil, false
	}
	return c.array(l.size-int(c.seq-from.Seq), l.size, p, c.policy.ResumeBytes)
}

// array returns entries from..to as a JSON array, unless it gets longer than most bytes (0: no limit).
func (l *changes) array(from, to int, p part, most int) ([]byte, bool) {
	bytes, count := len("["), 0 // each change is followed by a comma or the end
	for i := from; i < to; i++ {
		if e := l.at(i); e.in(&p) {
			bytes += len(e.encoded) + 1
			count++
		}
	}
	if most > 0 && bytes > most {
		return nil, false
	}
	if count == 0 {
		return emptyArray, true
	}
	array := append(make([]byte, 0, bytes), '[')
	for i := from; i < to; i++ {
		if e := l.at(i); e.in(&p) {
			array = append(array, e.encoded...)
			array = append(array, ',')
		}
	}
	array[len(array)-1] = ']'
	return array, true
}

// in reports whether the change is of a part of the channel.
func (e *entry) in(p *part) bool {
	if p.key != "" && readChange(e.encoded).Key != p.key {
		return false
	}
	if len(p.groups) == 0 {
		return true
	}
	for _, name := range p.groups {
		if string(e.group.of(e.encoded)) == name && name != "" {
			return true
		}
	}
	return false
}

// state returns the live items as a JSON object. All of them together are encoded once until the next
// change of an item: ten thousand readers who come at once share the bytes.
func (c *Channel) state(p part) []byte {
	s := c.items
	if s == nil {
		return emptyObject
	}
	if len(p.groups) > 0 {
		return s.encode(p.groups, p.key)
	}
	if s.state != nil && p.key == "" {
		return s.state
	}
	names := make([]string, 0, len(s.groups))
	for name := range s.groups {
		names = append(names, name)
	}
	state := s.encode(names, p.key)
	if p.key == "" {
		s.state = state
	}
	return state
}

// encode returns the items of the named groups, by the groups' names; of each the one of a key if that is not "".
func (s *items) encode(names []string, key string) []byte {
	names = slices.Compact(slices.Sorted(slices.Values(names)))
	size := len(`{}`)
	for _, name := range names {
		if g := s.groups[name]; g != nil {
			size += len(name) + len(`"":{},`)
			for i := g.begin(key); i != nil; i = i.after(key) {
				size += len(i.key) + i.size() + len(`"":,`)
			}
		}
	}
	dst := append(make([]byte, 0, size), '{')
	for _, name := range names {
		g := s.groups[name]
		if g == nil || g.begin(key) == nil {
			continue
		}
		dst = append(dst, '"')
		dst = append(dst, name...)
		dst = append(dst, `":{`...)
		for i := g.begin(key); i != nil; i = i.after(key) {
			dst = append(dst, '"')
			dst = append(dst, i.key...)
			dst = append(dst, `":`...)
			dst = i.appendTo(dst)
			dst = append(dst, ',')
		}
		dst[len(dst)-1] = '}'
		dst = append(dst, ',')
	}
	if len(dst) == 1 {
		return emptyObject
	}
	dst[len(dst)-1] = '}'
	return dst
}

// begin returns the first item of a group, or the one of a key if that is not "".
func (g *group) begin(key string) *item {
	if key != "" {
		return g.items.Find(key)
	}
	return g.first
}

// after returns the item behind one that begin returned, or after itself.
func (i *item) after(key string) *item {
	if key != "" {
		return nil
	}
	return i.next
}

// Item returns one item's data and the position at which that is true; false if there is no such item.
// Without a group it is in defaultGroup. The data is shared and must not be changed.
func (b *Broker) Item(channel, group, key string) (data []byte, at Position, ok bool) {
	c := b.lock(channel)
	if c == nil {
		return nil, Position{}, false
	}
	defer c.unlock()
	if group == "" {
		group = defaultGroup
	}
	i := c.items.find(group, key)
	if i == nil {
		return nil, c.position(), false
	}
	return i.value(), c.position(), true
}

// defaultLimit is how many changes or channels a page has if the limit is 0 or less.
const defaultLimit = 100

// History returns the newest limit changes before a seq (0: from the head) as a JSON array, oldest
// first, and whether the log holds older ones; ok is false if there is no such channel.
func (b *Broker) History(channel string, before uint64, limit int) (changes []byte, more bool, at Position, ok bool) {
	return b.history(channel, before, limit, part{appends: true})
}

// HistoryOfSets is History for readers that know nothing of appends: see JoinRequest.Appends.
func (b *Broker) HistoryOfSets(channel string, before uint64, limit int) (changes []byte, more bool, at Position, ok bool) {
	return b.history(channel, before, limit, part{})
}

func (b *Broker) history(channel string, before uint64, limit int, p part) (changes []byte, more bool, at Position, ok bool) {
	c := b.lock(channel)
	if c == nil {
		return nil, false, Position{}, false
	}
	defer c.unlock()
	c.trim(b.now())
	at = c.position()
	l := c.log
	if l == nil || l.size == 0 {
		return emptyArray, false, at, true
	}
	if limit <= 0 {
		limit = defaultLimit
	}
	to := l.size
	if before != 0 && before <= c.seq {
		to = l.size - int(min(c.seq+1-before, uint64(l.size)))
	}
	from := max(0, to-limit)
	changes, _ = c.array(from, to, p, 0)
	return changes, from > 0, at, true
}
