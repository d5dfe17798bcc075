package pusher_test

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"weir/internal/process"
	"weir/internal/units"
	"weir/relay/systems/pusher"
)

// BenchmarkWhispers has members of a channel whisper ten times a second each: CPU time of both sides for a delivery, of which there are
// as many as pairs of members.
func BenchmarkWhispers(b *testing.B) {
	for _, members := range []int{50, 100, 200} {
		b.Run(fmt.Sprint(members), func(b *testing.B) {
			g := start(b, func(a *pusher.App) {
				a.Limit.Members = 1000
				a.Limit.ClientEvents = units.Rate{Count: 1000, Per: time.Second}
			})
			var heard atomic.Int64
			var readers sync.WaitGroup
			conns := make([]net.Conn, members)
			joined := make(chan struct{}, members)
			for i := range conns {
				nc, err := net.Dial("tcp", strings.TrimPrefix(g.URL, "http://"))
				if err != nil {
					b.Fatal(err)
				}
				conns[i] = nc
				_, _ = io.WriteString(nc, "GET /app/"+appKey+"?protocol=7 HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n")
				r := bufio.NewReader(nc)
				for line := ""; line != "\r\n"; {
					if line, err = r.ReadString('\n'); err != nil {
						b.Fatal(err)
					}
				}
				_, greeting, _ := strings.Cut(string(frame(r)), `\"socket_id\":\"`)
				id, _, _ := strings.Cut(greeting, `\"`)
				data := fmt.Sprintf(`{\"user_id\":%d}`, i)
				writeFrame(nc, fmt.Sprintf(`{"event":"pusher:subscribe","data":{"channel":"presence-x","auth":"%s","channel_data":"%s"}}`, sign(id, "presence-x", strings.ReplaceAll(data, `\`, "")), data))
				readers.Go(func() {
					for message := frame(r); message != nil; message = frame(r) {
						switch text := string(message); {
						case strings.HasPrefix(text, `{"event":"client-`):
							heard.Add(1)
						case strings.HasPrefix(text, `{"event":"pusher_internal:subscription_succeeded`):
							joined <- struct{}{}
						}
					}
				})
				<-joined
			}
			before := process.CPUTime()
			b.ResetTimer()
			tick := time.NewTicker(100 * time.Millisecond)
			defer tick.Stop()
			for range b.N { // one round
				for _, nc := range conns {
					writeFrame(nc, `{"event":"client-typing","channel":"presence-x","data":{"at":12345}}`)
				}
				<-tick.C
			}
			for heard.Load() < int64(b.N*members*(members-1)) {
				<-tick.C
			}
			used := process.CPUTime() - before
			b.ReportMetric(float64(used)/float64(heard.Load()), "cpu-ns/delivery")
			for _, nc := range conns {
				_ = nc.Close()
			}
			readers.Wait()
			g.Stop()
		})
	}
}

// frame reads a message; nil at the end.
func frame(r *bufio.Reader) []byte {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:2]); err != nil {
		return nil
	}
	size := int(head[1])
	switch size {
	case 126:
		if _, err := io.ReadFull(r, head[2:]); err != nil {
			return nil
		}
		size = int(binary.BigEndian.Uint16(head[2:]))
	case 127:
		var long [8]byte
		if _, err := io.ReadFull(r, long[:]); err != nil {
			return nil
		}
		size = int(binary.BigEndian.Uint64(long[:]))
	}
	message := make([]byte, size)
	if _, err := io.ReadFull(r, message); err != nil {
		return nil
	}
	return message
}

// writeFrame writes a message as a client does.
func writeFrame(nc net.Conn, text string) {
	head := []byte{0x81, 0x80 | byte(min(len(text), 126))}
	if len(text) >= 126 {
		head = binary.BigEndian.AppendUint16(head, uint16(len(text)))
	}
	_, _ = nc.Write(append(append(head, 0, 0, 0, 0), text...))
}
