package broker

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"
)

// What the broker has encoded is read back as it was published, one change or many.
func TestChangesReadBack(t *testing.T) {
	type change struct {
		op         Op
		group, key string
		data       string
	}
	name := rapid.StringMatching(`[A-Za-z0-9_.:/@~=-]{1,9}`)
	data := rapid.SampledFrom([]string{`1`, `"}"`, `"\\\"{["`, `{"a":[{},"]"]}`, `[]`, `null`, `"\u2028é"`, `{"seq":1,"op":"set"}`})
	rapid.Check(t, func(t *rapid.T) {
		b, err := New(Config{})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = b.Close() }()
		var want []change
		for range rapid.IntRange(0, 9).Draw(t, "changes") {
			c := change{Op(rapid.IntRange(0, 2).Draw(t, "op")), "", "", data.Draw(t, "data")}
			if c.op != Send || rapid.Bool().Draw(t, "named") {
				c.group, c.key = name.Draw(t, "group"), name.Draw(t, "key")
			}
			if c.op == Delete {
				if _, _, ok := b.Item("c", c.group, c.key); !ok {
					continue
				}
				c.data = ""
			}
			if _, err := b.Publish("c", &Publication{Op: c.op, Group: c.group, Key: c.key, Data: []byte(c.data)}); err != nil {
				t.Fatal(err)
			}
			want = append(want, c)
		}
		changes, _, _, _ := b.History("c", 0, 100)
		var got []change
		EachChange(changes, func(c *ChangeView) bool {
			got = append(got, change{c.Op, c.Group, c.Key, string(c.Data)})
			if c.Seq != uint64(len(got)) {
				t.Fatalf("change %d says it is %d", len(got), c.Seq)
			}
			return true
		})
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("%v, not %v, from %s", got, want, changes)
		}
	})
}
