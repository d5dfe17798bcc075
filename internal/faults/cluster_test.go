//go:build faults

package faults

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"weir/internal/freeport"
)

// clusterOf starts nodes of one cluster, each with a NATS server within.
func clusterOf(t *testing.T, n int) []*server {
	t.Helper()
	return clusterWith(t, n, "", nil)
}

// clusterWith is clusterOf another binary, if it is not "", and with what prepare changes of each node.
func clusterWith(t *testing.T, n int, bin string, prepare func(i int, s *server)) []*server {
	t.Helper()
	var routes []string
	for range n {
		routes = append(routes, freeport.Address(t))
	}
	var list []*server
	for i := range n {
		s := newServer(t, "")
		s.bin = bin
		s.args = []string{"--node", fmt.Sprint("weir-", i), "--cluster-listen", routes[i], "--cluster-routes", strings.Join(routes, ","), "--cluster-data", t.TempDir()}
		if prepare != nil {
			prepare(i, s)
		}
		s.launch()
		list = append(list, s)
	}
	ready(t, list)
	return list
}

// ready waits until nodes are.
func ready(t testing.TB, list []*server) {
	t.Helper()
	for _, s := range list {
		until(s, "the node is ready", func() bool { return s.status("/readyz") == 200 })
	}
}

// follower is a client of one node that does not come back.
type follower struct {
	conn *websocket.Conn

	mu   sync.Mutex
	list []told
}

// told is what a follower was told of its channel.
type told struct {
	message
	Lost bool `json:"lost"`
}

// follow subscribes to a channel, from a position if there is one, and returns the answer.
func follow(s *server, channel string, from *position) (*follower, told) {
	s.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, _, err := websocket.Dial(ctx, "ws://"+s.listen+"/ws", &websocket.DialOptions{HTTPHeader: http.Header{"Authorization": {"Bearer " + token(s, "reader")}}})
	if err != nil {
		s.Fatal(err)
	}
	conn.SetReadLimit(1 << 26)
	command := map[string]any{"type": "subscribe", "id": 1, "channel": channel}
	if from != nil {
		command["position"] = from
	}
	b, err := json.Marshal(command)
	if err == nil {
		err = conn.Write(ctx, websocket.MessageText, b)
	}
	var answer told
	for answer.Type != "subscribed" && err == nil {
		var raw []byte
		if _, raw, err = conn.Read(ctx); err == nil {
			err = json.Unmarshal(raw, &answer)
		}
	}
	if err != nil {
		s.Fatal(err)
	}
	f := &follower{conn: conn}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			_, raw, err := conn.Read(context.Background())
			if err != nil {
				return
			}
			var m told
			if json.Unmarshal(raw, &m) != nil || m.Channel != channel {
				continue
			}
			f.mu.Lock()
			f.list = append(f.list, m)
			f.mu.Unlock()
		}
	}()
	s.Cleanup(func() {
		_ = conn.CloseNow()
		<-done
	})
	return f, answer
}

// stands is where the follower stands, after having been told of all that was before; resyncs is how often a position was told anew.
func (f *follower) stands(t testing.TB, from uint64) (at uint64, resyncs int) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	at = from
	for _, m := range f.list {
		list := m.Messages
		switch m.Type {
		case "resync":
			if resyncs++; m.Lost || m.Position.Seq != at {
				t.Errorf("at %d: resync to %v, lost: %t", at, m.Position, m.Lost)
			}
			continue
		case "channel_update":
			list = []message{m.message}
		}
		for _, c := range list {
			if c.Seq != at+1 {
				t.Errorf("change %d comes after %d", c.Seq, at)
			}
			at = c.Seq
		}
	}
	return at, resyncs
}

// TestKillNode kills the node that owns a channel: the others go on with it, and no reader of theirs misses a change. A position of the
// killed node's client is good on another one.
func TestKillNode(t *testing.T) {
	nodes := clusterOf(t, 3)
	client := &http.Client{Timeout: 5 * time.Second}
	publish := func(s *server, channel string) (position, bool) {
		status, answer := post(client, "http://"+s.listen+"/v1/publish", fmt.Sprintf(`{"channel":%q,"data":1}`, channel))
		var told struct{ Position position }
		return told.Position, status == 200 && json.Unmarshal(answer, &told) == nil
	}
	// A channel of each node's, so that one is the killed node's, whoever that is.
	var channels []string
	for i := range times(40, 12) {
		channels = append(channels, fmt.Sprintf("kept:%d", i))
	}
	readers := make(map[string][]*follower)
	first := make(map[string]position)
	for _, channel := range channels {
		for _, s := range nodes[1:] {
			f, _ := follow(s, channel, nil)
			readers[channel] = append(readers[channel], f)
		}
		for i, s := range nodes {
			at, ok := publish(s, channel)
			if !ok || at.Seq != uint64(i+1) || i > 0 && at.Epoch != first[channel].Epoch {
				t.Fatalf("publication %d to %s is at %v, %t", i, channel, at, ok)
			}
			if i == 0 {
				first[channel] = at
			}
		}
		for _, f := range readers[channel] {
			until(t, "a reader has it", func() bool { at, _ := f.stands(t, 0); return at == 3 })
		}
	}
	nodes[0].kill()
	begun, moved := time.Now(), 0
	for _, channel := range channels {
		var at position
		until(t, "the channel goes on", func() (ok bool) {
			at, ok = publish(nodes[1], channel)
			return ok
		})
		if at.Epoch != first[channel].Epoch {
			moved++
		}
		for _, f := range readers[channel] {
			until(t, "a reader has it", func() bool { now, _ := f.stands(t, 0); return now >= at.Seq })
		}
		if _, answer := follow(nodes[2], channel, new(first[channel])); !answer.Recovered || len(answer.Changes) != int(at.Seq)-1 {
			t.Errorf("%s: resumed on another node: %+v", channel, answer)
		}
	}
	if moved == 0 {
		t.Error("the killed node owned none of the channels")
	}
	t.Logf("%d of %d channels have moved; all were served again after %v", moved, len(channels), time.Since(begun))
	goal(t, time.Since(begun) < 15*time.Second, "taking over took %v", time.Since(begun))

	nodes[0].start() // it comes back, as a new one
	for _, channel := range channels {
		if _, answer := follow(nodes[0], channel, new(first[channel])); !answer.Recovered {
			t.Errorf("%s: resumed on the node that came back: %+v", channel, answer)
		}
	}
}
