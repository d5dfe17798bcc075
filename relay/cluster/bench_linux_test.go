package cluster_test

import (
	"fmt"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"weir/broker"
	"weir/internal/mesh/fake"
	"weir/relay/cluster"
)

// pair starts two nodes, and returns one, and the names of channels that the other one owns.
func pair(b *testing.B) (n *node, channel func(i int) string) {
	b.Helper()
	m := &fake.Mesh{}
	nodes := []*node{start(b, m, "node-0", nil), start(b, m, "node-1", nil)}
	for _, n := range nodes {
		for end := time.Now().Add(time.Minute); n.cluster.Trouble() != ""; <-time.After(10 * time.Millisecond) {
			if time.Now().After(end) {
				b.Fatal(n.cluster.Trouble())
			}
		}
	}
	return nodes[0], func(i int) string {
		for j := i; ; j += 1 << 24 {
			if name := fmt.Sprint("room:", j); nodes[0].cluster.Elsewhere(name) {
				return name
			}
		}
	}
}

// spent is the CPU that this process has used.
func spent() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// report says how many a core does a second.
func report(b *testing.B, before time.Duration) {
	b.Helper()
	b.ReportMetric(float64(b.N)/(spent()-before).Seconds(), "core-s⁻¹")
}

// BenchmarkFollow follows channels without state that another node owns: both nodes' part of it.
func BenchmarkFollow(b *testing.B) {
	n, channel := pair(b)
	var next atomic.Int64
	b.SetParallelism(64)
	b.ReportAllocs()
	before := spent()
	b.ResetTimer()
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			if _, err := n.broker.Join(channel(int(next.Add(1))), broker.JoinRequest{}, nil); err != nil {
				b.Error(err)
			}
		}
	})
	report(b, before)
}

// BenchmarkHandOn publishes to a channel that another node owns: both nodes' part of it.
func BenchmarkHandOn(b *testing.B) {
	n, channel := pair(b)
	name := channel(0)
	b.SetParallelism(64)
	b.ReportAllocs()
	before := spent()
	b.ResetTimer()
	b.RunParallel(func(p *testing.PB) {
		data := []byte(`{"text":"hello, how are you?"}`)
		for p.Next() {
			if _, err := n.broker.Publish(name, &broker.Publication{Op: broker.Send, Data: data}); err != nil {
				b.Error(err)
			}
		}
	})
	report(b, before)
}

// BenchmarkMove moves a partition with a thousand channels to the other node, and back.
func BenchmarkMove(b *testing.B) {
	m := &fake.Mesh{}
	var nodes []*node
	for i := range 2 {
		nodes = append(nodes, startAs(b, m, fmt.Sprint("node-", i), cluster.Handlers{}, func(c *cluster.Config) { c.Partitions = 1 }))
	}
	until := func(what string, ok func() bool) {
		b.Helper()
		for end := time.Now().Add(time.Minute); !ok(); <-time.After(time.Millisecond) {
			if time.Now().After(end) {
				b.Fatal(what)
			}
		}
	}
	until("no owner", func() bool { return nodes[0].cluster.Trouble() == "" && nodes[1].cluster.Trouble() == "" })
	at := 0
	if nodes[0].cluster.Elsewhere("room:1") {
		at = 1
	}
	for i := range 1000 {
		nodes[at].publish(fmt.Sprint("room:", i), `{"text":"hello, how are you?"}`)
	}
	b.ReportAllocs()
	before := spent()
	for b.Loop() {
		if err := nodes[at].cluster.Move(b.Context(), 0, nodes[1-at].name); err != nil {
			b.Fatal(err)
		}
		at = 1 - at
		until("it has not moved", func() bool { return !nodes[at].cluster.Elsewhere("room:1") })
	}
	b.ReportMetric(float64((spent()-before).Milliseconds())/float64(b.N), "cpu-ms/op")
}
