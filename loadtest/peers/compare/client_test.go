package main

import (
	"bufio"
	"context"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"math/bits"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// stamped is a message of weir bench, made here.
func stamped(source, number uint64, due int64) string {
	const prime = 0x9e3779b97f4a7c15
	pad := "abcdefghijklmno"
	h := source*prime ^ number
	h = bits.RotateLeft64(h*prime, 31) ^ uint64(due)
	h = bits.RotateLeft64(h*prime, 29) * prime
	sum := crc32.Update(uint32(h>>32)^uint32(h), crc32.MakeTable(crc32.Castagnoli), []byte(pad))
	return fmt.Sprintf(`{"c":0,"s":%d,"n":%d,"t":%d,"x":"%08x%s"}`, source, number, due, sum, pad)
}

// frame is a text frame of a server.
func frame(text string) []byte {
	if len(text) < 126 {
		return append([]byte{0x81, byte(len(text))}, text...)
	}
	return append([]byte{0x81, 126, byte(len(text) >> 8), byte(len(text))}, text...)
}

// The C client counts what is missing, doubled and damaged, and measures latency and rate.
func TestReader(t *testing.T) {
	dir := t.TempDir()
	args := []string{"-O2", "-Wall", "-Wextra", "-Werror", "-o", dir + "/reader", "../reader/reader.c"}
	if out, err := exec.Command("cc", args...).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c := &comparison{places: places{bin: dir}}
	if err := os.WriteFile(dir+"/tokens", []byte("one\ntwo\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := c.startReader(context.Background(), l.Addr().String(), "/ws?channel=x", dir+"/tokens", time.Second, 2*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer r.stop()
	if err := r.open(2); err != nil {
		t.Fatal(err)
	}
	base := time.Now().Add(-time.Second) // so that what is due at 1 s is due now
	var conns []net.Conn
	for i := range 2 {
		conn, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		asked := ""
		for lines := bufio.NewReader(conn); !strings.HasSuffix(asked, "\r\n\r\n"); {
			line, err := lines.ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			asked += line
		}
		if !strings.HasPrefix(asked, "GET /ws?channel=x HTTP/1.1\r\n") || !strings.Contains(asked, "Bearer "+[]string{"one", "two"}[i]) {
			t.Error(asked)
		}
		if _, err := io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		conns = append(conns, conn)
	}
	say := func(i int, b []byte) {
		if _, err := conns[i].Write(b); err != nil {
			t.Fatal(err)
		}
	}
	due := int64(time.Second) - int64(50*time.Millisecond) // of the warm-up
	say(0, frame(`{"type":"connected"}`))
	say(0, frame(`{"messages":[{"data":`+stamped(3, 1, due)+`},{"data":`+stamped(3, 2, int64(time.Second))+`}]}`))
	say(0, frame(stamped(3, 5, int64(time.Second)))) // 3 and 4 are missing
	say(0, frame(stamped(3, 5, int64(time.Second)))) // once more
	whole := frame(stamped(4, 1, int64(time.Second)))
	say(1, whole[:7]) // in two pieces
	damaged := strings.Replace(stamped(4, 2, int64(time.Second)), "abc", "abd", 1)
	say(1, append(whole[7:], frame(damaged)...))
	say(1, []byte{0x89, 2, 'h', 'i'}) // a ping: its pong comes when all before it has been read
	pong := make([]byte, 8)
	if _, err := io.ReadFull(conns[1], pong); err != nil || string(pong[6:]) != "hi" || pong[0] != 0x8a {
		t.Errorf("%q, %v", pong, err)
	}
	say(0, []byte{0x89, 0})
	if _, err := io.ReadFull(conns[0], pong[:6]); err != nil {
		t.Fatal(err)
	}
	all, err := r.end()
	if err != nil {
		t.Fatal(err)
	}
	if all.Connections != 2 || all.Received != 4 || all.Missing != 2 || all.Again != 1 || all.Corrupted != 1 || all.Measured != 4 || all.Closed != 0 {
		t.Errorf("%+v", all)
	}
	s := all.seen(base, 0, time.Hour)
	if want := 5. / 3600 / 2; math.Abs(s.perConnection-want) > want/1000 {
		t.Errorf("%v messages a second, expected %v", s.perConnection, want)
	}
	if s.p50 < -1 || s.p50 > 60_000 || s.p99 < s.p50 {
		t.Errorf("p50 %v ms, p99 %v ms", s.p50, s.p99)
	}
}
