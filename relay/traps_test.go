package relay

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"strconv"
	"strings"
	"testing"

	"weir/internal/wire"
	"weir/relay/auth"
)

// Each test here is on something that a library does and that would hurt in silence.

// A pool job with a nil argument never runs, so none has an argument.
func TestWhatIsNotCalled(t *testing.T) {
	banned := map[string]string{
		"NewPoolWithFunc": "Invoke(nil) never runs the job", "NewHistogram": "Prometheus cannot read its buckets",
		"GetOrCreateHistogram": "Prometheus cannot read its buckets", "GetOrCreateCounter": "looks the name up", "GetOrCreateGauge": "looks the name up",
	}
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	files := token.NewFileSet()
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".go") || strings.HasSuffix(e.Name(), "_test.go") {
			continue
		}
		f, err := parser.ParseFile(files, e.Name(), nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			if sel, ok := n.(*ast.SelectorExpr); ok && banned[sel.Sel.Name] != "" {
				t.Errorf("%s: %s: %s", files.Position(sel.Pos()), sel.Sel.Name, banned[sel.Sel.Name])
			}
			return true
		})
	}
}

// Answers come in the order of the commands, pongs in their turn among them: a parser that handles
// messages in parallel would break that.
func TestAnswersComeInOrder(t *testing.T) {
	t.Parallel()
	cfg := openConfig()
	cfg.Compression = true
	g := launch(t, cfg)
	for _, lines := range [][]string{nil, {offerDeflate}} {
		p := g.ws("u1", lines...)
		var b []byte
		for i := range 100 {
			b = append(b, textFrame(fmt.Sprintf(`{"type":"ping","id":%d,"pad":"%s"}`, i, strings.Repeat("x", i*37%5000)))...)
			if i%10 == 0 {
				b = append(b, clientFrame(fin|wire.OpPing, []byte(strconv.Itoa(i)))...)
			}
		}
		p.raw(b)
		for i := range 100 {
			if m := p.next(); string(m.ID) != strconv.Itoa(i) {
				t.Fatalf("the answer to %d is %s", i, m.raw)
			}
			if i%10 == 0 {
				if first, payload, err := p.frame(); err != nil || first != fin|wire.OpPong || string(payload) != strconv.Itoa(i) {
					t.Fatalf("behind %d: %x %q %v", i, first, payload, err)
				}
			}
		}
	}
}

// The buffers of requests and frames are used again by the next ones: nothing that outlives a request may
// lie in them.
func TestRequestMemoryIsNotKept(t *testing.T) {
	t.Parallel()
	g := launch(t, openConfig())
	key := "Authorization: Bearer " + apiKey
	nc := g.dial()
	ask := func(method, target, body string, lines ...string) answered {
		a := g.askOn(nc, method, target, body, append(lines, key)...)
		if a.StatusCode != 200 {
			t.Fatalf("%s %s: %d %s", method, target, a.StatusCode, a.body)
		}
		return a
	}
	letters := "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	fill := func(i int, n int) string { return strings.Repeat(letters[i:i+1], n) }

	// Channels, groups, keys, data and idempotency keys of backends.
	var positions []string
	for i := range letters {
		body := fmt.Sprintf(`{"channel":"keep:%s","group":"%s","key":"%s","data":"%s","idempotencyKey":"%s"}`, fill(i, 40), fill(i, 30), fill(i, 20), fill(i, 300), fill(i, 50))
		positions = append(positions, ask("POST", "/v1/publish", body).body)
	}
	for i := range letters {
		got := ask("GET", "/v1/channels/keep:"+fill(i, 40)+"/"+fill(i, 30)+"/"+fill(i, 20), "").body
		if !strings.Contains(got, `"data":"`+fill(i, 300)+`"`) {
			t.Errorf("item %d: %.200s", i, got)
		}
		history := ask("GET", "/v1/channels/keep:"+fill(i, 40)+"/history", "").body
		for _, want := range []string{fill(i, 30), fill(i, 20), fill(i, 300)} {
			if !strings.Contains(history, `"`+want+`"`) {
				t.Errorf("history %d lacks %.5s...: %.200s", i, want, history)
			}
		}
		again := fmt.Sprintf(`{"channel":"keep:%s","data":1,"idempotencyKey":"%s"}`, fill(i, 40), fill(i, 50))
		if got := ask("POST", "/v1/publish", again).body; got != positions[i] {
			t.Errorf("the same idempotency key again: %s, want %s", got, positions[i])
		}
	}
	var list struct{ Channels []struct{ Channel string } }
	if err := json.Unmarshal([]byte(ask("GET", "/v1/channels?prefix=keep:", "").body), &list); err != nil || len(list.Channels) != len(letters) {
		t.Fatalf("%v, %d channels", err, len(list.Channels))
	}
	for i, c := range list.Channels {
		if c.Channel != "keep:"+fill(i, 40) {
			t.Errorf("channel %d is %s", i, c.Channel)
		}
	}

	// Who a ticket stands for.
	var tickets []string
	for i := range letters {
		a := ask("POST", "/v1/tickets", fmt.Sprintf(`{"userId":"%s","name":"%s","channels":{"closed:%s":["subscribe"]}}`, fill(i, 20), fill(i, 30), fill(i, 10)))
		var ticket struct{ Ticket string }
		if err := json.Unmarshal([]byte(a.body), &ticket); err != nil {
			t.Fatal(err)
		}
		tickets = append(tickets, ticket.Ticket)
	}
	for i, ticket := range tickets {
		p := g.wsOn(g.dial(), "/ws?ticket="+ticket)
		p.say(fmt.Sprintf(`{"type":"subscribe","channel":"closed:%s"}`, fill(i, 10)), `{"type":"subscribe","channel":"who"}`)
		p.want("subscribed")
		p.want("subscribed")
		if p.hello.UserID != fill(i, 20) {
			t.Errorf("ticket %d is %s's", i, p.hello.UserID)
		}
	}
	// Names in the presence come from tokens and tickets whose requests are long gone.
	who := ask("GET", "/v1/channels/who/presence", "").body
	for i := range letters {
		if !strings.Contains(who, `"id":"`+fill(i, 20)+`","name":"`+fill(i, 30)+`"`) {
			t.Errorf("user %d is not in %.300s", i, who)
		}
	}

	// What clients send, over one connection after the other.
	p, q := g.ws("u1"), g.wsOn(g.dial(), "/ws", "Authorization: Bearer "+mintClaims(t, auth.Claims{Sub: "u2", Name: "Second"}))
	for i := range letters {
		for _, x := range []*wsPeer{p, q} {
			x.say(fmt.Sprintf(`{"type":"subscribe","id":"%s","channel":"sub:%s","groups":["%s"]}`, fill(i, 20), fill(i, 40), fill(i, 30)))
			x.want("subscribed")
		}
	}
	for i := range letters {
		p.say(fmt.Sprintf(`{"type":"publish","id":"%s","channel":"sub:%s","group":"%s","key":"%s","data":"%s","idempotencyKey":"%s"}`,
			fill(i, 20), fill(i, 40), fill(i, 30), fill(i, 25), fill(i, 200), fill(i, 35)))
	}
	for range letters {
		m := q.want("channel_update")
		i := strings.Index(letters, m.Channel[len(m.Channel)-1:])
		if m.Channel != "sub:"+fill(i, 40) || string(m.Data) != `"`+fill(i, 200)+`"` || !strings.Contains(m.raw, `"group":"`+fill(i, 30)+`","key":"`+fill(i, 25)+`"`) {
			t.Errorf("change %d: %.200s", i, m.raw)
		}
	}
	for i := range letters {
		q.say(fmt.Sprintf(`{"type":"unsubscribe","id":"%s","channel":"sub:%s"}`, fill(i, 20), fill(i, 40)))
	}
	for i := range letters {
		if m := q.want("ok"); string(m.ID) != `"`+fill(i, 20)+`"` {
			t.Errorf("answer %d is to %s", i, m.ID)
		}
	}
}

// The JSON library lets pass what is not JSON: that is looked for before.
func TestSonicIsNotTrusted(t *testing.T) {
	t.Parallel()
	g := launch(t, openConfig())
	for _, body := range []string{"{\"userId\":\"a\x01b\"}", "{\"userId\":\"a\xffb\"}", "{\"userId\":\"a\tb\"}", `{"userId":"\x"}`, `{"userId":"a"}x`, "{\"userId\":\"\xed\xa0\x80\"}"} {
		g.api(400, "POST", "/v1/tickets", body)
		g.api(400, "POST", "/v1/disconnect", body)
		g.api(400, "POST", "/v1/unsubscribe", body)
	}
}

// What the admin listener says of itself is what Prometheus reads: the library's own histograms are not.
func TestMetricsAreReadable(t *testing.T) {
	t.Parallel()
	g := launch(t, openConfig())
	p := g.ws("u1")
	p.say(`{"type":"subscribe","channel":"a"}`)
	p.want("subscribed")
	g.publish(`{"channel":"a","data":1}`)
	p.want("channel_update")
	text := g.adminGet("/metrics")
	if strings.Contains(text, "vmrange") {
		t.Error("there are buckets by vmrange")
	}
	for _, want := range []string{`weir_publish_to_write_seconds_bucket{le="+Inf"}`, "weir_publish_to_write_seconds_sum", "weir_publish_to_write_seconds_count", `weir_messages_per_frame_bucket{le="1"}`} {
		if !strings.Contains(text, want) {
			t.Errorf("there is no %s", want)
		}
	}
	seen := map[string]bool{}
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if strings.HasPrefix(line, "#") || line == "" {
			continue
		}
		name, value, ok := strings.Cut(line, " ")
		if i := strings.LastIndexByte(line, '}'); i >= 0 {
			name, value, ok = line[:i+1], strings.TrimSpace(line[i+1:]), true
		}
		if _, err := strconv.ParseFloat(value, 64); err != nil || !ok {
			t.Errorf("sample %q: %v", line, err)
		}
		if seen[name] {
			t.Errorf("sample %q twice", name)
		}
		seen[name] = true
	}
}

// Nothing tells a handler that the client of a response has gone: streams find out, without writing.
func TestStreamClientGoes(t *testing.T) {
	t.Parallel()
	g := launch(t, openConfig())
	for name, leave := range map[string]func(*ssePeer){
		"closes": func(p *ssePeer) { _ = p.nc.Close() },
		"resets": func(p *ssePeer) { _ = p.nc.(interface{ SetLinger(int) error }).SetLinger(0); _ = p.nc.Close() },
		"shuts":  func(p *ssePeer) { _ = p.nc.(interface{ CloseWrite() error }).CloseWrite() },
		"talks":  func(p *ssePeer) { _, _ = p.nc.Write(bytes.Repeat([]byte("x"), 1<<10)); _ = p.nc.Close() },
	} {
		p := g.sse("u1", "a", "b")
		p.want("connected")
		leave(p)
		g.until("the session of a client that "+name+" ends", func() bool { return g.relay.sessions.Len() == 0 && g.relay.open() == 0 })
	}
	if n := g.relay.hub.Broker.Stats().Channels; n > 8 {
		t.Errorf("%d channels are left", n)
	}
}

// Requests behind an event stream's on the same connection are no requests any more.
func TestNothingBehindAStream(t *testing.T) {
	t.Parallel()
	g := launch(t, openConfig())
	nc := g.dial()
	_, _ = io.WriteString(nc, "GET /sse?channel=a HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "+mint(t, "u1")+"\r\n\r\n"+
		"POST /v1/publish HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "+apiKey+"\r\nContent-Length: 36\r\n\r\n"+`{"channel":"a","data":"smuggled"}    `)
	r := bufio.NewReader(nc)
	if line, err := r.ReadString('\n'); err != nil || line != "HTTP/1.1 200 OK\r\n" {
		t.Fatal(line, err)
	}
	for line := ""; !strings.Contains(line, `"subscribed","channel":"a"`); {
		var err error
		if line, err = r.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
	}
	if got := g.api(200, "GET", "/v1/channels/a", "").body; !strings.Contains(got, `"seq":0`) {
		t.Errorf("something was published: %s", got)
	}
}
