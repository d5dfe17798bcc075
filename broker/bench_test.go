package broker

import (
	"fmt"
	"strconv"
	"sync/atomic"
	"testing"
	"time"
)

var payload = []byte(`{"text":"` + string(make96()) + `"}`)

func make96() []byte {
	text := make([]byte, 96)
	for i := range text {
		text[i] = 'a' + byte(i%26)
	}
	return text
}

// discard is a subscriber that does nothing.
type discard struct{}

func (discard) Apply(*Change) {}
func (discard) Reset(Reply)   {}

func BenchmarkPublish(b *testing.B) {
	publications := map[string]Publication{
		"op=send":         {Op: Send, Data: payload},
		"op=set/ttl=0":    {Op: Set, Group: "cursors", Key: "u1", Data: payload},
		"op=set/ttl=5s":   {Op: Set, Group: "typing", Key: "u1", Data: payload, TTL: 5 * time.Second},
		"op=delete/noop":  {Op: Delete, Group: "typing", Key: "nobody"},
		"op=send/group=1": {Op: Send, Group: "reactions", Data: payload},
	}
	for name, p := range publications {
		for _, history := range []int{-1, 256} {
			for _, readers := range []int{0, 1} {
				b.Run(fmt.Sprintf("%s/history=%d/readers=%d", name, max(history, 0), readers), func(b *testing.B) {
					br := open(b, Config{Policy: always(Policy{History: history}), Subscriber: func(*Channel) Subscriber { return discard{} }})
					publish(b, br, "room:1", Publication{Op: Set, Key: "keep", Data: payload})
					if readers > 0 {
						c, _ := join(b, br, "room:1", JoinRequest{})
						defer c.Leave()
					}
					b.ReportAllocs()
					for b.Loop() {
						if _, err := br.Publish("room:1", &p); err != nil {
							b.Fatal(err)
						}
					}
				})
			}
		}
	}
}

func BenchmarkPublishIdempotent(b *testing.B) {
	br := open(b, Config{})
	p := Publication{Op: Send, Data: payload}
	var key []byte
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		key = strconv.AppendInt(key[:0], int64(i), 10)
		p.IdempotencyKey = string(key)
		if _, err := br.Publish("room:1", &p); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPublishParallel(b *testing.B) {
	for _, channels := range []int{1, 1000} {
		b.Run(fmt.Sprintf("channels=%d", channels), func(b *testing.B) {
			br := open(b, Config{})
			names := make([]string, channels)
			for i := range names {
				names[i] = fmt.Sprintf("room:%d", i)
			}
			var turn atomic.Int64
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				p := Publication{Op: Send, Data: payload}
				for i := int(turn.Add(1)) * 7919; pb.Next(); i++ {
					if _, err := br.Publish(names[i%channels], &p); err != nil {
						b.Error(err)
					}
				}
			})
		})
	}
}

func BenchmarkLookup(b *testing.B) {
	for _, channels := range []int{1, 100_000} {
		b.Run(fmt.Sprintf("channels=%d", channels), func(b *testing.B) {
			br := open(b, Config{})
			for i := range channels {
				join(b, br, fmt.Sprintf("user:%d", i), JoinRequest{})
			}
			b.ReportAllocs()
			for b.Loop() {
				if br.lookup("user:0") == nil {
					b.Fatal("not found")
				}
			}
		})
	}
}

// A user connects and disconnects: the channel is made and freed.
func BenchmarkJoinLeave(b *testing.B) {
	for _, quiet := range []bool{true, false} {
		b.Run(fmt.Sprintf("quiet=%t", quiet), func(b *testing.B) {
			br := open(b, Config{})
			if !quiet {
				publish(b, br, "user:1", Publication{Op: Set, Key: "k", Data: payload})
			}
			reply := func(Subscriber, Reply) {}
			b.ReportAllocs()
			for b.Loop() {
				c, err := br.Join("user:1", JoinRequest{}, reply)
				if err != nil {
					b.Fatal(err)
				}
				c.Leave()
			}
		})
	}
}

func BenchmarkResume(b *testing.B) {
	for _, missed := range []uint64{0, 10, 200} {
		b.Run(fmt.Sprintf("missed=%d", missed), func(b *testing.B) {
			br := open(b, Config{})
			var at Position
			for range 256 {
				at = publish(b, br, "room:1", Publication{Op: Send, Data: payload})
			}
			from := Position{at.Epoch, at.Seq - missed}
			b.ReportAllocs()
			for b.Loop() {
				c, _ := br.Join("room:1", JoinRequest{From: &from}, nil)
				_, _ = br.Join("room:1", JoinRequest{From: &from, Again: true}, func(Subscriber, Reply) {})
				c.Leave()
			}
		})
	}
}

func BenchmarkSnapshot(b *testing.B) {
	for _, cached := range []bool{true, false} {
		b.Run(fmt.Sprintf("items=1000/cached=%t", cached), func(b *testing.B) {
			br := open(b, Config{})
			for i := range 1000 {
				publish(b, br, "room:1", Publication{Op: Set, Key: strconv.Itoa(i), Data: payload})
			}
			b.ReportAllocs()
			for b.Loop() {
				if !cached {
					c := br.lookup("room:1")
					c.items.state = nil
				}
				br.Read("room:1", nil)
			}
		})
	}
}
