package pool

import (
	"fmt"
	"net"
	"runtime"
	"testing"
	"time"

	"weir/internal/rawsock"
)

// quiet is an Owner that nothing should happen to.
type quiet struct{ b *testing.B }

func (quiet) Tail(dst []byte, _ *Topic, f *Frame) []byte {
	return append(append(dst, "id: "...), byte('0'+f.Last%10), '\n', '\n')
}
func (q quiet) Slow()             { q.b.Error("a reader is too slow") }
func (q quiet) Missed()           { q.b.Error("a frame is missing") }
func (q quiet) Resync(*Topic)     { q.b.Error("a reader is too slow") }
func (quiet) Readable()           {}
func (quiet) Heartbeat(time.Time) {}
func (quiet) Check(time.Time)     {}

// BenchmarkFanOut is one frame, delivered to every subscriber over a loopback socket: one operation is one
// pass. The server has one processor and one shard, the readers are another process on another one. A
// pass begins when the readers have read the one before; what they take is not counted unless the server
// has to wait for it (queued/op says how often it had to).
//
// ns/delivery is the time of a pass for one message to one subscriber, cpu-ns/delivery the processor time
// of the server for it.
func BenchmarkFanOut(b *testing.B) {
	for _, subs := range []int{1000, 5000} {
		for _, messages := range []int{1, 10, 50} {
			for _, tailed := range []bool{false, true} {
				if tailed && messages != 50 {
					continue
				}
				b.Run(fmt.Sprintf("subs=%d/messages=%d/size=128/tailed=%v", subs, messages, tailed), func(b *testing.B) {
					fanOut(b, subs, messages, tailed)
				})
			}
		}
	}
}

func fanOut(b *testing.B, subs, messages int, tailed bool) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	r := startReaders(b, subs)
	defer r.stop()
	if cpus := allowed(); len(cpus) > 1 {
		pin(cpus[:1])
		defer pin(cpus)
	}
	var m Meter
	p := New(Config{Shards: 1})
	defer p.Close()
	tp := p.Topic(Disconnect, &m)
	for _, nc := range r.conns {
		p.Open(nc, plain, tailed, quiet{b}).Join(tp, 0, nil, nil)
	}
	p.Flush()
	body := make([]byte, messages*130+60)
	size := len(body)
	if tailed {
		size = len(quiet{}.Tail(body, nil, &Frame{}))
	}
	last := uint64(0)
	var busy time.Duration
	cpu := int64(0)
	pass := func() {
		last++
		f := &Frame{Last: last, Count: int32(messages)}
		f.Bytes[plain] = body
		at, used := time.Now(), cpuTime()
		tp.Deliver(f)
		p.Flush()
		busy += time.Since(at)
		cpu += cpuTime() - used
		r.sent(b, uint64(size*subs))
	}
	pass() // sockets and slices have their size after one
	busy, cpu = 0, 0
	before, messagesBefore := p.Stats(), m.Messages.Load()
	b.ReportAllocs()
	for b.Loop() {
		pass()
	}
	deliveries := float64(m.Messages.Load() - messagesBefore)
	if want := float64(b.N * subs * messages); deliveries != want {
		b.Fatalf("%v deliveries, want %v", deliveries, want)
	}
	b.ReportMetric(deliveries/busy.Seconds(), "deliveries/s")
	b.ReportMetric(float64(busy)/deliveries, "ns/delivery")
	b.ReportMetric(float64(cpu)/deliveries, "cpu-ns/delivery")
	b.ReportMetric(float64(p.Stats().Writes-before.Writes)/float64(b.N)-float64(subs), "queued/op")
	b.ReportMetric(float64(busy)/float64(b.N), "ns/pass")
}

// BenchmarkWrite is what the pool is measured against: nothing but the writes, with net.Conn.Write and with
// the call that the pool makes.
func BenchmarkWrite(b *testing.B) {
	ways := map[string]func(fd int, nc net.Conn, body []byte) (int, error){
		"net.Conn": func(_ int, nc net.Conn, body []byte) (int, error) { return nc.Write(body) },
		"sendto":   func(fd int, _ net.Conn, body []byte) (int, error) { return rawsock.Send(fd, body) },
	}
	for way, write := range ways {
		for _, messages := range []int{1, 50} {
			b.Run(fmt.Sprintf("way=%s/subs=5000/messages=%d/size=128", way, messages), func(b *testing.B) {
				defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
				r := startReaders(b, 5000)
				defer r.stop()
				if cpus := allowed(); len(cpus) > 1 {
					pin(cpus[:1])
					defer pin(cpus)
				}
				body := make([]byte, messages*130+60)
				var fds []int
				for _, nc := range r.conns {
					_ = rawsock.Control(nc.(*net.TCPConn), func(fd int) error { fds = append(fds, fd); return nil })
				}
				var busy time.Duration
				b.ReportAllocs()
				for b.Loop() {
					at := time.Now()
					for i, nc := range r.conns {
						if n, err := write(fds[i], nc, body); n < len(body) {
							b.Fatal(err)
						}
					}
					busy += time.Since(at)
					r.sent(b, uint64(len(body)*len(r.conns)))
				}
				b.ReportMetric(float64(busy)/float64(b.N*len(r.conns)*messages), "ns/delivery")
			})
		}
	}
}
