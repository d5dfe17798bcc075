package relaytest_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"weir/relay/relaytest"
)

// line is a connection whose requests come one behind the other.
type line struct {
	testing.TB
	net.Conn
	in *bufio.Reader
}

func dial(g *relaytest.Rig) *line {
	g.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(g.URL, "http://"))
	if err != nil {
		g.Fatal(err)
	}
	g.Cleanup(func() { _ = conn.Close() })
	return &line{g, conn, bufio.NewReader(conn)}
}

// ask sends requests without waiting for their answers.
func (l *line) ask(bodies ...string) {
	l.Helper()
	var b strings.Builder
	for _, body := range bodies {
		fmt.Fprintf(&b, "POST /v1/publish HTTP/1.1\r\nHost: relay\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s", relaytest.Key, len(body), body)
	}
	if _, err := l.Write([]byte(b.String())); err != nil {
		l.Fatal(err)
	}
}

// answer is the next answer: its status, and what it says.
func (l *line) answer() (status int, seq uint64) {
	l.Helper()
	_ = l.SetReadDeadline(time.Now().Add(relaytest.Patience))
	resp, err := http.ReadResponse(l.in, nil)
	if err != nil {
		l.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	var told struct{ Position struct{ Seq uint64 } }
	if err := json.NewDecoder(resp.Body).Decode(&told); err != nil {
		l.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, told.Position.Seq
}

// Publications on one connection, to channels of all nodes, are answered in their order, each with its position or with what its owner says, and the connection stays at
// its event loop. Those to a node that does not answer hold up nobody else's.
func TestForwarding(t *testing.T) {
	n := relaytest.Cluster(t, 3, patient, nil)
	a := n.Rigs[0]
	for node := range 3 {
		n.Move(fmt.Sprint("hall:", node), node)
		relaytest.Until(t, "the channel has moved", func() bool {
			status, _ := a.Backend("POST", "/v1/publish", map[string]any{"channel": fmt.Sprint("hall:", node), "op": "set", "key": "k", "data": "text"})
			return status == 200
		})
	}
	passed := func() float64 {
		if runtime.GOOS != "linux" {
			return 0
		}
		return a.Gauge("weir_connections_passed_total")
	}
	before, forwarded := passed(), a.Gauge("weir_cluster_forwarded_total")
	l := dial(a)
	var bodies []string
	for i := range 40 {
		bodies = append(bodies, fmt.Sprintf(`{"channel":"hall:%d","data":%d}`, i%3, i))
		if i%10 == 9 {
			bodies = append(bodies, fmt.Sprintf(`{"channel":"hall:%d","op":"append","key":"k","offset":99,"data":"x"}`, i/10%3))
		}
	}
	l.ask(bodies...)
	next := [3]uint64{2, 2, 2} // the first was the set
	for i, request := range bodies {
		status, seq := l.answer()
		if strings.Contains(request, "append") {
			if status != 409 {
				t.Errorf("answer %d, to %s: %d", i, request, status)
			}
			continue
		}
		node := request[len(`{"channel":"hall:`)] - '0'
		if status != 200 || seq != next[node] {
			t.Errorf("answer %d, to %s: %d at %d, not at %d", i, request, status, seq, next[node])
		}
		next[node]++
	}
	if got := passed(); got != before {
		t.Errorf("%v connections have left the event loop", got-before)
	}
	if a.Gauge("weir_cluster_forwarded_total") == forwarded {
		t.Error("nothing was handed on: the test says nothing")
	}

	n.Cut(1)
	stuck, other := dial(a), dial(a)
	begun := time.Now()
	stuck.ask(`{"channel":"hall:1","data":1}`)
	other.ask(`{"channel":"hall:2","data":1}`)
	if status, _ := other.answer(); status != 200 {
		t.Errorf("to a node that is there: %d", status)
	}
	if time.Since(begun) < time.Second { // or the other one may have been given up
		_ = stuck.SetReadDeadline(time.Now().Add(time.Millisecond))
		if _, err := stuck.in.Peek(1); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("an answer of a node that is cut off: %v", err)
		}
	}
	if status, _ := stuck.answer(); status != 503 && status != 200 { // or it was taken over, and made there
		t.Errorf("to a node that is cut off: %d", status)
	}
}
