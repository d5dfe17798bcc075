//go:build faults

package faults

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// durableNodes has nodes have a durable namespace.
func durableNodes(_ int, s *server) {
	s.namespace("orders: {durable: true, subscribe: authenticated, publish: authenticated, presence: false, history: {size: 1000000, ttl: 24h}}")
}

// namespace adds one to the configuration.
func (s *server) namespace(line string) { s.configure("  " + line) }

// configure adds a line to the configuration, behind the namespaces.
func (s *server) configure(line string) {
	s.Helper()
	f, err := os.OpenFile(s.config, os.O_APPEND|os.O_WRONLY, 0)
	if err == nil {
		_, err = f.WriteString(line + "\n")
	}
	if err != nil {
		s.Fatal(err)
	}
	_ = f.Close()
}

// promises are publications that were acknowledged, by channel and place.
type promises struct {
	testing.TB
	nodes []*server
	mu    sync.Mutex
	list  map[string]map[uint64]string // guarded by mu
	made  atomic.Int64
}

// publish publishes to a channel until ctx ends, each with its key until it is acknowledged.
func (p *promises) publish(ctx context.Context, channel string) {
	client := &http.Client{Transport: &http.Transport{}, Timeout: 8 * time.Second}
	defer client.CloseIdleConnections()
	for n := 0; ctx.Err() == nil; n++ {
		data := fmt.Sprintf(`"%s %d"`, channel, n)
		body := fmt.Sprintf(`{"channel":%q,"idempotencyKey":"%s-%d","ack":"replicated","data":%s}`, channel, channel, n, data)
		for begin, at := time.Now(), rand.IntN(len(p.nodes)); ; at++ {
			status, answer := post(client, "http://"+p.nodes[at%len(p.nodes)].listen+"/v1/publish", body)
			var told struct{ Position position }
			if status == 200 && json.Unmarshal(answer, &told) == nil {
				p.mu.Lock()
				if p.list[channel] == nil {
					p.list[channel] = make(map[uint64]string)
				}
				if before, ok := p.list[channel][told.Position.Seq]; ok {
					p.Errorf("%s: %s and %s were both acknowledged at %d", channel, before, data, told.Position.Seq)
				}
				p.list[channel][told.Position.Seq] = data
				p.mu.Unlock()
				p.made.Add(1)
				break
			}
			if status != 0 && status != 503 || time.Since(begin) > patience {
				p.Errorf("publish to %s: %d %s after %v", channel, status, answer, time.Since(begin))
				return
			}
			<-time.After(20 * time.Millisecond)
		}
	}
}

// goesOn waits until each channel has some more.
func (p *promises) goesOn(what string, fault func()) {
	p.Helper()
	begin := time.Now()
	fault()
	p.mu.Lock()
	before := make(map[string]int)
	for channel, list := range p.list {
		before[channel] = len(list)
	}
	p.mu.Unlock()
	until(p, what+": all channels go on", func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		for channel, n := range before {
			if len(p.list[channel]) < n+3 {
				return false
			}
		}
		return len(before) > 0
	})
	p.Logf("%s: all channels went on after %v", what, time.Since(begin).Round(time.Millisecond))
}

// judge holds that all that was acknowledged is where it was, once, whichever node is asked.
func (p *promises) judge() {
	p.Helper()
	for channel, want := range p.list {
		has := make(map[uint64]string)
		for before := ""; ; {
			var page struct {
				Changes []struct {
					Seq  uint64
					Data json.RawMessage
				}
				More bool
			}
			until(p, channel+" is read", func() bool {
				status, answer := ask("http://" + p.nodes[rand.IntN(len(p.nodes))].listen + "/v1/channels/" + channel + "/history?limit=1000" + before)
				return status == 200 && json.Unmarshal([]byte(answer), &page) == nil
			})
			for _, c := range page.Changes {
				has[c.Seq] = string(c.Data)
			}
			if !page.More || len(page.Changes) == 0 {
				break
			}
			before = fmt.Sprint("&before=", page.Changes[0].Seq)
		}
		where := make(map[string]uint64)
		for seq, data := range has {
			if other, ok := where[data]; ok {
				p.Errorf("%s: %s is at %d and at %d", channel, data, seq, other)
			}
			where[data] = seq
		}
		for seq, data := range want {
			if has[seq] != data {
				p.Errorf("%s has lost what was acknowledged at %d: %s; it has %q among %d", channel, seq, data, has[seq], len(has))
				break
			}
		}
	}
}

// Nodes are killed, stopped and restarted under publishers of durable channels, and then all of them at once: all that was acknowledged is there.
func TestClusterDurable(t *testing.T) {
	nodes := clusterWith(t, 3, "", durableNodes)
	p := &promises{TB: t, nodes: nodes, list: make(map[string]map[uint64]string)}
	ctx, stop := context.WithCancel(context.Background())
	var publishing sync.WaitGroup
	for _, channel := range names("orders", times(30, 6)) {
		publishing.Go(func() { p.publish(ctx, channel) })
	}
	t.Cleanup(func() {
		stop()
		publishing.Wait()
	})
	until(t, "it is published", func() bool { return p.made.Load() > int64(times(1000, 100)) })
	for i := range times(6, 1) {
		s := nodes[i%3]
		p.goesOn(fmt.Sprintf("kill -9 of node %d", i%3), s.kill)
		p.goesOn("it is back", func() { s.start() })
	}
	if !short {
		p.goesOn("node 2 is stopped for 5 s", func() { nodes[2].stopFor(5 * time.Second) })
		p.goesOn("node 1 is restarted in order", func() {
			nodes[1].drain()
			nodes[1].launch()
		})
	}
	ready(t, nodes)
	stop()
	publishing.Wait()
	p.judge()
	for _, s := range nodes {
		s.kill()
	}
	for _, s := range nodes {
		s.launch()
	}
	ready(t, nodes)
	p.judge()
	t.Logf("%d publications were acknowledged", p.made.Load())
}
