package mercure

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// filled is an index of 10,000 classes of each kind: a string, a URI template and a URL pattern of its own.
func filled(t testing.TB) (x *index, entries []*entry, c *class) {
	classes := 10000
	if testing.Short() {
		classes = 1000
	}
	x, c = newIndex(), new(class)
	x.base = parseBase("https://e.com/")
	for i := range classes {
		for _, s := range []selector{
			{kindClassic, fmt.Sprintf("https://e.com/users/%d/{x}", i)}, {kindClassic, fmt.Sprintf("https://e.com/users/%d", i)},
			{kindPattern, fmt.Sprintf("https://e.com/users/%d/:x", i)}, {kindPattern, fmt.Sprintf("/items/%d/*", i)},
		} {
			m, err := newMatcher(s, "https://e.com/")
			if err != nil {
				t.Fatal(err)
			}
			e := x.add(m)
			e.asTopic[c] = struct{}{}
			entries = append(entries, e)
		}
	}
	return x, entries, c
}

// TestIndexTriesFew: of 10,000 templates and 20,000 URL patterns an update's topic tries those that begin as it does, and strings are
// looked up.
func TestIndexTriesFew(t *testing.T) {
	x, entries, c := filled(t)
	for topic, want := range map[string]struct {
		found []string
		tries uint64
	}{
		"https://e.com/users/77/1":   {[]string{"https://e.com/users/77/{x}", "https://e.com/users/77/:x"}, 2},
		"HTTPS://E.com:443/users/77": {nil, 0},
		"https://e.com/users/77":     {[]string{"https://e.com/users/77"}, 0},
		"HTTPS://E.com/users/77/1":   {[]string{"https://e.com/users/77/:x"}, 1},
		"items/432/a/b":              {[]string{"/items/432/*"}, 1},
		"https://e.com/others/1":     {nil, 0},
		"no URL at all, {really}":    {nil, 0},
	} {
		before := x.tried.tries + x.urls.tries
		var found []string
		for _, e := range x.find(nil, topic, 1<<40) {
			found = append(found, e.text)
		}
		if !slices.Equal(found, want.found) || x.tried.tries+x.urls.tries-before > want.tries {
			t.Errorf("%s: found %q, %d were tried; want %q and at most %d", topic, found, x.tried.tries+x.urls.tries-before, want.found, want.tries)
		}
		for _, e := range entries {
			e.mark = 0
		}
	}
	if n := len(x.tried.lengths) + len(x.urls.lengths); n > 15 {
		t.Error("lengths:", n)
	}
	for _, e := range entries {
		delete(e.asTopic, c)
		x.drop(e)
	}
	if len(x.entries)+len(x.equal)+len(x.tried.entries)+len(x.tried.lengths)+len(x.tried.counts)+len(x.urls.entries)+len(x.urls.lengths)+len(x.urls.counts) > 0 {
		t.Fatal("something is left")
	}
}

// FuzzPatternPrefix finds that what a URL pattern matches begins as the index expects.
func FuzzPatternPrefix(f *testing.F) {
	for _, pair := range [][2]string{
		{"https://e.com/b/:id", "HTTPS://E.com/b/1"}, {"https://e.com/b/:id?", "https://e.com/b"}, {"/b{/c}?", "/b"}, {"https://*.e.com/a", "https://x.e.com/a"},
		{"https://e.com/a/../b/:x", "https://e.com/b/1"}, {"http{s}?://e.com/*", "http://e.com/1"}, {"https://e.com:8443/é/:x", "https://e.com:8443/é/1"},
		{"https://e.com/a%41/:x", "https://e.com/a%41/1"}, {"urn:a:*", "urn:a:b"}, {"https://e.com/x(y)?/z", "https://e.com/x/z"}, {"https://e.com/a+/b", "https://e.com/a/b"},
		{"https://e.com:443/b/*", "https://e.com/b/c"}, {"https://é.com/b", "https://é.com/b"}, {"https://e.com", "https://e.com/"}, {"https://e.com/b/:a-:b", "https://e.com/b/x-y"}, {"https://e.com/b/*?", "https://e.com/b"}, {"https://e.com/b/:a*", "https://e.com/b"}, {"https://e.com/b/*/c", "https://e.com/b/x/c"},
	} {
		f.Add(pair[0], pair[1])
	}
	const base = "https://hub.example/.well-known/mercure"
	f.Fuzz(func(t *testing.T, pattern, topic string) {
		m, err := newMatcher(selector{kindPattern, pattern}, base)
		if err != nil || !m.matches(topic) {
			return
		}
		if key, href := spelled(topic, parseBase(base)); !strings.HasPrefix(key, m.prefix) || !m.pattern.Test(href, "") {
			t.Errorf("%q matches %q, which is spelled %q (%q) and does not begin with %q", pattern, topic, key, href, m.prefix)
		}
	})
}

func TestLogBounds(t *testing.T) {
	l := log{size: 3, bytes: 1 << 20, ttl: 1 << 40, byID: make(map[string]*update)}
	for i := range 10 {
		l.add(&update{ID: fmt.Sprint(i), event: []byte("x")}, l.number+1, false)
		for range 5 { // push no update out
			l.add(&update{ID: fmt.Sprint("notice", i), event: []byte("x")}, l.number+1, true)
		}
	}
	if len(l.updates.list) != 3 || len(l.notices.list) != 3 || l.byID["7"] == nil || l.byID["6"] != nil || len(l.byID) != 4 {
		t.Fatal(len(l.updates.list), len(l.notices.list), l.byID)
	}
	if after := l.after(l.byID["8"].number); len(after) != 4 || after[0].ID != "9" {
		t.Fatal(after)
	}
}

// TestSpread: streams end after 80 to 100 % of their time, so that not all clients come back at once.
func TestSpread(t *testing.T) {
	low, high := time.Hour, time.Duration(0)
	for range 1000 {
		d := spread(10 * time.Minute)
		low, high = min(low, d), max(high, d)
	}
	if low < 8*time.Minute || high > 10*time.Minute || high-low < time.Minute {
		t.Error(low, high)
	}
	if d := spread(-time.Second); d != 0 {
		t.Error(d)
	}
}

// BenchmarkFind looks up a topic among 40,000 selectors of as many classes, of which two have it.
func BenchmarkFind(b *testing.B) {
	for name, count := range map[string]int{"others=0": 0, "others=40000": 40000} {
		b.Run(name, func(b *testing.B) {
			x := newIndex()
			x.base = parseBase("https://e.com/")
			if count > 0 {
				x, _, _ = filled(b)
			} else {
				for _, s := range []selector{{kindClassic, "https://e.com/users/77/{x}"}, {kindPattern, "https://e.com/users/77/:x"}} {
					m, _ := newMatcher(s, "https://e.com/")
					x.add(m)
				}
			}
			b.ReportAllocs()
			mark := uint64(0)
			var found []*entry
			for b.Loop() {
				mark++
				if found = x.find(found[:0], "https://e.com/users/77/1", mark); len(found) != 2 {
					b.Fatal(len(found))
				}
			}
		})
	}
}
