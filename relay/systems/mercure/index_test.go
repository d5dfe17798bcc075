package mercure

import (
	"fmt"
	"testing"
)

// TestIndexTriesFew: of 10,000 templates an update's topic tries those that begin as it does, and strings are looked up.
func TestIndexTriesFew(t *testing.T) {
	x := newIndex()
	c := new(class)
	var entries []*entry
	for i := range 10000 {
		for _, text := range []string{fmt.Sprintf("https://e.com/users/%d/{x}", i), fmt.Sprintf("https://e.com/users/%d", i)} {
			m, err := newMatcher(selector{text: text}, "")
			if err != nil {
				t.Fatal(err)
			}
			e := x.add(m)
			e.asTopic[c] = struct{}{}
			entries = append(entries, e)
		}
	}
	tried := 0
	const topic = "https://e.com/users/77/1"
	for _, n := range x.lengths {
		if n <= len(topic) {
			tried += len(x.tried[topic[:n]])
		}
	}
	if tried > 1 || len(x.lengths) > 5 {
		t.Fatalf("%d templates are tried, of %d lengths", tried, len(x.lengths))
	}
	if found := x.find(nil, topic, 1); len(found) != 1 || found[0].text != "https://e.com/users/77/{x}" {
		t.Fatal(found)
	}
	if found := x.find(nil, "https://e.com/users/77", 2); len(found) != 1 {
		t.Fatal(found)
	}
	for _, e := range entries {
		delete(e.asTopic, c)
		x.drop(e)
	}
	if len(x.entries)+len(x.equal)+len(x.tried)+len(x.lengths)+len(x.counts) > 0 {
		t.Fatal("something is left")
	}
}

func TestLogBounds(t *testing.T) {
	l := log{size: 3, bytes: 1 << 20, ttl: 1 << 40, byID: make(map[string]*update)}
	for i := range 10 {
		l.add(&update{ID: fmt.Sprint(i), event: []byte("x")}, false)
		for range 5 { // push no update out
			l.add(&update{ID: fmt.Sprint("notice", i), event: []byte("x")}, true)
		}
	}
	if len(l.updates.list) != 3 || len(l.notices.list) != 3 || l.byID["7"] == nil || l.byID["6"] != nil || len(l.byID) != 4 {
		t.Fatal(len(l.updates.list), len(l.notices.list), l.byID)
	}
	if after := l.after(l.byID["8"].number); len(after) != 4 || after[0].ID != "9" {
		t.Fatal(after)
	}
}

func BenchmarkFind(b *testing.B) {
	x := newIndex()
	for i := range 10000 {
		m, _ := newMatcher(selector{text: fmt.Sprintf("https://e.com/users/%d/{x}", i)}, "")
		x.add(m)
	}
	b.ReportAllocs()
	mark := uint64(0)
	var found []*entry
	for b.Loop() {
		mark++
		found = x.find(found[:0], "https://e.com/users/77/1", mark)
	}
}
