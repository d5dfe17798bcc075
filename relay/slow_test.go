package relay

import (
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"weir/internal/units"
	"weir/internal/wire"
	"weir/relay/config"
)

// narrowListener accepts the next connection so that the kernel keeps little for it, and a client that does
// not read is soon felt.
type narrowListener struct {
	net.Listener
	next atomic.Bool
}

func (l *narrowListener) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	if err == nil && l.next.Swap(false) {
		err = nc.(*net.TCPConn).SetWriteBuffer(32 << 10)
	}
	return nc, err
}

// launchNarrow is launch, and how a narrow connection is made. (The client's kernel keeps its share small by
// itself, as long as nothing is read.)
func launchNarrow(t *testing.T, cfg config.Config) (g *rig, narrow func() net.Conn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &narrowListener{Listener: ln}
	g = launchOn(t, cfg, l)
	return g, func() net.Conn {
		t.Helper()
		l.next.Store(true)
		nc := g.dial()
		g.until("it is accepted", func() bool { return !l.next.Load() })
		return nc
	}
}

// pour publishes n changes of about a KiB with a number in them, as the backend, in one request of NDJSON
// after the other. Each line is put together by line.
func (g *rig) pour(n int, line func(i int) string) {
	g.Helper()
	for i := 0; i < n; {
		var b strings.Builder
		for ; i < n && b.Len() < 256<<10; i++ {
			b.WriteString(line(i) + "\n")
		}
		a := g.ask("POST", "/v1/publish", b.String(), "Content-Type: application/x-ndjson", "Authorization: Bearer "+apiKey)
		if a.StatusCode != 200 || strings.Contains(a.body, "code") {
			g.Errorf("%d %.300s", a.StatusCode, a.body)
			return
		}
	}
}

var padding = strings.Repeat("p", 1000)

func numbered(channel, more string) func(int) string {
	return func(i int) string {
		return fmt.Sprintf(`{"channel":"%s"%s,"data":{"n":%d,"pad":"%s"}}`, channel, more, i, padding)
	}
}

// keenReader reads the changes of one channel and demands that none is missing.
type keenReader struct {
	*wsPeer
	seq  uint64
	next int
}

// upTo reads up to the change with a number.
func (f *keenReader) upTo(last int) {
	f.Helper()
	for f.next <= last {
		m := f.want2("channel_update", "batch")
		list := m.Messages
		if m.Type == "channel_update" {
			list = []message{m}
		}
		for _, u := range list {
			if f.seq != 0 && u.Seq != f.seq+1 {
				f.Fatalf("seq %d after %d", u.Seq, f.seq)
			}
			f.seq = u.Seq
			if !strings.HasPrefix(string(u.Data), fmt.Sprintf(`{"n":%d,`, f.next)) {
				f.Fatalf("got %.30s, want %d", u.Data, f.next)
			}
			f.next++
		}
	}
}

// want2 reads one message, which must have one of two types.
func (p *wsPeer) want2(a, b string) message {
	p.Helper()
	m := p.next()
	if m.Type != a && m.Type != b {
		p.Fatalf("%.200s, want %s or %s", m.raw, a, b)
	}
	return m
}

// publishAndFollow publishes n numbered changes, a few at a time, and has every reader get them at once.
func (g *rig) publishAndFollow(readers []*keenReader, n int, line func(i int) string) {
	g.Helper()
	for i := 0; i < n; i += 40 {
		g.pour(min(40, n-i), func(j int) string { return line(i + j) })
		for _, f := range readers {
			f.upTo(min(i+40, n) - 1)
		}
	}
}

// A client that never reads delays nobody: others get everything, in order, while it is stuck, and it is
// told why it had to go.
func TestReaderThatNeverReads(t *testing.T) {
	t.Parallel()
	for _, compress := range []bool{false, true} {
		cfg := openConfig()
		cfg.Limit.Queue = 128 * units.KiB
		cfg.Compression = compress
		g, narrow := launchNarrow(t, cfg)
		var lines []string
		if compress {
			lines = []string{offerDeflate}
		}
		stuck := g.wsOn(narrow(), "/ws", append(lines, "Authorization: Bearer "+mint(t, "stuck"))...)
		readers := []*keenReader{{wsPeer: g.ws("u1", lines...)}, {wsPeer: g.ws("u2")}, {wsPeer: g.ws("u3", lines...)}}
		for _, p := range []*wsPeer{readers[0].wsPeer, readers[1].wsPeer, readers[2].wsPeer, stuck} {
			p.say(`{"type":"subscribe","channel":"a"}`)
			p.want("subscribed")
		}
		line := numbered("a", "")
		if compress { // what does not shrink
			line = func(i int) string {
				return fmt.Sprintf(`{"channel":"a","data":{"n":%d,"pad":"%s"}}`, i, noise(i, 1000))
			}
		}
		g.publishAndFollow(readers, 600, line)
		if n := g.metric(`weir_slow_readers_total{reason="slow"}`); n != "1" {
			t.Errorf("%s slow readers, want 1", n)
		}
		stuck.wantClose(wire.CloseSlow)
		g.until("its session ends", func() bool { return g.relay.sessions.Count("stuck") == 0 })
		for _, f := range readers {
			f.alive()
		}
		if q := g.relay.hub.Pool.Stats().Queued; q != 0 {
			t.Errorf("%d bytes are still queued", q)
		}
	}
}

// noise is n characters that do not compress.
func noise(seed, n int) string {
	x := uint64(seed)*2654435761 + 88172645463325252
	b := make([]byte, n)
	for i := range b {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		b[i] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"[x&63]
	}
	return string(b)
}

// Under the policy resync the same client is caught up with what is true now, and stays.
func TestReaderThatResyncs(t *testing.T) {
	t.Parallel()
	cfg := openConfig()
	cfg.Limit.Queue = 128 * units.KiB
	g, narrow := launchNarrow(t, cfg)
	stuck := g.wsOn(narrow(), "/ws", "Authorization: Bearer "+mint(t, "stuck"))
	reader := &keenReader{wsPeer: g.ws("u1")}
	for _, p := range []*wsPeer{reader.wsPeer, stuck} {
		p.say(`{"type":"subscribe","channel":"resync:1"}`)
		p.want("subscribed")
	}
	const n = 1000
	g.publishAndFollow([]*keenReader{reader}, n, func(i int) string {
		return fmt.Sprintf(`{"channel":"resync:1","key":"k%d","data":{"n":%d,"pad":"%s"}}`, i, i, padding[:400])
	})
	var seq uint64
	state := map[string]bool{}
	var epoch string
	resynced := false
	for !state["k"+strconv.Itoa(n-1)] {
		switch m := stuck.next(); m.Type {
		case "resync":
			resynced = true
			if m.Position.Seq < seq {
				t.Fatalf("resync to %d after %d", m.Position.Seq, seq)
			}
			seq, epoch = m.Position.Seq, m.Position.Epoch
			clear(state)
			for k := range m.State["items"] {
				state[k] = true
			}
		case "channel_update", "batch":
			list := m.Messages
			if m.Type == "channel_update" {
				list = []message{m}
			}
			for _, u := range list {
				if seq != 0 && u.Seq != seq+1 {
					t.Fatalf("seq %d after %d without a word", u.Seq, seq)
				}
				seq = u.Seq
				state["k"+strings.TrimPrefix(strings.SplitN(string(u.Data), ",", 2)[0], `{"n":`)] = true
			}
		default:
			t.Fatalf("%.200s", m.raw)
		}
	}
	if !resynced || len(state) != n || epoch == "" {
		t.Errorf("resynced %v, %d items of %d", resynced, len(state), n)
	}
	g.publish(`{"channel":"resync:1","key":"after","data":1}`)
	if m := stuck.want("channel_update"); m.Seq != seq+1 {
		t.Errorf("afterwards seq %d, want %d", m.Seq, seq+1)
	}
	reader.want("channel_update")
}

// Who asks for a lot and reads none of the answers is given up as well.
func TestAnswersThatAreNotRead(t *testing.T) {
	t.Parallel()
	cfg := openConfig()
	cfg.Limit.Queue = 128 * units.KiB
	g, narrow := launchNarrow(t, cfg)
	g.pour(200, numbered("a", ""))
	p := g.wsOn(narrow(), "/ws", "Authorization: Bearer "+mint(t, "stuck"))
	for range 60 {
		p.say(`{"type":"history","id":1,"channel":"a","limit":200}`)
	}
	g.until("it is given up", func() bool { return g.metric(`weir_slow_readers_total{reason="slow"}`) == "1" })
	p.wantClose(wire.CloseSlow)
	g.until("the session ends", func() bool { return g.relay.sessions.Len() == 0 })
}

// An event stream that is not read is ended, and costs others nothing.
func TestStreamThatIsNotRead(t *testing.T) {
	t.Parallel()
	cfg := openConfig()
	cfg.Limit.Queue = 128 * units.KiB
	g, narrow := launchNarrow(t, cfg)
	nc := narrow()
	_, _ = io.WriteString(nc, "GET /sse?channel=a HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "+mint(t, "stuck")+"\r\n\r\n")
	reader := &keenReader{wsPeer: g.ws("u1")}
	reader.say(`{"type":"subscribe","channel":"a"}`)
	reader.want("subscribed")
	g.until("both are there", func() bool { return g.metric(`weir_connections_open{transport="sse"}`) == "1" })
	g.publishAndFollow([]*keenReader{reader}, 600, numbered("a", ""))
	g.until("the stream is given up", func() bool {
		return g.relay.sessions.Count("stuck") == 0 || g.metric(`weir_slow_readers_total{reason="slow"}`) == "1"
	})
	b, err := io.ReadAll(nc)
	if err != nil && !isReset(err) || !strings.Contains(string(b), `"code":4008`) {
		t.Errorf("%v, the stream ends in %q", err, b[max(0, len(b)-200):])
	}
}

// A client that has gone without a word is found by the ping that it does not answer.
func TestHalfOpenClient(t *testing.T) {
	t.Parallel()
	cfg := openConfig()
	cfg.Heartbeat, cfg.Pong = time.Second, 500*time.Millisecond
	g := launch(t, cfg)
	silent, answering, talking := g.ws("u1"), g.ws("u2"), g.ws("u3")
	stream := g.sse("u4", "a")
	over := make(chan struct{})
	go func() { // ends with the silent client: answers pings
		defer close(over)
		for {
			if _, _, err := answering.frame(); err != nil {
				return
			}
		}
	}()
	stop := make(chan struct{})
	go func() { // ends with the silent client: says something now and then, and never answers a ping
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				talking.raw(clientFrame(wire.OpText, nil)[:0], textFrame(`{"type":"ping"}`))
			case <-stop:
				return
			}
		}
	}()
	silent.mute = true
	if reason := silent.wantClose(wire.CloseNoPong); reason != "no pong" {
		t.Errorf("reason %q", reason)
	}
	close(stop)
	if line, err := stream.body.ReadString('\n'); err != nil || line == "" {
		t.Error(err)
	}
	for {
		line, err := stream.body.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if line == ":heartbeat\n" {
			break
		}
	}
	g.until("the others are left", func() bool { return g.relay.sessions.Len() == 3 })
	_ = answering.nc.Close()
	<-over
}
