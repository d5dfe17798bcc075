package mercure

import (
	"regexp"
	"slices"
	"strings"

	"github.com/dunglas/go-urlpattern"
	"github.com/yosida95/uritemplate/v3"
)

// kind is how a selector is read.
type kind uint8

const (
	kindClassic kind = iota // of 0.x: a string, or a URI template (RFC 6570)
	kindExact               // of 1.0: a string
	kindPattern             // of 1.0: a URL pattern (WHATWG)
)

// name is what 1.0 calls it.
func (k kind) name() string {
	if k == kindPattern {
		return "urlpattern"
	}
	return "exact"
}

// selector chooses topics. "*" chooses all, but as a URL pattern.
type selector struct {
	kind kind
	text string
}

// matcher is a selector that is ready to be used. It is never changed.
type matcher struct {
	selector
	all     bool
	prefix  string // what every topic begins with that template or pattern match
	expr    *regexp.Regexp
	pattern *urlpattern.URLPattern
	base    string // of relative topics
}

// literal is what a template or pattern may begin with and a topic that it matches then begins with, too.
const literal = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~:/"

// prefixOf is the literal beginning of a template or pattern.
func prefixOf(text string) string {
	for i := range len(text) {
		if strings.IndexByte(literal, text[i]) < 0 {
			return text[:i]
		}
	}
	return text
}

// newMatcher reads a selector. Errors: it is no URL pattern. What is no URI template is a string.
func newMatcher(x selector, base string) (*matcher, error) {
	m := &matcher{selector: x, all: x.text == "*" && x.kind != kindPattern, base: base}
	switch {
	case x.kind == kindPattern:
		p, err := urlpattern.New(x.text, base, nil)
		if err != nil {
			return nil, err
		}
		m.pattern = p // its prefix is not looked for: URLs have many spellings
	case x.kind == kindClassic && strings.Contains(x.text, "{"):
		if t, err := uritemplate.New(x.text); err == nil {
			m.expr, m.prefix = t.Regexp(), prefixOf(x.text)
		}
	}
	return m, nil
}

// tried reports whether topics have to be tried, since they may match without being equal.
func (m *matcher) tried() bool { return m.expr != nil || m.pattern != nil }

// matches reports whether a topic is one of those that are chosen.
func (m *matcher) matches(topic string) bool {
	switch {
	case m.all, m.kind != kindPattern && topic == m.text:
		return true
	case m.expr != nil:
		return strings.HasPrefix(topic, m.prefix) && m.expr.MatchString(topic)
	case m.pattern != nil:
		return m.pattern.Test(topic, m.base)
	}
	return false
}

// maxCompiled bounds the matchers that are kept for selectors that come again.
const maxCompiled = 4096

// compile returns the matcher of a selector. Plain strings are made anew, the others are kept.
func (s *System) compile(x selector) (*matcher, error) {
	if x.kind == kindExact || x.kind == kindClassic && !strings.Contains(x.text, "{") {
		return newMatcher(x, s.base)
	}
	s.compiledMu.Lock()
	m := s.compiled[x]
	s.compiledMu.Unlock()
	if m != nil {
		return m, nil
	}
	m, err := newMatcher(x, s.base)
	if err != nil {
		return nil, err
	}
	s.compiledMu.Lock()
	defer s.compiledMu.Unlock()
	if len(s.compiled) >= maxCompiled {
		clear(s.compiled)
	}
	s.compiled[x] = m
	return m, nil
}

// index finds the selectors of subscribers and their rights that match a topic. It is guarded by System.mu.
type index struct {
	entries map[selector]*entry
	equal   map[string][]*entry // those that match an equal topic, by text; "*" matches all
	tried   map[string][]*entry // those that are tried, by the literal beginning
	lengths []int               // of the keys of tried, each once, shortest first
	counts  map[int]int         // keys of tried of a length
}

// entry is a selector and the classes that have it.
type entry struct {
	*matcher
	asTopic map[*class]struct{} // those whose members ask for it
	asRight map[*class]struct{} // those whose members may read private updates of it
	mark    uint64              // the look-up that it was found in last
}

func newIndex() *index {
	return &index{entries: make(map[selector]*entry), equal: make(map[string][]*entry), tried: make(map[string][]*entry), counts: make(map[int]int)}
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
	if m.tried() {
		if x.tried[m.prefix] == nil {
			if x.counts[len(m.prefix)]++; x.counts[len(m.prefix)] == 1 {
				i, _ := slices.BinarySearch(x.lengths, len(m.prefix))
				x.lengths = slices.Insert(x.lengths, i, len(m.prefix))
			}
		}
		x.tried[m.prefix] = append(x.tried[m.prefix], e)
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
	if e.tried() && remove(x.tried, e.prefix, e) {
		n := len(e.prefix)
		if x.counts[n]--; x.counts[n] == 0 {
			delete(x.counts, n)
			i, _ := slices.BinarySearch(x.lengths, n)
			x.lengths = slices.Delete(x.lengths, i, i+1)
		}
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
	for _, n := range x.lengths {
		if n > len(topic) {
			break
		}
		for _, e := range x.tried[topic[:n]] {
			if e.mark != mark && e.matches(topic) {
				take(e)
			}
		}
	}
	return dst
}
