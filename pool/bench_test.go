package pool

import (
	"fmt"
	"sync"
	"testing"

	"weir/internal/memnet"
)

// BenchmarkChurn is a join and a leave: the posting, the loop's work for both, and the callbacks.
func BenchmarkChurn(b *testing.B) {
	for _, subs := range []int{1, 1000} {
		for _, topics := range []int{1, 100} {
			b.Run(fmt.Sprintf("subs=%d/topics=%d", subs, topics), func(b *testing.B) {
				p := New(Config{Shards: 1})
				defer p.Close()
				var ts []*Topic
				for range topics {
					ts = append(ts, p.Topic(Disconnect, nil))
				}
				var conns []*Conn
				for range subs {
					near, _ := memnet.Pipe(1)
					c := p.Open(near, plain, false, &owner{})
					conns = append(conns, c)
					for _, t := range ts[:min(len(ts), 10)] { // what it keeps
						if subs > 1 {
							c.Join(t, 0, nil, nil)
						}
					}
				}
				extra := p.Topic(Disconnect, nil)
				p.Flush()
				left := 0
				then := func() { left++ }
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					c, t := conns[i%len(conns)], extra
					if topics > 10 {
						t = ts[10+i%(topics-10)]
					}
					c.Join(t, 0, nil, nil)
					c.Leave(t, 0, nil, then)
					if i%1000 == 999 {
						p.Flush() // a publisher that never waits would only measure the mailbox
					}
				}
				p.Flush()
				if left != b.N {
					b.Fatalf("%d have left, want %d", left, b.N)
				}
			})
		}
	}
}

// BenchmarkReply is the mailbox and one write for one connection, from several goroutines.
func BenchmarkReply(b *testing.B) {
	near, far := memnet.Pipe(1 << 20)
	var ended sync.WaitGroup
	ended.Go(func() {
		buf := make([]byte, 1<<20)
		for {
			if _, err := far.Read(buf); err != nil {
				return
			}
		}
	})
	p := New(Config{Shards: 1})
	c := p.Open(near, plain, false, &owner{})
	body := make([]byte, 128)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		c.Reply(body, nil)
		if i%1000 == 999 {
			p.Flush()
		}
	}
	p.Flush()
	p.Close()
	ended.Wait()
}
