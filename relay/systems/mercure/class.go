package mercure

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"weir/relay"
)

// class is the subscribers that ask for the same topics with the same rights.
type class struct {
	// Set once.
	key            string
	index          *index // which has it
	topics, rights []*entry
	group          *relay.Group

	// Guarded by System.mu.
	members int
	mark    uint64 // the update that it was sent last
}

// wanted is what a subscriber asks for and may read: the selectors of its class, sorted, each once.
type wanted struct {
	topics, rights []*matcher
}

// sorted puts matchers in order, each once.
func sorted(list []*matcher) []*matcher {
	list = slices.Clone(list)
	slices.SortFunc(list, func(a, b *matcher) int { return cmp.Or(cmp.Compare(a.kind, b.kind), strings.Compare(a.text, b.text)) })
	return slices.CompactFunc(list, func(a, b *matcher) bool { return a.selector == b.selector })
}

// key tells classes apart.
func (w *wanted) key() string {
	var b []byte
	for _, list := range [][]*matcher{w.topics, w.rights} {
		b = append(strconv.AppendInt(b, int64(len(list)), 10), ';')
		for _, m := range list {
			b = append(strconv.AppendInt(append(b, '0'+byte(m.kind)), int64(len(m.text)), 10), ':')
			b = append(b, m.text...)
		}
	}
	return string(b)
}

// has reports whether an update is for those who want this: one topic is asked for and, if it is private, one may be read.
func (w *wanted) has(u *update) bool {
	return anyMatches(w.topics, u.Topics) && w.mayRead(u)
}

// mayRead reports whether an update may be read.
func (w *wanted) mayRead(u *update) bool { return !u.Private || anyMatches(w.rights, u.Topics) }

func anyMatches(list []*matcher, topics []string) bool {
	for _, m := range list {
		if slices.ContainsFunc(topics, m.matches) {
			return true
		}
	}
	return false
}

// enter returns the class of a subscriber, with a member more. The caller holds s.mu.
func (s *System) enter(key string, w *wanted) *class {
	c := s.classes[key]
	if c == nil {
		s.named++
		c = &class{key: key, index: s.index, group: s.host.Group(Namespace + ":class-" + strconv.FormatUint(s.named, 36))}
		for _, m := range w.topics {
			e := s.index.add(m)
			e.asTopic[c] = struct{}{}
			c.topics = append(c.topics, e)
		}
		for _, m := range w.rights {
			e := s.index.add(m)
			e.asRight[c] = struct{}{}
			c.rights = append(c.rights, e)
		}
		s.classes[key] = c
	}
	c.members++
	return c
}

// leave takes a member away; a class without any is forgotten. The caller holds s.mu.
func (s *System) leave(c *class) {
	if c.members--; c.members > 0 {
		return
	}
	if s.classes[c.key] == c {
		delete(s.classes, c.key)
	}
	for _, e := range c.topics {
		delete(e.asTopic, c)
		c.index.drop(e)
	}
	for _, e := range c.rights {
		delete(e.asRight, c)
		c.index.drop(e)
	}
}

// dispatch puts an update into the windows of the classes that it is for. The caller holds s.mu.
func (s *System) dispatch(u *update) {
	s.marks++
	mark := s.marks
	found := s.found[:0]
	for _, topic := range u.Topics {
		found = s.index.find(found, topic, mark)
	}
	asTopic, asRight := 0, 0
	for _, e := range found {
		asTopic += len(e.asTopic)
		asRight += len(e.asRight)
	}
	hit := func(e *entry) bool { return e.mark == mark }
	send := func(c *class) {
		if c.mark != mark {
			c.mark = mark
			_ = c.group.Send(relay.GroupMessage{Data: u.event, Accepted: true})
		}
	}
	for _, e := range found { // from the side on which there are fewer
		switch {
		case !u.Private:
			for c := range e.asTopic {
				send(c)
			}
		case asTopic <= asRight:
			for c := range e.asTopic {
				if slices.ContainsFunc(c.rights, hit) {
					send(c)
				}
			}
		default:
			for c := range e.asRight {
				if slices.ContainsFunc(c.topics, hit) {
					send(c)
				}
			}
		}
	}
	clear(found)
	s.found = found[:0]
}
