package relaytest_test

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"weir/relay/config"
	"weir/relay/relaytest"
)

// apiKey is the one of the rig.
const apiKey = "the-key-of-the-backend-in-the-tests"

var update = flag.Bool("update", false, "write testdata/wire.golden anew")

// TestGoldenWire holds the bytes of the native protocol: one of each message, answer and error over a WebSocket, an event
// stream and HTTP. What differs from run to run (ids, epochs, times) is replaced; everything else is compared byte for byte. A
// difference is a change of the protocol, which docs/compatibility.md has rules for. -update writes the file anew.
func TestGoldenWire(t *testing.T) {
	g := &golden{TB: t}
	g.Rig = relaytest.Start(t, func(c *config.Config) {
		c.Namespaces["gathered"] = config.Namespace{Subscribe: config.Authenticated, Publish: config.Authenticated,
			Batch: config.Batch{Window: new(200 * time.Millisecond), Eager: new(false)}}
		c.Namespaces["closed"] = config.Namespace{Subscribe: config.Backend, Publish: config.Backend}
		c.Limit.Message, c.Limit.Subscriptions = 1024, 4
	})
	g.webSocket()
	g.eventStream()
	g.http()
	g.drain()

	const file = "testdata/wire.golden"
	if *update {
		if err := os.WriteFile(file, g.out.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	got, kept := strings.Split(g.out.String(), "\n"), strings.Split(string(want), "\n")
	for i := range max(len(got), len(kept)) {
		if i >= len(got) || i >= len(kept) || got[i] != kept[i] {
			t.Fatalf("%s:%d has\n%s\nand what came is\n%s", file, i+1, at(kept, i), at(got, i))
		}
	}
}

func at(lines []string, i int) string {
	if i < len(lines) {
		return lines[i]
	}
	return "nothing more"
}

// golden writes down what passes.
type golden struct {
	testing.TB
	*relaytest.Rig
	out bytes.Buffer
}

func (g *golden) Helper() { g.TB.Helper() }

// varying are the parts of the bytes that no two runs have in common.
var varying = []struct {
	re *regexp.Regexp
	as string
}{
	{regexp.MustCompile(`"connectionId":"[0-9A-Z]{26}"`), `"connectionId":"ID"`},
	{regexp.MustCompile(`"epoch":"[0-9a-z]+"`), `"epoch":"EPOCH"`},
	{regexp.MustCompile(`"(joinedAt|lastSeen|expiresAt|expiresIn)":\d+`), `"$1":TIME`},
	{regexp.MustCompile(`"ticket":"[\w-]+"`), `"ticket":"TICKET"`},
	{regexp.MustCompile(`gathered:\d+`), `gathered:N`},
	{regexp.MustCompile(`(?m)^id: .+$`), `id: CURSOR`},
	{regexp.MustCompile(`(?m)^retry: \d+$`), `retry: MS`},
	{regexp.MustCompile(`retry=\d+`), `retry=MS`},
	{regexp.MustCompile(`Date: [^\r]+ GMT`), `Date: DATE`},
	{regexp.MustCompile(`Bearer [\w.-]+`), `Bearer TOKEN`},
	{regexp.MustCompile(`"token":"[\w.-]+"`), `"token":"TOKEN"`},
	{regexp.MustCompile(`x{64,}`), `xxx`},
	{regexp.MustCompile(`"(title|message|detail|reason)":"[^"]*"`), `"$1":"TEXT"`}, // for people: they may change
}

// note writes down lines that were sent (>) or have come (<). What a text editor would hide is escaped.
func (g *golden) note(mark, text string) {
	for _, v := range varying {
		text = v.re.ReplaceAllString(text, v.as)
	}
	for line := range strings.SplitSeq(strings.TrimSuffix(text, "\n"), "\n") {
		line = strings.ReplaceAll(line, "\r", `\r`)
		fmt.Fprintln(&g.out, strings.TrimRight(mark+" "+line, " "))
	}
}

func (g *golden) title(name string) { fmt.Fprintf(&g.out, "\n# %s\n", name) }

// dial opens a connection with a request.
func (g *golden) dial(request string) (net.Conn, *bufio.Reader) {
	g.Helper()
	u, err := url.Parse(g.URL)
	if err != nil {
		g.Fatal(err)
	}
	conn, err := net.Dial("tcp", u.Host)
	if err != nil {
		g.Fatal(err)
	}
	g.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(relaytest.Patience)); err != nil {
		g.Fatal(err)
	}
	if _, err := io.WriteString(conn, strings.ReplaceAll(request, "\n", "\r\n")); err != nil {
		g.Fatal(err)
	}
	return conn, bufio.NewReader(conn)
}

// head reads up to an empty line.
func (g *golden) head(r *bufio.Reader) (text string) {
	g.Helper()
	for !strings.HasSuffix(text, "\r\n\r\n") {
		line, err := r.ReadString('\n')
		if err != nil {
			g.Fatalf("%v after %q", err, text)
		}
		text += line
	}
	return text
}

// socket is a WebSocket as bytes.
type socket struct {
	*golden
	conn net.Conn
	r    *bufio.Reader
}

// open makes the handshake; protocol may be empty.
func (g *golden) open(user, protocol string) *socket {
	g.Helper()
	request := "GET /ws HTTP/1.1\nHost: relay\nConnection: Upgrade\nUpgrade: websocket\nSec-WebSocket-Version: 13\n" +
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\nAuthorization: Bearer " + g.Token(user, relaytest.Grant("event:*", "publish")) + "\n"
	if protocol != "" {
		request += "Sec-WebSocket-Protocol: " + protocol + "\n"
	}
	s := &socket{golden: g}
	s.conn, s.r = g.dial(request + "\n")
	g.note(">", request)
	g.note("<", g.head(s.r))
	s.frame()
	return s
}

// send sends a message in one frame, masked with zeros.
func (s *socket) send(text string) {
	s.Helper()
	s.note(">", text)
	head := []byte{0x81, 0x80 | byte(len(text)), 0, 0, 0, 0}
	if len(text) > 125 {
		head = binary.BigEndian.AppendUint16([]byte{0x81, 0xfe}, uint16(len(text)))
		head = append(head, 0, 0, 0, 0)
	}
	if _, err := s.conn.Write(append(head, text...)); err != nil {
		s.Fatal(err)
	}
}

// ask sends a command and reads its answer.
func (s *socket) ask(text string) {
	s.Helper()
	s.send(text)
	s.frame()
}

// read is the next frame: its first byte, and what it carries. The length has to be in the shortest form.
func (s *socket) read() (first byte, payload []byte) {
	s.Helper()
	for first = 0x89; first == 0x89; { // pings come when they are due
		first, payload = s.readAny()
	}
	return first, payload
}

func (s *socket) readAny() (first byte, payload []byte) {
	s.Helper()
	b := make([]byte, 2)
	if _, err := io.ReadFull(s.r, b); err != nil {
		s.Fatal(err)
	}
	n := int(b[1])
	if n == 126 {
		long := make([]byte, 2)
		if _, err := io.ReadFull(s.r, long); err != nil {
			s.Fatal(err)
		}
		if n = int(binary.BigEndian.Uint16(long)); n < 126 {
			s.Fatalf("a length of %d in 16 bits", n)
		}
	}
	if n > 1<<16 || n == 127 && b[1] == 127 {
		s.Fatalf("a frame of %x", b)
	}
	payload = make([]byte, n)
	if _, err := io.ReadFull(s.r, payload); err != nil {
		s.Fatal(err)
	}
	return b[0], payload
}

// frame reads a frame and writes it down.
func (s *socket) frame() {
	s.Helper()
	first, payload := s.read()
	if first == 0x88 {
		s.note("<", fmt.Sprintf("%02x %d %s", first, binary.BigEndian.Uint16(payload), payload[2:]))
		return
	}
	s.note("<", fmt.Sprintf("%02x %s", first, payload))
}

// expired reads up to the change that says so, which comes alone or in a batch.
func (s *socket) expired() {
	s.Helper()
	for {
		_, payload := s.read()
		if change := regexp.MustCompile(`{[^{}]*"cause":"expired"}`).Find(payload); change != nil {
			s.note("<", string(change))
			return
		}
	}
}

// backend sends a request with the API key, without writing it down.
func (g *golden) backend(want int, method, path string, body any) {
	g.Helper()
	if status, out := g.Backend(method, path, body); status != want {
		g.Fatalf("%s %s: %d %v, want %d", method, path, status, out, want)
	}
}

func (g *golden) webSocket() {
	g.title("WebSocket: connecting, the whole form")
	ann := g.open("ann", "")
	g.title("subscribe, publish, and what is told of it")
	ann.ask(`{"type":"subscribe","id":1,"channel":"doc:1"}`)
	bob := g.open("bob", "weir")
	for _, command := range []string{
		`{"type":"publish","id":"a","channel":"doc:1","data":{"text":"hello \u00e9"},"idempotencyKey":"k1"}`,
		`{"type":"publish","id":2,"channel":"doc:1","group":"cursors","key":"bob","data":3}`,
		`{"type":"publish","id":3,"channel":"doc:1","op":"delete","group":"cursors","key":"bob"}`,
		`{"type":"publish","id":4,"channel":"doc:1","key":"score","data":[1,2]}`,
		`{"type":"publish","id":5,"channel":"doc:1","group":"chat","data":null}`,
	} {
		bob.ask(command)
		ann.frame()
	}
	bob.ask(`{"type":"publish","id":6,"channel":"doc:1","data":{"text":"again"},"idempotencyKey":"k1"}`)
	g.title("an item ends")
	bob.ask(`{"type":"publish","id":7,"channel":"doc:1","key":"short","data":true,"ttl":1}`)
	ann.expired()
	g.title("snapshot, and some groups of it")
	bob.ask(`{"type":"subscribe","id":8,"channel":"doc:1"}`)
	bob.ask(`{"type":"unsubscribe","id":9,"channel":"doc:1"}`)
	bob.ask(`{"type":"subscribe","id":10,"channel":"doc:1","groups":["cursors"]}`)
	bob.ask(`{"type":"subscribe","id":11,"channel":"doc:1","position":{"epoch":"another","seq":1}}`)
	g.title("history, presence, and the rest")
	ann.ask(`{"type":"history","id":12,"channel":"doc:1","limit":2}`)
	ann.ask(`{"type":"presence","id":13,"channel":"nobody:1"}`)
	ann.ask(`{"type":"presence","id":14,"channel":"nobody:1","count":true}`)
	ann.ask(`{"type":"message","id":15,"content":"hi"}`)
	ann.ask(`{"type":"event","id":16,"topic":"game.move","data":{"x":1}}`)
	ann.ask(`{"type":"refresh","id":17,"token":"` + g.Token("ann") + `"}`)
	ann.ask(`{"type":"ping","id":18}`)
	ann.ask(`{"type":"ping"}`)
	g.title("the user's own channel")
	g.backend(200, "POST", "/v1/publish", `{"channel":"user:ann","group":"inbox","key":"n1","data":"for ann"}`)
	ann.frame()
	g.title("a batch in the whole form and in the short one")
	g.gathered(ann, bob)
	g.title("a log is lost")
	g.backend(200, "DELETE", "/v1/channels/doc:1", nil)
	ann.frame()
	g.title("access is taken away")
	g.backend(200, "POST", "/v1/unsubscribe", `{"userId":"ann","channel":"doc:1"}`)
	ann.frame()
	g.title("errors")
	for _, command := range []string{
		`nonsense`,
		`{"type":"sing","id":20}`,
		`{"id":21}`,
		`{"type":"subscribe","id":22}`,
		`{"type":"subscribe","id":23,"channel":".hidden"}`,
		`{"type":"publish","id":24,"channel":"doc:1","group":"a b","key":"c","data":1}`,
		`{"type":"publish","id":25,"channel":"doc:1"}`,
		`{"type":"subscribe","id":26,"channel":"closed:1"}`,
		`{"type":"publish","id":27,"channel":"closed:1","data":1}`,
		`{"type":"unsubscribe","id":28,"channel":"doc:9"}`,
		`{"type":"event","id":29,"topic":"bad topic","data":1}`,
		`{"type":"refresh","id":30,"token":"forged"}`,
		`{"type":"publish","id":31,"channel":"doc:1","data":"` + strings.Repeat("x", 1024) + `"}`,
	} {
		ann.ask(command)
	}
	for n := range 4 {
		ann.ask(fmt.Sprintf(`{"type":"subscribe","id":%d,"channel":"many:%d"}`, 40+n, n))
	}
	ann.ask(`{"type":"subscribe","id":44,"channel":"many:4"}`)
	g.title("several commands in a message")
	ann.send(`[{"type":"ping","id":50},{"type":"history","id":51,"channel":"closed:1"}]`)
	ann.frame()
	ann.frame()
	g.title("disconnected by a backend")
	g.backend(200, "POST", "/v1/disconnect", `{"userId":"ann"}`)
	ann.frame()
}

// gathered has two changes leave in one batch: whether they share a window is chance, so it is tried until they do.
func (g *golden) gathered(ann, bob *socket) {
	for n := 0; ; n++ {
		before := g.out.Len()
		channel := fmt.Sprintf("gathered:%d", n)
		ann.ask(`{"type":"subscribe","id":60,"channel":"` + channel + `"}`)
		bob.ask(`{"type":"subscribe","id":61,"channel":"` + channel + `"}`)
		two := `{"channel":"` + channel + `","data":1}` + "\n" + `{"channel":"` + channel + `","group":"g","key":"k","data":2}`
		if status, _, out := g.Do("POST", "/v1/publish", two, "Authorization: Bearer "+apiKey, "Content-Type: application/x-ndjson"); status != 200 {
			g.Fatal(status, out)
		}
		whole := true
		for _, s := range []*socket{ann, bob} {
			for told := 0; told < 2; {
				first, payload := s.read()
				g.note("<", fmt.Sprintf("%02x %s", first, payload))
				together := bytes.Contains(payload, []byte(`"batch"`))
				whole = whole && together
				if told++; together {
					told++
				}
			}
			s.ask(`{"type":"unsubscribe","id":62,"channel":"` + channel + `"}`)
		}
		if whole {
			return
		}
		g.out.Truncate(before)
	}
}

func (g *golden) eventStream() {
	g.title("event stream")
	g.backend(200, "POST", "/v1/publish", `{"channel":"doc:2","key":"score","data":2}`)
	request := "GET /sse?channel=doc:2&channel=closed:1 HTTP/1.1\nHost: relay\nAuthorization: Bearer " + g.Token("cleo") + "\n"
	_, r := g.dial(request + "\n")
	g.note(">", request)
	g.note("<", g.head(r))
	next := func() (text string) {
		g.Helper()
		for !strings.HasSuffix(text, "\n\n") {
			line, err := r.ReadString('\n')
			if err != nil {
				g.Fatal(err)
			}
			if text += line; text == ":heartbeat\n" || text == "\n" { // comes when it is due
				text = ""
			}
		}
		return text
	}
	event := func() { g.note("<", next()) }
	event()
	first := []string{next(), next(), next()} // the user's own channel, doc:2 and closed:1: in any order
	slices.Sort(first)
	for _, text := range first {
		g.note("<", text)
	}
	g.backend(200, "POST", "/v1/publish", `{"channel":"doc:2","data":"one"}`)
	event()
	g.backend(200, "POST", "/v1/publish", `{"channel":"user:cleo","data":"for cleo"}`)
	event()
	g.backend(200, "DELETE", "/v1/channels/doc:2", nil)
	event()
	g.backend(200, "POST", "/v1/unsubscribe", `{"userId":"cleo","channel":"doc:2"}`)
	event()
	g.backend(200, "POST", "/v1/disconnect", `{"userId":"cleo"}`)
	event()
}

// exchange is a request and its answer, with its length as it came.
func (g *golden) exchange(method, path, bearer, body string, lines ...string) {
	g.Helper()
	request := method + " " + path + " HTTP/1.1\nHost: relay\nConnection: close\n"
	if bearer != "" {
		request += "Authorization: Bearer " + bearer + "\n"
	}
	for _, line := range lines {
		request += line + "\n"
	}
	if body != "" {
		request += fmt.Sprintf("Content-Length: %d\n", len(body))
	}
	request += "\n" + body
	conn, r := g.dial("")
	if _, err := io.WriteString(conn, strings.ReplaceAll(strings.TrimSuffix(request, body), "\n", "\r\n")+body); err != nil {
		g.Fatal(err)
	}
	raw, err := io.ReadAll(r)
	if err != nil {
		g.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(raw)), nil)
	if err != nil {
		g.Fatalf("%v: %q", err, raw)
	}
	_ = resp.Body.Close()
	g.note(">", request)
	text := string(raw)
	if len := resp.ContentLength; len > 9 { // it differs with what is replaced
		text = strings.Replace(text, fmt.Sprintf("Content-Length: %d\r", len), "Content-Length: N\r", 1)
	}
	g.note("<", text)
	fmt.Fprintln(&g.out)
}

func (g *golden) http() {
	ndjson, user := "Content-Type: application/x-ndjson", g.Token("dan")
	for _, x := range []struct{ name, method, path, bearer, body, line string }{
		{"publish", "POST", "/v1/publish", apiKey, `{"channel":"doc:3","key":"a","data":{"n":1}}`, ""},
		{"publish lines", "POST", "/v1/publish", apiKey, `{"channel":"doc:3","data":2}` + "\n" + `{"channel":"doc:3"}` + "\n", ndjson},
		{"channels", "GET", "/v1/channels?prefix=doc:3", apiKey, "", ""},
		{"channel", "GET", "/v1/channels/doc:3", apiKey, "", ""},
		{"history", "GET", "/v1/channels/doc:3/history?limit=2", apiKey, "", ""},
		{"group", "GET", "/v1/channels/doc:3/items", apiKey, "", ""},
		{"item", "GET", "/v1/channels/doc:3/items/a", apiKey, "", ""},
		{"no item", "GET", "/v1/channels/doc:3/items/b", apiKey, "", ""},
		{"presence", "GET", "/v1/channels/doc:3/presence", apiKey, "", ""},
		{"delete", "DELETE", "/v1/channels/doc:3", apiKey, "", ""},
		{"ticket", "POST", "/v1/tickets", apiKey, `{"userId":"dan"}`, ""},
		{"disconnect nobody", "POST", "/v1/disconnect", apiKey, `{"userId":"nobody"}`, ""},
		{"command", "POST", "/command", user, `{"type":"publish","id":1,"channel":"doc:4","data":1}`, ""},
		{"command with an error", "POST", "/command", user, `{"type":"publish","id":2,"channel":"closed:1","data":1}`, ""},
		{"no key", "POST", "/v1/publish", "", `{"channel":"doc:3","data":1}`, ""},
		{"another key", "POST", "/v1/publish", "another", `{"channel":"doc:3","data":1}`, ""},
		{"no JSON", "POST", "/v1/publish", apiKey, `{"channel":`, ""},
		{"no channel", "POST", "/v1/publish", apiKey, `{"data":1}`, ""},
		{"too large", "POST", "/v1/publish", apiKey, `{"channel":"doc:3","data":"` + strings.Repeat("x", 1024) + `"}`, ""},
		{"no route", "GET", "/v1/nothing", apiKey, "", ""},
		{"another method", "PUT", "/v1/publish", apiKey, "{}", ""},
		{"no token", "GET", "/sse?channel=doc:3", "", "", ""},
		{"a token that is none", "GET", "/sse?channel=doc:3", "forged", "", ""},
		{"another page", "GET", "/sse?channel=doc:3", user, "", "Origin: https://elsewhere.example"},
		{"no upgrade", "GET", "/ws", user, "", ""},
	} {
		g.title("HTTP: " + x.name)
		var lines []string
		if x.line != "" {
			lines = append(lines, x.line)
		}
		g.exchange(x.method, x.path, x.bearer, x.body, lines...)
	}
}

func (g *golden) drain() {
	g.title("the relay ends")
	fay := g.open("fay", "weir")
	go g.Stop() // the cleanup waits for it
	fay.frame()
	_, _ = fay.conn.Write([]byte{0x88, 0x80, 0, 0, 0, 0})
}
