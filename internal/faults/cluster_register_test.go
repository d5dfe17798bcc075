//go:build faults

package faults

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os/exec"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"weir/relay/relaytest/register"
)

// registers are items that clients on all nodes write and read, one to a channel.
type registers struct {
	testing.TB
	nodes   []*server
	begun   time.Time
	list    []*cell
	working sync.WaitGroup
	stop    context.CancelFunc
}

// cell is one of them.
type cell struct {
	channel string
	patient bool // nothing of the channel is read before it is kept: its item can be read, and not only its log
	history register.History

	wrote, read, open atomic.Int64 // operations, by how they ended
}

// registerNodes has nodes have two durable namespaces, one of which is patient.
func registerNodes(i int, s *server) {
	durableNodes(i, s)
	s.namespace("patient: {durable: true, deliver: after-disk, subscribe: authenticated, publish: authenticated, presence: false, history: {size: 100000, ttl: 24h}}")
}

// use starts clients of each register.
func use(t testing.TB, nodes []*server, cells, clients int) *registers {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	r := &registers{TB: t, nodes: nodes, begun: time.Now(), stop: stop}
	for i := range cells {
		c := &cell{channel: fmt.Sprint("orders:register-", i)}
		if c.patient = i%2 == 1; c.patient {
			c.channel = fmt.Sprint("patient:register-", i)
		}
		r.list = append(r.list, c)
		for k := range clients {
			r.working.Go(func() { r.client(ctx, c, k) }) // ended by end
		}
	}
	t.Cleanup(r.end)
	r.during("all registers are served", func() {})
	return r
}

func (r *registers) end() {
	r.stop()
	r.working.Wait()
}

// client writes and reads a register until ctx ends.
func (r *registers) client(ctx context.Context, c *cell, number int) {
	client := &http.Client{Transport: &http.Transport{}, Timeout: 8 * time.Second}
	defer client.CloseIdleConnections()
	for n := 0; ctx.Err() == nil; n++ {
		id, from := fmt.Sprintf("%d-%d", number, n), time.Since(r.begun)
		if rand.IntN(2) == 0 {
			_, ok := r.publish(client, c, id, `"op":"set","group":"g","key":"register"`)
			switch to := time.Since(r.begun); {
			case ok:
				c.history.Wrote(id, from, to)
				c.wrote.Add(1)
			default:
				c.history.Tried(id, from)
				c.open.Add(1)
			}
		} else if at, ok := r.publish(client, c, id, `"op":"send"`); ok {
			to := time.Since(r.begun)
			value, seen := r.lookAt(c, at, id)
			if c.patient && seen {
				to = time.Since(r.begun)
			}
			if seen {
				c.history.Read(value, from, to)
				c.read.Add(1)
			}
		}
		<-time.After(rand.N(10 * time.Millisecond))
	}
}

// publish publishes something with its key, to one node after the other, until a majority is said to have it or the client gives up: some do so at once. false: it may have been made.
func (r *registers) publish(client *http.Client, c *cell, id, members string) (at position, ok bool) {
	body := fmt.Sprintf(`{"channel":%q,%s,"idempotencyKey":%q,"ack":"replicated","data":%q}`, c.channel, members, id, id)
	node := rand.IntN(len(r.nodes))
	for attempts := 1 + rand.IntN(1+rand.IntN(100)); attempts > 0; attempts-- {
		status, answer := post(client, "http://"+r.nodes[node%len(r.nodes)].listen+"/v1/publish", body)
		var told struct{ Position position }
		if status == 200 && json.Unmarshal(answer, &told) == nil {
			return told.Position, true
		}
		if status != 0 && status != 503 {
			r.Errorf("publish to %s: %d %s", c.channel, status, answer)
			return at, false
		}
		node++
		<-time.After(20 * time.Millisecond)
	}
	return at, false
}

// lookAt is a read that is certain, after an event of the reader was acknowledged at a position. Up to there the log is the same for ever, whoever is asked: the value is the last one before.
// Where nothing is read before it is kept, the item may be asked for: it counts if it is of that position or a later one. false: no node that has it was reached.
func (r *registers) lookAt(c *cell, at position, id string) (value string, ok bool) {
	for attempts := 500; attempts > 0; attempts-- {
		address := "http://" + r.nodes[rand.IntN(len(r.nodes))].listen + "/v1/channels/" + c.channel
		if c.patient {
			value, ok = r.item(address, at)
		} else {
			value, ok = r.last(address, at, id)
		}
		if ok {
			return value, true
		}
		<-time.After(20 * time.Millisecond)
	}
	return "", false
}

// item is the value of a register as it stands, if that is at a position or later.
func (r *registers) item(address string, at position) (value string, ok bool) {
	var now struct {
		Position position
		State    struct{ G struct{ Register string } }
	}
	status, answer := ask(address)
	ok = status == 200 && json.Unmarshal([]byte(answer), &now) == nil && now.Position.Seq >= at.Seq
	return now.State.G.Register, ok
}

// last is the value before an event in the log, if the event is there.
func (r *registers) last(address string, at position, id string) (value string, ok bool) {
	var page struct {
		Changes []struct {
			Seq      uint64
			Op, Data string
		}
		More bool
	}
	status, answer := ask(fmt.Sprintf("%s/history?limit=1000&before=%d", address, at.Seq+1))
	if status != 200 || json.Unmarshal([]byte(answer), &page) != nil {
		return "", false
	}
	for i := len(page.Changes) - 1; i >= 0; i-- {
		switch x := page.Changes[i]; {
		case i == len(page.Changes)-1 && (x.Seq != at.Seq || x.Op != "send" || x.Data != id):
			return "", false // of a node that was replaced and does not know it
		case x.Op == "set":
			return x.Data, true
		}
	}
	if page.More {
		r.Errorf("%s: nothing was written in the 1000 changes before %d", address, at.Seq)
	}
	return "", len(page.Changes) > 0
}

// during does something, and waits until all registers are written and read after it.
func (r *registers) during(what string, fault func()) {
	r.Helper()
	begin := time.Now()
	fault()
	for _, c := range r.list {
		wrote, read := c.wrote.Load(), c.read.Load()
		until(r, what+": "+c.channel+" goes on", func() bool { return c.wrote.Load() > wrote+2 && c.read.Load() > read+2 })
	}
	r.Logf("%s: all registers went on after %v", what, time.Since(begin).Round(time.Millisecond))
}

// move has a node own all registers.
func (r *registers) move(node int) {
	r.Helper()
	for _, c := range r.list {
		until(r, c.channel+" is moved", func() bool {
			asked := r.nodes[rand.IntN(len(r.nodes))]
			return exec.Command(asked.binary(), "cluster", "move", c.channel, fmt.Sprint("weir-", node), "--admin", "http://"+asked.admin).Run() == nil
		})
	}
}

// judge ends the clients, and holds what they were told against what one register could have answered.
func (r *registers) judge() {
	r.Helper()
	r.end()
	var wrote, read, open int64
	for _, c := range r.list {
		wrote, read, open = wrote+c.wrote.Load(), read+c.read.Load(), open+c.open.Load()
		if err := c.history.Check(time.Minute); err != nil {
			r.Errorf("%s: %v", c.channel, err)
		}
	}
	r.Logf("%d registers: %d writes and %d reads were answered, %d writes were not", len(r.list), wrote, read, open)
}

// Clients on all nodes write and read registers while the nodes that own them are killed and stopped, and partitions are moved. What they are told is what one register would have told them, to which one
// thing happens at a time.
func TestClusterRegister(t *testing.T) {
	nodes := clusterWith(t, 3, "", registerNodes)
	r := use(t, nodes, times(12, 4), 3)
	for i := range times(9, 1) {
		s := nodes[i%3]
		r.during(fmt.Sprintf("node %d gets all registers", i%3), func() { r.move(i % 3) })
		r.during("kill -9 of their owner", s.kill)
		r.during("it is back", func() { s.start() })
		if short {
			continue
		}
		ready(t, nodes)
		r.move((i + 1) % 3)
		r.during("their owner is stopped for 5 s", func() { nodes[(i+1)%3].stopFor(5 * time.Second) })
		ready(t, nodes)
	}
	r.judge()
}
