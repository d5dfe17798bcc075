package relay

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"weir/broker/disk/memdisk"
)

// slowDisk is what a disk does when it syncs.
type slowDisk struct {
	mu   sync.Mutex
	shut chan struct{} // closed to let it go on; nil: it does
	err  error
}

func (d *slowDisk) before(op string) error {
	if op != "sync" {
		return nil
	}
	d.mu.Lock()
	shut, err := d.shut, d.err
	d.mu.Unlock()
	if shut != nil {
		<-shut
	}
	return err
}

// hang has it hang until it is opened.
func (d *slowDisk) hang() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.shut = make(chan struct{})
}

func (d *slowDisk) open() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.shut != nil {
		close(d.shut)
		d.shut = nil
	}
}

func (d *slowDisk) fail(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.err = err
}

// durableRig has the namespace kept on a disk of the test's. Its channels are in memory.
func durableRig(t *testing.T, prepare ...func(*Relay)) (*rig, *slowDisk) {
	t.Helper()
	d := new(slowDisk)
	cfg := openConfig()
	kept(t.TempDir())(&cfg)
	cfg.Wal = memdisk.New(d.before)
	g := launch(t, cfg, prepare...)
	t.Cleanup(d.open) // before the relay is stopped
	return g, d
}

// owedAtMost is how many answers a connection may wait for.
const owedAtMost = 64

func keptRequest(channel string) string {
	return plainRequest("", `{"channel":"kept:`+channel+`","data":1}`)
}

func memoryRequest(channel string) string {
	return plainRequest("", `{"channel":"`+channel+`","data":1}`)
}

// expectSeq reads one answer.
func expectSeq(t testing.TB, r *bufio.Reader, what string, seq int) {
	t.Helper()
	if a := readRaw(t, r); !strings.HasPrefix(a, "HTTP/1.1 200 ") || !strings.HasSuffix(a, fmt.Sprintf(`"seq":%d}}`, seq)) {
		t.Fatalf("%s %d: %s", what, seq, a)
	}
}

// silent fails the test if something has come that must not.
func silent(t testing.TB, nc net.Conn, r *bufio.Reader) {
	t.Helper()
	_ = nc.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
	if b, err := r.Peek(1); err == nil {
		rest, _ := r.Peek(r.Buffered())
		t.Fatalf("answered: %q %q", b, rest)
	}
	_ = nc.SetReadDeadline(time.Now().Add(patience))
}

// published waits until a channel has so many changes.
func (g *rig) published(channel string, seq uint64) {
	g.Helper()
	g.until(fmt.Sprintf("%s at %d", channel, seq), func() bool {
		_, _, at, _ := g.relay.hub.Broker.History(channel, 0, 1)
		return at.Seq == seq
	})
}

// Answers come in the order of the requests, whatever they wait for, and the connection stays at its event loop.
func TestOwedInOrder(t *testing.T) {
	t.Parallel()
	g, d := durableRig(t)
	nc := g.dial()
	r := bufio.NewReader(nc)
	for range 99 { // so that no two channels are at the same
		answerOn(t, nc, memoryRequest("m"))
	}
	answerOn(t, nc, keptRequest("a"))
	for range 10 {
		answerOn(t, nc, keptRequest("b"))
	}
	d.hang()
	m, a, b := 99, 1, 10
	const rounds = 100 // more than may be owed
	go func() {        // ends when all is read
		_, _ = io.WriteString(nc, memoryRequest("m")+strings.Repeat(keptRequest("a")+memoryRequest("m")+memoryRequest("m")+keptRequest("b"), rounds))
	}()
	m++
	expectSeq(t, r, "m", m) // it stands before all that waits
	g.until("something waits", func() bool {
		_, _, at, _ := g.relay.hub.Broker.History("kept:b", 0, 1)
		return at.Seq > 10
	})
	silent(t, nc, r)
	d.open()
	for range rounds {
		expectSeq(t, r, "a", a+1)
		expectSeq(t, r, "m", m+1)
		expectSeq(t, r, "m", m+2)
		expectSeq(t, r, "b", b+1)
		a, b, m = a+1, b+1, m+2
	}
	if n := g.metric("weir_connections_passed_total"); n != "0" {
		t.Errorf("%s connections were passed on", n)
	}
	if n := g.metric(`weir_http_requests_total{class="2xx"}`); n != fmt.Sprint(99+11+1+4*rounds) {
		t.Errorf("%s answers were counted", n)
	}
}

// What could not be made safe is told as the HTTP server tells it, in its place, and the connection lives.
func TestOwedByAFailingDisk(t *testing.T) {
	t.Parallel()
	g, d := durableRig(t)
	nc, there := g.dial(), g.dial()
	answerOn(t, nc, keptRequest("a"))
	answerOn(t, there, strings.Replace(keptRequest("a"), "Host", "X-Other: 1\r\nHost", 1))
	d.hang()
	d.fail(memdisk.ErrFull)
	_, _ = io.WriteString(nc, keptRequest("a")+memoryRequest("m")+keptRequest("a"))
	g.published("m", 1)
	g.published("kept:a", 4)
	_, _ = io.WriteString(there, strings.Replace(keptRequest("a"), "Host", "X-Other: 1\r\nHost", 1))
	g.published("kept:a", 5)
	d.open()
	r := bufio.NewReader(nc)
	want := number.ReplaceAllString(readRaw(t, bufio.NewReader(there)), "")
	if !strings.HasPrefix(want, "HTTP/1.1 503 ") || !strings.Contains(want, `"code":"storage"`) {
		t.Fatal(want)
	}
	for i := range 3 {
		a := readRaw(t, r)
		if i == 1 && !strings.HasSuffix(a, `"seq":1}}`) || i != 1 && number.ReplaceAllString(a, "") != want {
			t.Errorf("answer %d:\n%s\nfrom the server\n%s", i, a, want)
		}
	}
	if a := number.ReplaceAllString(answerOn(t, nc, keptRequest("a")), ""); a != want { // it is refused at once
		t.Errorf("\n%s\nfrom the server\n%s", a, want)
	}
	d.fail(nil)
	g.until("the disk has healed", func() bool { return g.metric("weir_disk_failing") == "0" })
	if a := answerOn(t, nc, keptRequest("a")); !strings.HasPrefix(a, "HTTP/1.1 200 ") {
		t.Error(a)
	}
	if n := g.metric("weir_connections_passed_total"); n != "1" {
		t.Errorf("%s connections were passed on", n)
	}
}

// While the disk hangs, those are served who do not wait for it, and those who do are owed no more than they may be.
func TestOwedByAHangingDisk(t *testing.T) {
	t.Parallel()
	g, d := durableRig(t)
	nc := g.dial()
	answerOn(t, nc, keptRequest("a"))
	d.hang()
	const many = 3*owedAtMost + 1
	go func() { _, _ = io.WriteString(nc, strings.Repeat(keptRequest("a"), many)) }() // ends when all is read
	g.published("kept:a", 1+owedAtMost)
	for i := range 8 { // at all event loops
		other := g.dial()
		if a := answerOn(t, other, memoryRequest("m")); !strings.HasSuffix(a, fmt.Sprintf(`"seq":%d}}`, i+1)) {
			t.Error(a)
		}
		if a := answerOn(t, other, plainRequest("", `{"channel":"kept:b","data":1,"ack":"memory"}`)); !strings.HasSuffix(a, fmt.Sprintf(`"seq":%d}}`, i+1)) {
			t.Error(a)
		}
	}
	r := bufio.NewReader(nc)
	silent(t, nc, r)
	g.published("kept:a", 1+owedAtMost)
	d.open()
	for i := range many {
		expectSeq(t, r, "a", i+2)
	}
}

// An event loop has no more publications wait for the disk than it may. Others wait, are not forgotten, and hold up nobody.
func TestLoopOwesNoMore(t *testing.T) {
	t.Parallel()
	const most = 3
	g, d := durableRig(t, func(r *Relay) { r.gate.MaxPending = most })
	g.publish(`{"channel":"kept:a","data":1}`)
	d.hang()
	loops := runtime.GOMAXPROCS(0)
	list := make([]net.Conn, 4*most*loops)
	for i := range list { // one after the other at each loop
		list[i] = g.dial()
		_, _ = io.WriteString(list[i], keptRequest("a")+memoryRequest("m"))
		g.published("kept:a", uint64(1+min(i+1, most*loops)))
	}
	if a := answerOn(t, g.dial(), memoryRequest("n")); !strings.HasSuffix(a, `"seq":1}}`) {
		t.Error(a)
	}
	g.published("kept:a", uint64(1+most*loops))
	_ = list[most*loops].Close()
	d.open()
	for i, nc := range list {
		if i == most*loops {
			continue
		}
		r := bufio.NewReader(nc)
		for range 2 {
			if a := readRaw(t, r); !strings.HasPrefix(a, "HTTP/1.1 200 ") {
				t.Errorf("connection %d: %s", i, a)
			}
		}
	}
}

// Who goes away while something is owed costs nothing, and what was owed goes to nobody else.
func TestOwedToTheGone(t *testing.T) {
	t.Parallel()
	g, d := durableRig(t)
	g.publish(`{"channel":"kept:a","data":1}`)
	d.hang()
	const many = 40
	for i := range many {
		nc := g.dial()
		_, _ = io.WriteString(nc, keptRequest("a"))
		g.published("kept:a", uint64(i+2))
		_ = nc.(*net.TCPConn).SetLinger(0)
		_ = nc.Close()
	}
	g.until("they are gone", func() bool { return g.relay.gate.Open() == 0 })
	half := g.dial() // has said all, and listens
	_, _ = io.WriteString(half, keptRequest("a"))
	_ = half.(*net.TCPConn).CloseWrite()
	g.published("kept:a", many+2)
	heirs := make([]net.Conn, many) // have the descriptors of the gone
	for i := range heirs {
		heirs[i] = g.dial()
		_, _ = io.WriteString(heirs[i], memoryRequest("m")+keptRequest("b"))
		g.published("kept:b", uint64(i+1))
	}
	d.open()
	for i, nc := range heirs {
		r := bufio.NewReader(nc)
		expectSeq(t, r, "m", i+1)
		expectSeq(t, r, "b", i+1)
		if _, err := io.WriteString(nc, memoryRequest("m")); err != nil {
			t.Fatal(err)
		}
		expectSeq(t, r, "m", many+i+1)
	}
	r := bufio.NewReader(half)
	expectSeq(t, r, "a", many+2)
	if b, err := io.ReadAll(r); len(b) > 0 || err != nil && !isReset(err) {
		t.Errorf("%q %v", b, err)
	}
	if n := g.metric("weir_panics_total"); n != "0" {
		t.Errorf("%s panics", n)
	}
}

// What is for the HTTP server gets there when all before it has been answered, with everything behind it.
func TestForeignBehindOwed(t *testing.T) {
	t.Parallel()
	g, d := durableRig(t)
	nc := g.dial()
	r := bufio.NewReader(nc)
	answerOn(t, nc, keptRequest("a"))
	d.hang()
	_, _ = io.WriteString(nc, keptRequest("a")+"GET /v1/channels/kept:a HTTP/1.1\r\nHost: relay\r\nAuthorization: Bearer "+apiKey+"\r\n\r\n"+keptRequest("a")[:50])
	g.published("kept:a", 2)
	_, _ = io.WriteString(nc, keptRequest("a")[50:])
	silent(t, nc, r)
	d.open()
	expectSeq(t, r, "a", 2)
	if a := readRaw(t, r); !strings.Contains(a, `"seq":2`) {
		t.Errorf("the channel: %s", a)
	}
	expectSeq(t, r, "a", 3)
	if n := g.metric("weir_connections_passed_total"); n != "1" {
		t.Errorf("%s connections were passed on, not one", n)
	}
}

// A client that publishes and does not read gets all of its answers once it does, by way of the HTTP server.
func TestOwedAndUnread(t *testing.T) {
	t.Parallel()
	g, _ := durableRig(t)
	nc := g.dial()
	_ = nc.(*net.TCPConn).SetReadBuffer(4 << 10)
	answerOn(t, nc, keptRequest("a"))
	if err := g.only().SetWriteBuffer(4 << 10); err != nil {
		t.Fatal(err)
	}
	const many = 1000                                                                 // their answers are more than its buffers hold
	go func() { _, _ = io.WriteString(nc, strings.Repeat(keptRequest("a"), many)) }() // ends when all is read
	g.until("its answers have filled the socket", func() bool { return g.metric("weir_connections_passed_total") == "1" })
	r := bufio.NewReader(nc)
	for i := range many {
		expectSeq(t, r, "a", i+2)
	}
}

// A connection that is owed something is waited for as long as the disk takes, and no longer than any other afterwards.
func TestOwedAndSlow(t *testing.T) {
	t.Parallel()
	g, d := durableRig(t, func(r *Relay) { r.gate.Timeouts.Request = 200 * time.Millisecond })
	nc := g.dial()
	answerOn(t, nc, keptRequest("a"))
	d.hang()
	_, _ = io.WriteString(nc, keptRequest("a")+keptRequest("a")[:50])
	g.published("kept:a", 2)
	<-time.After(400 * time.Millisecond) // longer than a request may take
	d.open()
	r := bufio.NewReader(nc)
	expectSeq(t, r, "a", 2)
	if b, err := io.ReadAll(r); len(b) > 0 || err != nil && !isReset(err) {
		t.Errorf("%q %v", b, err)
	}
}

// When the relay ends, what is owed is paid first.
func TestOwedAtTheEnd(t *testing.T) {
	t.Parallel()
	g, d := durableRig(t)
	g.publish(`{"channel":"kept:a","data":1}`)
	d.hang()
	behind := []string{"", memoryRequest("m"), keptRequest("b"), "GET /weir.d.ts HTTP/1.1\r\nHost: relay\r\n\r\n", "POST /v1/pub"}
	conns := make([]net.Conn, len(behind))
	for i, rest := range behind {
		conns[i] = g.dial()
		_, _ = io.WriteString(conns[i], keptRequest("a")+rest)
		g.published("kept:a", uint64(i+2))
	}
	ended := make(chan error, 1)
	go func() { ended <- g.stop() }() // waited for below
	g.until("nobody is let in any more", func() bool {
		nc, err := net.Dial("tcp", g.public)
		if err == nil {
			_ = nc.Close()
		}
		return err != nil
	})
	d.open()
	for i, nc := range conns {
		r := bufio.NewReader(nc)
		expectSeq(t, r, "a", i+2)
		if i >= 1 && i <= 3 {
			if a := readRaw(t, r); !strings.HasPrefix(a, "HTTP/1.1 200 ") {
				t.Errorf("behind it, %q: %s", behind[i], a)
			}
		}
		if b, err := io.ReadAll(r); len(b) > 0 || err != nil && !isReset(err) {
			t.Errorf("%q %v", b, err)
		}
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if n := g.relay.gate.Open(); n != 0 {
		t.Errorf("%d connections are open", n)
	}
}

// Channels that are not in memory are loaded elsewhere, as many at once as may be, and each publication is made once.
func TestOwedToManyChannels(t *testing.T) {
	t.Parallel()
	g, _ := durableRig(t)
	const many, rounds = 3 * 64, 3
	conns := make([]net.Conn, many)
	for i := range conns {
		conns[i] = g.dial()
	}
	for round := range rounds {
		for i, nc := range conns { // 2 requests each for a channel of its own, and one for a new channel each time
			_, _ = io.WriteString(nc, strings.Repeat(keptRequest(fmt.Sprint(i)), 2)+keptRequest(fmt.Sprintf("%d.%d", i, round)))
		}
		for _, nc := range conns {
			r := bufio.NewReader(nc)
			expectSeq(t, r, "first", 2*round+1)
			expectSeq(t, r, "second", 2*round+2)
			expectSeq(t, r, "new", 1)
		}
	}
	if n := g.metric("weir_connections_passed_total"); n != "0" {
		t.Errorf("%s connections were passed on", n)
	}
}
