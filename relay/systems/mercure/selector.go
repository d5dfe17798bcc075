package mercure

import (
	"regexp"
	"strings"

	"github.com/dunglas/go-urlpattern"
	whatwg "github.com/nlnwa/whatwg-url/url"
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

// prefixOfPattern is what every URL that a pattern matches begins with, written as [spelled] does; "" if that is not sure.
func prefixOfPattern(p *urlpattern.URLPattern) string {
	const host = "abcdefghijklmnopqrstuvwxyz0123456789-."
	if p.Hostname() == "" || strings.Trim(p.Protocol(), host) != "" || strings.Trim(p.Hostname(), host) != "" || strings.Trim(p.Port(), "0123456789") != "" {
		return ""
	}
	path, rest := p.Pathname(), ""
	if i := strings.IndexAny(path, ":*({?+\\"); i >= 0 {
		path, rest = path[:i], path[i:]
	}
	if rest != "*" && strings.ContainsAny(rest, "*({?+\\") { // what stands before an optional part may be optional, too
		path = path[:max(len(path)-1, 0)]
	}
	path = prefixOf(path)
	if i := strings.Index(path, "/."); i >= 0 {
		path = path[:i]
	}
	return spelling(p.Protocol(), p.Hostname(), p.Port()) + path
}

// spelling is how a URL begins.
func spelling(protocol, host, port string) string { return protocol + "://" + host + ":" + port }

// spelled is a topic as URL patterns see it: what it begins with, and all of it; "" if it is no URL.
func spelled(topic string, base *whatwg.Url) (key, href string) {
	u, err := base.Parse(topic)
	if err != nil {
		return "", ""
	}
	return spelling(u.Scheme(), u.Hostname(), u.Port()) + u.Pathname(), u.Href(false)
}

// parseBase reads what relative topics are relative to.
func parseBase(base string) *whatwg.Url {
	u, err := whatwg.Parse(base)
	if err != nil { // the configuration has been checked
		return parseBase("https://localhost" + Path)
	}
	return u
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
		m.pattern, m.prefix = p, prefixOfPattern(p)
	case x.kind == kindClassic && strings.Contains(x.text, "{"):
		if t, err := uritemplate.New(x.text); err == nil {
			m.expr, m.prefix = t.Regexp(), prefixOf(x.text)
		}
	}
	return m, nil
}

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
