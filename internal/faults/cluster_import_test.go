//go:build faults

package faults

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// ordersNamespace is durable, and is put behind the namespaces.
const ordersNamespace = "  orders: {durable: true, subscribe: authenticated, publish: authenticated, presence: false, history: {size: 1000, ttl: 24h}}\n"

// moving is the channels that go from one store to another.
type moving struct {
	*testing.T
	client   *http.Client
	channels []string
	seq      map[string]uint64 // of the last change
	at       map[string]position
}

// publish makes the n-th publication of a channel, with its key, and returns where it is.
func (m *moving) publish(s *server, channel string, n uint64) position {
	m.Helper()
	var told struct{ Position position }
	until(m, "it is published", func() bool {
		status, b := post(m.client, "http://"+s.listen+"/v1/publish", fmt.Sprintf(`{"channel":%q,"op":"set","key":"k%d","idempotencyKey":"%s-%d","data":%d}`, channel, n%3, channel, n, n))
		if status != 200 && status != 503 {
			m.Fatalf("publish: %d %s", status, b)
		}
		return status == 200 && json.Unmarshal(b, &told) == nil
	})
	return told.Position
}

// goesOn holds that readers resume where they were told that they stand, that what was published has its place if it is published again, and what comes next the next one.
func (m *moving) goesOn(what string, nodes []*server) {
	m.Helper()
	for i, channel := range m.channels {
		s, last := nodes[i%len(nodes)], m.seq[channel]
		from := position{m.at[channel].Epoch, last - 2}
		until(m, channel+" is served", func() bool {
			status, _ := ask("http://" + s.listen + "/v1/channels/" + channel)
			return status == 200
		})
		f, answer := follow(s, channel, &from)
		if !answer.Recovered || len(answer.Changes) != 2 || answer.Changes[1].Seq != last || answer.Position.Seq != last {
			m.Fatalf("%s: %s from %v: %+v", what, channel, from, answer)
		}
		if again := m.publish(s, channel, last); again.Seq != last {
			m.Errorf("%s: %s: what was at %d is at %d when it is published again", what, channel, last, again.Seq)
		}
		next := m.publish(nodes[(i+1)%len(nodes)], channel, last+1)
		if next.Seq != last+1 || next.Epoch != answer.Position.Epoch {
			m.Errorf("%s: %s: after %v comes %v", what, channel, answer.Position, next)
		}
		until(m, "the reader has it", func() bool { at, _ := f.stands(m, last); return at == last+1 })
		ahead, told := follow(s, channel, &position{from.Epoch, last + 1}) // of what was never kept there
		if told.Recovered || !told.Lost {
			m.Errorf("%s: %s: a reader that has seen more is told %+v", what, channel, told)
		}
		_, _ = ahead.conn.CloseNow(), f.conn.CloseNow()
		m.seq[channel], m.at[channel] = last+1, next
	}
}

// run runs a command, with what it reads, and returns what it writes.
func (m *moving) run(s *server, in []byte, args ...string) []byte {
	m.Helper()
	cmd := exec.Command(s.binary(), args...)
	var out, said bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(in), &out, &said
	if err := cmd.Run(); err != nil {
		m.Fatalf("weir %s: %v\n%s%s", strings.Join(args, " "), err, &said, out.Bytes()[:min(out.Len(), 500)])
	}
	return out.Bytes()
}

// Durable channels go from one node to three and back to one: positions that readers were told hold, and so do idempotency keys.
func TestClusterImport(t *testing.T) {
	m := &moving{T: t, client: &http.Client{Timeout: 5 * time.Second}, channels: names("orders", times(300, 30)), seq: make(map[string]uint64), at: make(map[string]position)}
	data := t.TempDir()
	one := newServer(t, ordersNamespace+"data: "+data+"\n")
	one.start()
	for i, channel := range m.channels {
		for n := uint64(1); n <= uint64(4+i%5); n++ {
			m.at[channel], m.seq[channel] = m.publish(one, channel, n), n
		}
	}
	one.drain()
	export := m.run(one, nil, "data", "export", "--data", data)
	three := clusterWith(t, 3, "", durableNodes)
	admin := "http://" + three[1].admin
	var in, there int
	out := m.run(one, export, "cluster", "import", "-", "--admin", admin) // some may be in from an attempt that the servers were too slow for
	if n, err := fmt.Sscanf(string(out), "%d channels imported, %d existed already\n", &in, &there); n != 2 || in+there != len(m.channels) || in == 0 {
		t.Errorf("import: %s %v", out, err)
	}
	if out := m.run(one, export, "cluster", "import", "-", "--admin", admin); string(out) != fmt.Sprintf("0 channels imported, %d existed already\n", len(m.channels)) {
		t.Errorf("once more: %s", out)
	}
	m.goesOn("on three nodes", three)
	for _, s := range three { // what was put in is in the log, and on the shelf
		s.kill()
	}
	for _, s := range three {
		s.launch()
	}
	ready(t, three)
	m.goesOn("on three nodes that were killed", three)
	back := m.run(one, nil, "cluster", "export", "--admin", admin)
	for _, s := range three {
		s.kill()
	}
	again := t.TempDir()
	m.run(one, back, "data", "import", "--data", again, "-")
	alone := newServer(t, ordersNamespace+"data: "+again+"\n")
	alone.start()
	m.goesOn("on one node again", []*server{alone})
}
