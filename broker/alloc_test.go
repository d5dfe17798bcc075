package broker

import (
	"fmt"
	"runtime"
	"testing"
	"time"
	"unsafe"
)

func TestAllocations(t *testing.T) {
	b := open(t, Config{Subscriber: func(*Channel) Subscriber { return discard{} }})
	c, _ := join(t, b, "c", JoinRequest{})
	defer c.Leave()
	var at Position
	for range 300 {
		at = publish(t, b, "c", Publication{Op: Send, Group: "g", Data: payload})
	}
	publish(t, b, "c", Publication{Op: Set, Group: "g", Key: "k", Data: payload, TTL: time.Hour})
	at.Seq++
	name := []byte("c")
	for _, test := range []struct {
		name string
		most float64
		f    func()
	}{
		{"look-up", 0, func() { b.lookup(string(name)) }},
		{"item", 0, func() { b.Item("c", "g", "k") }},
		{"cached snapshot", 0, func() { b.Read("c", nil) }},
		{"join at the head and leave", 0, func() {
			c, _ := b.Join("c", JoinRequest{From: &at}, func(Subscriber, Reply) {})
			c.Leave()
		}},
		{"delete of what is not there", 0, func() { _, _ = b.Publish("c", &Publication{Op: Delete, Key: "x"}) }},
		{"send", 0.1, func() { _, _ = b.Publish("c", &Publication{Op: Send, Group: "g", Data: payload}) }},
		{"refresh", 1, func() {
			_, _ = b.Publish("c", &Publication{Op: Set, Group: "g", Key: "k", Data: payload, TTL: time.Hour})
		}},
	} {
		if got := testing.AllocsPerRun(1000, test.f); got > test.most {
			t.Errorf("%s: %v allocations, at most %v", test.name, got, test.most)
		}
	}
}

// Every connected user has a channel, most of them empty.
func TestEmptyChannelIsSmall(t *testing.T) {
	if size := unsafe.Sizeof(Channel{}); size > 128 {
		t.Errorf("a channel has %d bytes", size)
	}
	if size := unsafe.Sizeof(shard{}); size%64 != 0 {
		t.Errorf("a shard has %d bytes, not whole cache lines", size)
	}
	b := open(t, Config{})
	const channels = 50_000
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := range channels {
		join(t, b, fmt.Sprintf("user:%09d", i), JoinRequest{})
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	each := (after.HeapAlloc - before.HeapAlloc) / channels
	t.Logf("%d bytes for each empty joined channel", each)
	if each > 300 {
		t.Errorf("%d bytes for each empty joined channel", each)
	}
	runtime.KeepAlive(b)
}
