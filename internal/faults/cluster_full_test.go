//go:build faults

package faults

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	natsd "github.com/nats-io/nats-server/v2/server"
	client "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// filling publishes large changes to durable channels, and keeps what was acknowledged.
type filling struct {
	*promises
	client *http.Client
	n      int
}

// one makes a publication, with its key, and returns the answer. It is noted when it is acknowledged.
func (f *filling) one(channel, ack, data string) (status int, answer string) {
	f.Helper()
	f.n++
	status, b := post(f.client, "http://"+f.nodes[f.n%len(f.nodes)].listen+"/v1/publish", fmt.Sprintf(`{"channel":%q,"ack":%q,"data":%s}`, channel, ack, data))
	var told struct{ Position position }
	if status == 200 && ack == "replicated" && json.Unmarshal(b, &told) == nil {
		if f.list[channel] == nil {
			f.list[channel] = make(map[uint64]string)
		}
		f.list[channel][told.Position.Seq] = data
	}
	return status, string(b)
}

// large is the data of a publication, unlike any other.
func (f *filling) large() string { return fmt.Sprintf(`"%d %s"`, f.n, strings.Repeat("x", 48<<10)) }

// logs sets how much the logs may hold.
func (n *natsServers) logs(bytes int64) {
	n.Helper()
	conn, err := client.Connect(n.urls())
	if err != nil {
		n.Fatal(err)
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		n.Fatal(err)
	}
	for i := range 3 {
		until(n, "the log is limited", func() bool {
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			defer cancel()
			s, err := js.Stream(ctx, fmt.Sprint("WEIR_weir_L", i))
			if err != nil {
				return false
			}
			c := s.CachedInfo().Config
			c.MaxBytes = bytes
			_, err = js.UpdateStream(ctx, c)
			return err == nil
		})
	}
}

// While logs are full, publications get 503 until channels are on the shelf, by themselves. When servers have no room at all, those who want safety get 503, memory goes on, what is in memory is read, and all
// that was acknowledged is there when there is room again.
func TestClusterFull(t *testing.T) {
	n := startNATSWith(t, func(o *natsd.Options) { o.JetStreamMaxStore = int64(times(48, 24)) << 20 })
	nodes := clusterWith(t, 3, "", func(i int, s *server) {
		durableNodes(i, s)
		s.args = []string{"--node", fmt.Sprint("weir-", i), "--cluster", n.urls()}
	})
	f := &filling{promises: &promises{TB: t, nodes: nodes, list: make(map[string]map[uint64]string)}, client: &http.Client{Timeout: 20 * time.Second}}
	channels := names("orders", 12)
	for _, channel := range channels {
		until(t, "each channel is served", func() bool { status, _ := f.one(channel, "replicated", "1"); return status == 200 })
	}
	n.logs(2 << 20)
	refused := 0
	for i := range 12 * times(24, 12) { // 13 MiB, through logs of 6
		until(t, "it is taken when there is room", func() bool {
			status, answer := f.one(channels[i%12], "replicated", f.large())
			if status != 200 && (status != 503 || !strings.Contains(answer, `"storage"`) && !strings.Contains(answer, `"unavailable"`)) {
				t.Fatalf("while a log is full: %d %s", status, answer)
			}
			if status != 200 {
				refused++
			}
			return status == 200
		})
	}
	t.Logf("with logs of 2 MiB: %d publications were refused at first", refused)
	n.logs(-1)
	full := func() bool {
		status, answer := f.one(channels[0], "replicated", f.large())
		return status == 503 && strings.Contains(answer, `"storage"`)
	}
	until(t, "the servers are full", func() bool {
		for i := range 12 {
			f.one(channels[i], "replicated", f.large())
		}
		return full() && full() && full()
	})
	begun := time.Now()
	if !full() || time.Since(begun) > 2*time.Second {
		t.Errorf("a refusal took %v", time.Since(begun))
	}
	if status, answer := f.one(channels[0], "memory", "2"); status != 200 {
		t.Errorf("ack memory: %d %s", status, answer)
	}
	if status, answer := f.one("kept:1", "memory", "3"); status != 200 {
		t.Errorf("a channel in memory: %d %s", status, answer)
	}
	for i, channel := range channels {
		if status, answer := ask("http://" + nodes[i%3].listen + "/v1/channels/" + channel + "/history?limit=1"); status != 200 {
			t.Errorf("what is in memory: %d %s", status, answer)
		}
	}
	if status, answer := ask("http://" + nodes[0].listen + "/v1/channels/orders:never-seen"); status != 503 {
		t.Errorf("what is not in memory: %d %s", status, answer)
	}
	for i := range 3 {
		n.end(i)
		n.options[i].JetStreamMaxStore = 1 << 30
		n.begin(i)
	}
	for _, channel := range channels {
		until(t, "it heals", func() bool { status, _ := f.one(channel, "replicated", "4"); return status == 200 })
	}
	f.judge()
}
