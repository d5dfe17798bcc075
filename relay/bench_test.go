package relay

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"weir/batch"
	"weir/broker"
	"weir/internal/wire"
	"weir/pool"
	"weir/relay/hub"
	"weir/relay/ingress"
	"weir/relay/session"
)

// serving is a relay for a benchmark. What it logs goes nowhere.
func serving(tb testing.TB) *rig {
	tb.Helper()
	cfg := openConfig()
	cfg.Drain = time.Millisecond
	cfg.Limit.Subscriptions = 1 << 20
	return launch(tb, cfg)
}

// request is a publish request as the server hands it over.
func request(kind, body string) *fasthttp.RequestCtx {
	ctx := new(fasthttp.RequestCtx)
	raw := fmt.Sprintf("POST %s HTTP/1.1\r\nHost: relay\r\nAuthorization: Bearer %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s", ingress.PublishPath, apiKey, kind, len(body), body)
	ctx.Init2(benchConn{}, nil, false)
	if err := ctx.Request.Read(bufio.NewReader(strings.NewReader(raw))); err != nil {
		panic(err)
	}
	return ctx
}

// benchConn is a connection that is never read or written.
type benchConn struct{ net.Conn }

func (benchConn) RemoteAddr() net.Addr { return &net.TCPAddr{} }

// The whole way of a backend's request through the relay, from the parsed request to the encoded answer:
// hygiene, key, JSON, channel. Nobody follows the channels.
func BenchmarkPublishRequest(b *testing.B) {
	for _, size := range []int{16, 128, 1024} {
		b.Run(fmt.Sprintf("op=send/size=%d", size), func(b *testing.B) {
			g := serving(b)
			body := `{"channel":"bench:1","data":"` + strings.Repeat("x", size) + `"}`
			ctx := request("application/json", body)
			b.ReportAllocs()
			handle := g.relay.api.HTTP().Handler
			for b.Loop() {
				ctx.Response.Reset()
				handle(ctx)
			}
			if ctx.Response.StatusCode() != 200 {
				b.Fatalf("%s", ctx.Response.Body())
			}
		})
	}
	b.Run("op=set/size=128", func(b *testing.B) {
		g := serving(b)
		ctx := request("application/json", `{"channel":"bench:1","group":"g","key":"k","data":"`+strings.Repeat("x", 128)+`"}`)
		b.ReportAllocs()
		handle := g.relay.api.HTTP().Handler
		for b.Loop() {
			ctx.Response.Reset()
			handle(ctx)
		}
	})
}

func BenchmarkPublishLines(b *testing.B) {
	for _, channels := range []int{1, 100} {
		linesBench(b, fmt.Sprintf("lines=100/channels=%d/size=128", channels), channels, "")
		linesBench(b, fmt.Sprintf("lines=100/channels=%d/size=128/answers=errors", channels), channels, "?"+hub.AnswersErrors)
	}
}

func linesBench(b *testing.B, name string, channels int, query string) {
	b.Run(name, func(b *testing.B) {
		g := serving(b)
		var body strings.Builder
		for i := range 100 {
			fmt.Fprintf(&body, `{"channel":"bench:%d","data":"%s"}`+"\n", i%channels, strings.Repeat("x", 128))
		}
		ctx := request("application/x-ndjson", body.String())
		ctx.Request.SetRequestURI(ingress.PublishPath + query)
		b.ReportAllocs()
		handle := g.relay.api.HTTP().Handler
		for b.Loop() {
			ctx.Response.Reset()
			handle(ctx)
		}
		b.ReportMetric(float64(b.N)*100/b.Elapsed().Seconds(), "msg/s")
		answer := string(ctx.Response.Body())
		if n := strings.Count(answer, "position"); n != 100 && !strings.Contains(answer, `{"accepted":100,`) {
			b.Fatalf("%d of 100 accepted", n)
		}
	})
}

// Building the frames of a batch and posting them to the shards, for subscribers of one or two encodings
// who are on another shard's loop.
func BenchmarkFlush(b *testing.B) {
	for _, messages := range []int{1, 50} {
		for _, encodings := range []string{"ws", "ws+sse"} {
			b.Run(fmt.Sprintf("messages=%d/size=128/encodings=%s", messages, encodings), func(b *testing.B) {
				g := serving(b)
				taker := &taker{relay: g.relay}
				taker.open(b, "bench:1", encodings)
				f := taker.feed
				var seq uint64
				var sink flushing
				bb := batch.New(batch.Config{})
				w := bb.Window(batch.Options{Window: time.Hour}, &sink)
				data := []byte(`{"seq":123456,"op":"send","data":"` + strings.Repeat("x", 128) + `"}`)
				b.ReportAllocs()
				for b.Loop() {
					for range messages {
						seq++
						w.Append(batch.Message{Bytes: data, Seq: seq})
					}
					sink.feed = f
					bb.FlushAll(time.Now())
				}
				b.ReportMetric(float64(b.N)*float64(messages)/b.Elapsed().Seconds(), "msg/s")
			})
		}
	}
}

// flushing hands batches to a feed.
type flushing struct{ feed *hub.Fanout }

func (f *flushing) Flush(b *batch.Batch) { f.feed.Flush(b) }
func (f *flushing) Missed(last uint64)   { f.feed.Missed(last) }

// taker joins a channel's feed with connections that throw away what they get.
type taker struct {
	relay *Relay
	feed  *hub.Fanout
}

func (k *taker) open(b *testing.B, channel, encodings string) {
	ch, err := k.relay.hub.Broker.Join(channel, broker.JoinRequest{}, func(out broker.Subscriber, r broker.Reply) {
		k.feed = out.(*hub.Fanout)
		k.feed.Begin(r.Position)
	})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(ch.Leave)
	for i, enc := range []pool.Encoding{hub.WS, hub.SSE} {
		if i > 0 && encodings == "ws" {
			break
		}
		near, far := net.Pipe()
		conn := k.relay.hub.Pool.Open(near, enc, false, owner{})
		conn.Join(k.feed.Topic, 0, nil, nil)
		var reading sync.WaitGroup
		reading.Go(func() { _, _ = io.Copy(io.Discard, far) })
		b.Cleanup(func() {
			conn.Remove(nil)
			_ = far.Close()
			reading.Wait()
		})
	}
}

// answerOK is an answer to a command.
var answerOK = wire.TextFrame([]byte(`{"type":"ok","id":1}`))

// A client's subscribe, from the parsed command to the answer in its shard's mailbox, and the unsubscribe
// that ends it, for many channels in turn: coming back to one at once would wait for the shard.
func BenchmarkSubscribe(b *testing.B) {
	for _, items := range []int{0, 100} {
		b.Run(fmt.Sprintf("items=%d", items), func(b *testing.B) {
			g := serving(b)
			channels := make([]string, 256)
			for n := range channels {
				channels[n] = fmt.Sprint("bench:", n)
				for i := range items {
					g.relay.mustPublish(b, fmt.Sprintf(`{"channel":"bench:%d","key":"k%d","data":"%s"}`, n, i, strings.Repeat("x", 64)))
				}
			}
			p := g.ws("u1")
			go func() { _, _ = io.Copy(io.Discard, p.nc) }() // ends with the connection
			s := g.relay.sessions.Session(p.hello.ConnectionID)
			p.deadline(time.Hour)
			b.ReportAllocs()
			for n := 0; b.Loop(); n++ {
				c := channels[n%len(channels)]
				if err := s.Subscribe(&session.SubscribeRequest{Channel: c, ID: []byte("1")}); err != nil {
					b.Fatal(err)
				}
				if !s.Unsubscribe(c, answerOK) {
					b.Fatal("not subscribed")
				}
			}
		})
	}
}

// benchCommands are commands of a client, and how many objects one of them may cost until its answer is with the kernel.
var benchCommands = map[string]struct {
	message string
	objects float64
}{
	"ping":    {`{"type":"ping","id":1}`, 1},
	"publish": {`{"type":"publish","id":1,"channel":"bench:1","data":"` + strings.Repeat("x", 128) + `"}`, 3},
	"history": {`{"type":"history","id":1,"channel":"bench:2","limit":10}`, 5},
}

// commanding returns a session whose commands are read by nobody, and limited by nothing.
func commanding(tb testing.TB) *session.Session {
	g := serving(tb)
	for i := range 20 {
		g.relay.mustPublish(tb, fmt.Sprintf(`{"channel":"bench:2","data":%d}`, i))
	}
	p := g.ws("u1")
	p.deadline(time.Hour)
	go func() { _, _ = io.Copy(io.Discard, p.nc) }() // ends with the connection
	g.relay.hub.Config.Limit.Commands.Count = 1 << 40
	return g.relay.sessions.Session(p.hello.ConnectionID)
}

// A client's commands, from the bytes of the message to the answer in its shard's mailbox.
func BenchmarkCommand(b *testing.B) {
	for name, command := range benchCommands {
		b.Run("type="+name, func(b *testing.B) {
			s, message := commanding(b), []byte(command.message)
			b.ReportAllocs()
			for b.Loop() {
				s.Message(message, false)
			}
		})
	}
}

func TestCommandAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector empties pools")
	}
	s := commanding(t)
	for name, command := range benchCommands {
		message := []byte(command.message)
		if n := testing.AllocsPerRun(500, func() { s.Message(message, false) }); n > command.objects { // a whole number: what else goes on is less than one
			t.Errorf("%s: %v objects, want %v", name, n, command.objects)
		}
	}
}
