package relay

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"weir/relay/config"
	"weir/relay/ingress"
	"weir/relay/stats"
)

// number is what differs from one answer to the same request to the next.
var number = regexp.MustCompile(`"seq":[0-9]+|Date: [^\r]*`)

// answerOn sends bytes and reads one answer, as it stands.
func answerOn(t testing.TB, nc net.Conn, request string) string {
	t.Helper()
	if _, err := io.WriteString(nc, request); err != nil {
		t.Fatal(err)
	}
	return readRaw(t, bufio.NewReader(nc))
}

func readRaw(t testing.TB, r *bufio.Reader) string {
	t.Helper()
	var head strings.Builder
	length := 0
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			t.Fatalf("%v behind %q", err, head.String())
		}
		head.WriteString(line)
		if v, ok := strings.CutPrefix(line, "Content-Length: "); ok {
			length, _ = strconv.Atoi(strings.TrimSpace(v))
		}
		if line == "\r\n" {
			break
		}
	}
	body := make([]byte, length)
	if _, err := io.ReadFull(r, body); err != nil {
		t.Fatal(err)
	}
	return head.String() + string(body)
}

// A publication gets the same answer at an event loop as from the HTTP server, byte for byte.
func TestFrontAnswersAsTheServer(t *testing.T) {
	t.Parallel()
	g := launch(t, openConfig())
	lined := `{"channel":"l1","data":1}` + "\n\nx\n" + `{"channel":"b c","data":1}` + "\n" + `{"channels":["l1","l2"],"data":2}` + "\n" + `{"channel":"l2","data":2}`
	for _, test := range []struct{ lines, body string }{
		{"", `{"channel":"a","data":1}`},
		{"?answers=errors", lined},
		{"?answers=errors", ""},
		{"?answers=all", lined},
		{"?answers=none", lined},
		{"Content-Type: application/json; charset=utf-8\r\n", `{"channel":"a","key":"k","data":{"x":"ü"}}`},
		{"Content-Type: application/x-ndjson\r\n", `{"channel":"a","data":1}` + "\n\nx\n" + `{"channel":"b c","data":1}` + "\n" + `{"channel":"b","data":2}`},
		{"Content-Type: application/x-ndjson\r\n", ""},
		{"", ""},
		{"", `[]`},
		{"", `{"channel":"a"}`},
		{"", `{"channel":"a b","data":1}`},
		{"", `{"channel":"a","op":"fly","data":1}`},
		{"", `{"channel":"a","ack":"disk","data":1}`},
		{"", `{"channel":"a","data":"` + strings.Repeat("x", 50<<10) + `"}`},
	} {
		here, there := g.dial(), g.dial()
		query := func(request string) string { return request }
		if strings.HasPrefix(test.lines, "?") {
			path := "/v1/publish" + test.lines
			test.lines = "Content-Type: application/x-ndjson\r\n"
			query = func(request string) string { return strings.Replace(request, "/v1/publish", path, 1) }
		}
		a := answerOn(t, here, query(plainRequest(test.lines, test.body)))
		b := answerOn(t, there, query(plainRequest("X-Other: 1\r\n"+test.lines, test.body)))
		if number.ReplaceAllString(a, "") != number.ReplaceAllString(b, "") {
			t.Errorf("%.60s: at an event loop\n%s\nfrom the server\n%s", test.body, a, b)
		}
	}
	if n := g.metric("weir_connections_passed_total"); n != "17" {
		t.Errorf("%s connections were passed on, not 17", n)
	}
}

// Strangers, other types and what the relay is too busy for are not answered at an event loop, or like elsewhere.
func TestFrontRefuses(t *testing.T) {
	t.Parallel()
	g := launch(t, openConfig())
	for request, status := range map[string]int{
		strings.Replace(plainRequest("", `{"channel":"a","data":1}`), apiKey, "x"+apiKey, 1):                                     401,
		strings.Replace(plainRequest("", `{"channel":"a","data":1}`), "Authorization: Bearer "+apiKey+"\r\n", "", 1):             401,
		strings.Replace(plainRequest("", `{"channel":"a","data":1}`), "Bearer", "Basic", 1):                                      401,
		plainRequest("Content-Type: image/png\r\n", `{"channel":"a","data":1}`):                                                  415,
		strings.Replace(plainRequest("", `{"channel":"a","data":1}`), "Bearer", "bEARER", 1):                                     200,
		plainRequest("", `{"channel":"a","data":1}`+strings.Repeat(" ", 70<<10)):                                                 200,
		plainRequest("Content-Type: application/x-ndjson\r\n", strings.Repeat(`{"channel":"a","data":1}`+"\n", 10_000)+"\n\n\n"): 200,
	} {
		if a := answerOn(t, g.dial(), request); !strings.HasPrefix(a, fmt.Sprintf("HTTP/1.1 %d ", status)) {
			t.Errorf("%.100q: %.100q, want %d", request, a, status)
		}
	}
	g.relay.hub.Memory.Use.Store(stats.MemoryFull)
	defer g.relay.hub.Memory.Use.Store(0)
	if a := answerOn(t, g.dial(), plainRequest("", `{"channel":"a","data":1}`)); !strings.HasPrefix(a, "HTTP/1.1 503 Service Unavailable\r\n") || !strings.Contains(a, "\r\nRetry-After: 1\r\n") {
		t.Error(a)
	}
}

// In development mode an event loop answers to names of this machine only.
func TestFrontOfDevelopment(t *testing.T) {
	t.Parallel()
	g := launch(t, config.Config{Dev: true, Drain: 10e6})
	request := strings.Replace(plainRequest("", `{"channel":"a","data":1}`), apiKey, config.DevKey, 1)
	for host, status := range map[string]string{"relay": "403", "localhost": "200", "127.0.0.1:8080": "200", "[::1]": "200", "localhost.evil.example": "403"} {
		if a := answerOn(t, g.dial(), strings.Replace(request, "Host: relay", "Host: "+host, 1)); !strings.HasPrefix(a, "HTTP/1.1 "+status) {
			t.Errorf("%s: %.60q", host, a)
		}
	}
}

// A request may come in pieces, wherever it is cut, and several may come at once; what is not plain is answered in
// its turn, and everything behind it too.
func TestFrontPieces(t *testing.T) {
	t.Parallel()
	g := launch(t, openConfig())
	one := plainRequest("Content-Type: application/json\r\n", `{"channel":"pieces","data":1}`)
	nc := g.dial()
	r := bufio.NewReader(nc)
	seq := 0
	next := func() {
		t.Helper()
		seq++
		if a := readRaw(t, r); !strings.HasSuffix(a, fmt.Sprintf(`"seq":%d}}`, seq)) {
			t.Fatalf("answer %d: %s", seq, a)
		}
	}
	_, _ = io.WriteString(nc, one)
	next()
	for cut := 1; cut < len(one); cut += 7 {
		_, _ = io.WriteString(nc, one[:cut])
		if cut%2 == 0 { // both alone and with what comes next
			g.until("it was read", func() bool { return g.only().Reading() })
		}
		_, _ = io.WriteString(nc, one[cut:]+one)
		next()
		next()
	}
	if n := g.metric("weir_connections_passed_total"); n != "0" {
		t.Errorf("%s connections were passed on", n)
	}
	_, _ = io.WriteString(nc, one+one+"GET /v1/channels/pieces HTTP/1.1\r\nHost: relay\r\nAuthorization: Bearer "+apiKey+"\r\n\r\n"+one+one[:40])
	next()
	next()
	if a := readRaw(t, r); !strings.Contains(a, fmt.Sprintf(`"seq":%d`, seq)) {
		t.Errorf("the channel: %s", a)
	}
	next()
	_, _ = io.WriteString(nc, one[40:])
	next()
	if n := g.metric("weir_connections_passed_total"); n != "1" {
		t.Errorf("%s connections were passed on, not one", n)
	}
}

// only is the only connection that there is.
func (g *rig) only() (one *ingress.Conn) {
	g.relay.gate.Each(func(c *ingress.Conn) { one = c })
	return one
}

// A client that sends and does not read holds up nobody, and gets all of its answers once it reads.
func TestFrontUnread(t *testing.T) {
	t.Parallel()
	g := launch(t, openConfig())
	one := plainRequest("Content-Type: application/x-ndjson\r\n", strings.Repeat("x\n", 2000))
	nc := g.dial()
	const many = 150 // their answers are more than sockets hold
	sent := make(chan error, 1)
	go func() { // ends when everything is sent, or with the connection
		_, err := io.WriteString(nc, strings.Repeat(one, many))
		sent <- err
	}()
	g.until("its answers have filled the socket", func() bool { return g.metric("weir_connections_passed_total") == "1" })
	if a := answerOn(t, g.dial(), one); !strings.HasPrefix(a, "HTTP/1.1 200 ") {
		t.Error(a)
	}
	r := bufio.NewReaderSize(nc, 1<<20)
	for i := range many {
		if a := readRaw(t, r); !strings.HasPrefix(a, "HTTP/1.1 200 ") || strings.Count(a, "invalid_json") != 2000 {
			t.Fatalf("answer %d: %.200s", i, a)
		}
	}
	if err := <-sent; err != nil {
		t.Error(err)
	}
}

// Lines that may have to wait for the disk are the HTTP server's, and done once.
func TestFrontOfDurable(t *testing.T) {
	t.Parallel()
	cfg := openConfig()
	kept(t.TempDir())(&cfg)
	g := launch(t, cfg)
	nc := g.dial()
	for i, kind := range []string{"", "", "Content-Type: application/x-ndjson\r\n"} {
		if a := answerOn(t, nc, plainRequest(kind, `{"channel":"kept:a","data":1}`)); !strings.HasSuffix(strings.TrimSpace(a), fmt.Sprintf(`"seq":%d}}`, i+1)) {
			t.Errorf("%s%s", kind, a)
		}
	}
	if n := g.metric("weir_connections_passed_total"); n != "1" {
		t.Errorf("%s connections were passed on, not one", n)
	}
}

// Half a plain request is waited for no longer than any other, and a stranger that says nothing has to go.
func TestFrontIsImpatient(t *testing.T) {
	t.Parallel()
	g := launch(t, openConfig(), func(r *Relay) { r.gate.Timeouts.Request = 200 * time.Millisecond })
	one := plainRequest("", `{"channel":"a","data":1}`)
	for _, n := range []int{0, 1, 30, len(one) - 1} {
		nc := g.dial()
		if n > 1 { // not its first
			answerOn(t, nc, one)
		}
		_, _ = io.WriteString(nc, one[:n])
		if b, err := io.ReadAll(nc); len(b) > 0 || err != nil && !isReset(err) {
			t.Errorf("after %d bytes: %q %v", n, b, err)
		}
	}
	nc := g.dial()
	answerOn(t, nc, one)
	<-time.After(400 * time.Millisecond) // a backend may pause for longer than a request may take
	answerOn(t, nc, one)
}

// Requests that have been sent when the relay ends are answered, and no connection is left behind.
func TestFrontEnds(t *testing.T) {
	t.Parallel()
	g := launch(t, openConfig())
	nc := g.dial()
	answerOn(t, nc, plainRequest("", `{"channel":"a","data":1}`))
	_, _ = io.WriteString(nc, "POST /v1/pub")
	if err := g.stop(); err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(nc); len(b) > 0 || err != nil && !isReset(err) {
		t.Errorf("%q %v", b, err)
	}
	if n := g.relay.gate.Open(); n != 0 {
		t.Errorf("%d connections are open", n)
	}
}
