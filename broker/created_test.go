package broker

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"
)

// created notes which items it was told are new.
type created struct{ told []string }

func (s *created) Apply(c *Change) {
	s.told = append(s.told, fmt.Sprint(c.Op, " ", c.Group, "/", c.Key, " ", c.Created))
}
func (s *created) Reset(Reply) {}

// A set says that its item is new if there was none of that name just before it, and nothing else says so.
func TestCreated(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := new(created)
		b, err := New(Config{Subscriber: func(*Channel) Subscriber { return s }})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = b.Close() }()
		c, err := b.Join("c", JoinRequest{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Leave()
		there := make(map[string]bool)
		var want []string
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			op := Op(rapid.IntRange(0, 2).Draw(t, "op"))
			group, key := rapid.SampledFrom([]string{"g", "h"}).Draw(t, "group"), rapid.SampledFrom([]string{"a", "b"}).Draw(t, "key")
			if rapid.IntRange(0, 9).Draw(t, "clear") == 0 {
				b.Clear("c")
				clear(there)
			}
			if _, err := b.Publish("c", &Publication{Op: op, Group: group, Key: key, Data: []byte("1")}); err != nil {
				t.Fatal(err)
			}
			name := group + "/" + key
			if op == Delete && !there[name] {
				continue // it changes nothing
			}
			want = append(want, fmt.Sprint(op, " ", name, " ", op == Set && !there[name]))
			switch op {
			case Set:
				there[name] = true
			case Delete:
				delete(there, name)
			}
		}
		if fmt.Sprint(s.told) != fmt.Sprint(want) {
			t.Fatalf("told %v, not %v", s.told, want)
		}
	})
}
