//go:build faults

package faults

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"testing"
	"time"

	"weir/relay/relaytest/register"
)

// registers are items that clients on all nodes write and read, one to a channel.
type registers struct{ *sharing }

// cell is one of them.
type cell struct {
	shared
	patient bool // nothing of the channel is read before it is kept: its item can be read, and not only its log
	history register.History
}

// registerNodes has nodes have two durable namespaces, one of which is patient.
func registerNodes(i int, s *server) {
	durableNodes(i, s)
	s.namespace("patient: {durable: true, deliver: after-disk, subscribe: authenticated, publish: authenticated, presence: false, history: {size: 100000, ttl: 24h}}")
}

// use starts clients of each register.
func use(t testing.TB, nodes []*server, cells, clients int) registers {
	t.Helper()
	r := registers{share(t, nodes)}
	for i := range cells {
		c := &cell{patient: i%2 == 1}
		if c.channel = fmt.Sprint("orders:register-", i); c.patient {
			c.channel = fmt.Sprint("patient:register-", i)
		}
		r.add(&c.shared, c.history.Check, clients, func(ctx context.Context, number int) { r.client(ctx, c, number) })
	}
	r.during("all registers are served", func() {})
	return r
}

// client writes and reads a register until ctx ends.
func (r registers) client(ctx context.Context, c *cell, number int) {
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
func (r registers) publish(client *http.Client, c *cell, id, members string) (at position, ok bool) {
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
func (r registers) lookAt(c *cell, at position, id string) (value string, ok bool) {
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
func (r registers) item(address string, at position) (value string, ok bool) {
	var now struct {
		Position position
		State    struct{ G struct{ Register string } }
	}
	status, answer := ask(address)
	ok = status == 200 && json.Unmarshal([]byte(answer), &now) == nil && now.Position.Seq >= at.Seq
	return now.State.G.Register, ok
}

// last is the value before an event in the log, if the event is there.
func (r registers) last(address string, at position, id string) (value string, ok bool) {
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

// Clients on all nodes write and read registers while the nodes that own them are killed and stopped, and partitions are moved. What they are told is what one register would have told them, to which one
// thing happens at a time.
func TestClusterRegister(t *testing.T) {
	nodes := clusterWith(t, 3, "", registerNodes)
	r := use(t, nodes, times(12, 4), 3)
	r.trouble(times(9, 1), !short)
	r.judge()
}
