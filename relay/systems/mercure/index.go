package mercure

import (
	"slices"

	whatwg "github.com/nlnwa/whatwg-url/url"
)

// index finds the selectors of subscribers and their rights that match a topic. It is guarded by System.mu.
type index struct {
	base    *whatwg.Url // of relative topics
	entries map[selector]*entry
	equal   map[string][]*entry // those that match an equal topic, by text; "*" matches all
	tried   prefixes            // URI templates, by the literal beginning
	urls    prefixes            // URL patterns, by what URLs begin with that they match
}

// prefixes are entries by what a text begins with that they may match.
type prefixes struct {
	entries map[string][]*entry
	lengths []int       // of the keys, each once, shortest first
	counts  map[int]int // keys of a length
	tries   uint64      // entries that were tried so far
}

func (p *prefixes) add(e *entry) {
	n := len(e.prefix)
	if p.entries[e.prefix] == nil {
		if p.counts[n]++; p.counts[n] == 1 {
			i, _ := slices.BinarySearch(p.lengths, n)
			p.lengths = slices.Insert(p.lengths, i, n)
		}
	}
	p.entries[e.prefix] = append(p.entries[e.prefix], e)
}

func (p *prefixes) drop(e *entry) {
	if !remove(p.entries, e.prefix, e) {
		return
	}
	n := len(e.prefix)
	if p.counts[n]--; p.counts[n] == 0 {
		delete(p.counts, n)
		i, _ := slices.BinarySearch(p.lengths, n)
		p.lengths = slices.Delete(p.lengths, i, i+1)
	}
}

// each tries the entries that a text may match, and takes those that do.
func (p *prefixes) each(text string, try func(e *entry) bool, take func(e *entry)) {
	for _, n := range p.lengths {
		if n > len(text) {
			break
		}
		for _, e := range p.entries[text[:n]] {
			if p.tries++; try(e) {
				take(e)
			}
		}
	}
}

// of is the prefixes that an entry belongs to; nil if it need not be tried.
func (x *index) of(m *matcher) *prefixes {
	switch {
	case m.pattern != nil:
		return &x.urls
	case m.expr != nil:
		return &x.tried
	}
	return nil
}

// entry is a selector and the classes that have it.
type entry struct {
	*matcher
	asTopic map[*class]struct{} // those whose members ask for it
	asRight map[*class]struct{} // those whose members may read private updates of it
	mark    uint64              // the look-up that it was found in last
}

func newIndex() *index {
	return &index{entries: make(map[selector]*entry), equal: make(map[string][]*entry), tried: newPrefixes(), urls: newPrefixes()}
}

func newPrefixes() prefixes {
	return prefixes{entries: make(map[string][]*entry), counts: make(map[int]int)}
}

// add returns the entry of a selector.
func (x *index) add(m *matcher) *entry {
	e := x.entries[m.selector]
	if e != nil {
		return e
	}
	e = &entry{matcher: m, asTopic: make(map[*class]struct{}), asRight: make(map[*class]struct{})}
	x.entries[m.selector] = e
	if m.kind != kindPattern {
		x.equal[m.text] = append(x.equal[m.text], e)
	}
	if p := x.of(m); p != nil {
		p.add(e)
	}
	return e
}

// drop forgets an entry that no class has any more.
func (x *index) drop(e *entry) {
	if len(e.asTopic)+len(e.asRight) > 0 {
		return
	}
	delete(x.entries, e.selector)
	if e.kind != kindPattern {
		remove(x.equal, e.text, e)
	}
	if p := x.of(e.matcher); p != nil {
		p.drop(e)
	}
}

// remove takes an entry out of a list, and reports whether it was the last one.
func remove(lists map[string][]*entry, key string, e *entry) bool {
	list := lists[key]
	if i := slices.Index(list, e); i >= 0 {
		list = slices.Delete(list, i, i+1)
	}
	if len(list) == 0 {
		delete(lists, key)
		return true
	}
	lists[key] = list
	return false
}

// find appends the entries that match a topic and do not have the mark, which it gives them.
func (x *index) find(dst []*entry, topic string, mark uint64) []*entry {
	take := func(e *entry) {
		if e.mark != mark {
			e.mark = mark
			dst = append(dst, e)
		}
	}
	for _, e := range x.equal[topic] {
		take(e)
	}
	for _, e := range x.equal["*"] {
		take(e)
	}
	x.tried.each(topic, func(e *entry) bool { return e.matches(topic) }, take)
	if len(x.urls.entries) > 0 {
		key, href := spelled(topic, x.base)
		x.urls.each(key, func(e *entry) bool { return e.pattern.Test(href, "") }, take)
	}
	return dst
}
