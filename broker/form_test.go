package broker

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unsafe"
)

// seat is a Form.
type seat struct{ name string }

func (s *seat) AppendTo(dst []byte) []byte { return fmt.Appendf(dst, `{"name":%q}`, s.name) }

// What was set with a form is read like what was set without one: in a snapshot, by itself, in the log, and by who takes the channel over; it counts
// with the bytes of its data, and what is put in its place takes nothing of it over.
func TestForm(t *testing.T) {
	set := func(b *Broker, key string, form Form, data string) {
		t.Helper()
		if _, err := b.Publish("c", &Publication{Op: Set, Group: "g", Key: key, Data: []byte(data), Form: form}); err != nil {
			t.Fatal(err)
		}
	}
	plain, formed := open(t, Config{}), open(t, Config{})
	for i, name := range []string{"ann", "bob", "carl", "bob"} {
		s := &seat{name}
		data := string(s.AppendTo(nil))
		set(plain, fmt.Sprint("k", i%3), nil, data)
		set(formed, fmt.Sprint("k", i%3), s, data)
	}
	all := func(b *Broker) string {
		t.Helper()
		r, ok := b.Read("c", nil)
		item, at, found := b.Item("c", "g", "k0")
		changes, more, _, _ := b.History("c", 0, 0)
		c := b.lock("c")
		if !ok || !found || c == nil || !json.Valid(r.State) {
			t.Fatalf("%s: %v, %v", r.State, ok, found)
		}
		kept, bytes := c.export(b.now()), c.items.bytes
		c.unlock()
		var items []string
		for _, i := range kept.Items {
			items = append(items, i.Group+i.Key+string(i.Data))
		}
		return fmt.Sprintf("%s %s %d %s %v %q %d", r.State, item, at.Seq, changes, more, items, bytes)
	}
	if a, b := all(plain), all(formed); a != b {
		t.Errorf("without forms %s\n with them     %s", a, b)
	}
	if _, err := formed.Publish("c", &Publication{Op: Append, Group: "g", Key: "k1", Data: []byte(`"x"`)}); err == nil || !strings.Contains(err.Error(), ErrNotText.Error()) {
		t.Errorf("text is put behind an object: %v", err)
	}
	set(plain, "k1", nil, `"x"`)
	set(formed, "k1", nil, `"x"`)
	if a, b := all(plain), all(formed); a != b {
		t.Errorf("without forms %s\n with them     %s", a, b)
	}
	before := formed.Stats().Bytes
	for i := range 3 {
		if _, err := formed.Publish("c", &Publication{Op: Delete, Group: "g", Key: fmt.Sprint("k", i)}); err != nil {
			t.Fatal(err)
		}
	}
	if _, ok := formed.Clear("c"); !ok || formed.Stats().Bytes != 0 || before == 0 {
		t.Errorf("%d bytes are counted of an empty channel, %d before", formed.Stats().Bytes, before)
	}
}

// An item with a form takes as much as its own list entry: no copy of its key, nothing of the change.
func TestFormIsSmall(t *testing.T) {
	if size := unsafe.Sizeof(item{}); size > 80 { // of which the allocator has a class; the next is 96
		t.Errorf("an item is %d bytes", size)
	}
	const n = 1000
	b := open(t, Config{Policy: func(string) Policy { return Policy{History: -1, Items: -1} }})
	keys, seats := make([]string, n), make([]*seat, n)
	for i := range n {
		keys[i], seats[i] = fmt.Sprint("key", i), &seat{"somebody"}
	}
	data := slices.Repeat([]byte(" "), 200)
	publish := func(i int) {
		if _, err := b.Publish("c", &Publication{Op: Set, Group: "g", Key: keys[i], Data: data, Form: seats[i]}); err != nil {
			t.Fatal(err)
		}
	}
	publish(0)
	i := 1
	if each := testing.AllocsPerRun(n-2, func() { publish(i); i++ }); each > 1.5 { // the item; the map and chunks of changes grow now and then
		t.Errorf("%.1f objects an item", each)
	}
}
