package route

import (
	"log/slog"
	"net"
	"strings"
	"testing"

	"github.com/VictoriaMetrics/metrics"

	"weir/batch"
	"weir/pool"
	"weir/relay/config"
	"weir/relay/hub"
	"weir/relay/stats"
)

// Messages of a group that cannot be made ready cost those who lack them their connection, and nobody else anything.
func TestPanicInRoom(t *testing.T) {
	cfg := config.Config{Auth: config.Auth{Keys: []config.TokenKey{{Algorithm: "HS256", Secret: strings.Repeat("s", 32)}}}, API: config.API{Keys: []config.APIKey{{Secret: strings.Repeat("k", 32)}}}}
	if err := cfg.Complete(); err != nil {
		t.Fatal(err)
	}
	counters := stats.New(metrics.NewSet(), func() float64 { return 0 })
	h, err := hub.New(&cfg, slog.New(slog.DiscardHandler), counters)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		h.Pool.Close()
		_ = h.Broker.Close()
		h.WorkerPool.Release()
	}()
	m := New(h, nil, nil, nil)
	g := m.NewGroup("board:1")
	near, far := net.Pipe()
	defer far.Close()
	member := &roomMember{missed: make(chan struct{})}
	conn := h.Pool.Open(near, hub.WS, false, member)
	defer conn.Remove(nil)
	conn.Join(g.topic, 0, nil, nil)
	g.mu.Lock()
	g.ordinal++
	g.window.Append(batch.Message{Bytes: []byte{markText | markAnswer}, Seq: g.ordinal}) // without the answer
	g.mu.Unlock()
	<-member.missed
	if n := counters.Panics.Get(); n != 1 {
		t.Errorf("%d panics are counted", n)
	}
}

// roomMember is the owner of a connection that is told when it has missed something.
type roomMember struct {
	pool.Owner
	missed chan struct{}
}

func (m *roomMember) Missed() { close(m.missed) }
