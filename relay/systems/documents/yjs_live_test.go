package documents_test

import (
	"encoding/base64"
	"strings"
	"testing"

	"weir/relay/auth"
	"weir/relay/config"
	"weir/relay/relaytest"
	"weir/relay/systems/documents"
	"weir/relay/systems/documents/yjs"
)

// An update of one client: "ab" at the beginning of the text t.
const firstUpdate = "\x01\x01\x07\x00\x04\x01\x01t\x02ab\x00"

func binary(p *relaytest.Peer) yjs.Message {
	p.Helper()
	isBinary, b := p.Read()
	x, err := yjs.ParseMessage(b)
	if err != nil || !isBinary {
		p.Fatalf("%q: %v", b, err)
	}
	return x
}

// wants reads messages up to the first of a type and step.
func wants(p *relaytest.Peer, kind, step uint64) yjs.Message {
	p.Helper()
	for {
		if x := binary(p); x.Type == kind && x.Step == step {
			return x
		}
	}
}

func presence(p *relaytest.Peer) []yjs.Presence {
	p.Helper()
	list, err := yjs.ParseAwareness(wants(p, yjs.Awareness, 0).Body)
	if err != nil {
		p.Fatal(err)
	}
	return list
}

func TestYjs(t *testing.T) {
	g := start(t)
	a, b := g.WS("u1", "/documents/yjs/d1"), g.WS("u2", "/documents/yjs/d1")
	if x := wants(a, yjs.Sync, yjs.Step1); string(x.Body) != "\x00" {
		t.Fatalf("%q", x.Body)
	}
	wants(b, yjs.Sync, yjs.Step1)
	if list := presence(a); len(list) != 0 {
		t.Fatal(list)
	}
	presence(b)
	a.Write(yjs.AppendSync(nil, yjs.Step3, []byte(firstUpdate)))
	if x := wants(b, yjs.Sync, yjs.Step3); string(x.Body) != firstUpdate {
		t.Fatalf("%q", x.Body)
	}
	a.Write(yjs.AppendSync(nil, yjs.Step2, []byte(firstUpdate))) // it is not new
	a.Write(yjs.AppendSync(nil, yjs.Step1, []byte("\x00")))
	if x := wants(a, yjs.Sync, yjs.Step2); string(x.Body) != firstUpdate {
		t.Fatalf("%q", x.Body)
	}
	b.Write(yjs.AppendSync(nil, yjs.Step1, []byte("\x01\x07\x01"))) // has the a
	if x := wants(b, yjs.Sync, yjs.Step2); string(x.Body) != "\x01\x01\x07\x01\x84\x07\x00\x01b\x00" {
		t.Fatalf("%q", x.Body)
	}
	status, body := g.Backend("GET", "/v1/documents/d1", nil)
	if status != 200 || body.(m)["kind"] != "yjs" || body.(m)["version"] != 1.0 || body.(m)["content"] != base64.StdEncoding.EncodeToString([]byte(firstUpdate)) {
		t.Fatal(status, body)
	}
	if p, status := g.Dial(g.Token("u1"), "/documents/d1/collaborate"); p != nil || status != 409 {
		t.Fatal("another kind", status)
	}
	if status, _ := g.Backend("PUT", "/v1/documents/d1", m{"text": "x"}); status != 409 {
		t.Fatal(status)
	}

	// Awareness is told to all, also to who said it; what others repeat is not; it goes with the connection.
	said := []yjs.Presence{{Client: 7, Clock: 1, State: []byte(`{"name":"ann"}`)}}
	a.Write(yjs.AppendAwareness(nil, said))
	for _, p := range []*relaytest.Peer{a, b} {
		if list := presence(p); len(list) != 1 || string(list[0].State) != `{"name":"ann"}` {
			t.Fatal(list)
		}
	}
	b.Write(yjs.AppendAwareness(nil, append(said, yjs.Presence{Client: 7, Clock: 9, State: []byte(`"spoofed"`)}, yjs.Presence{Client: 8, Clock: 1, State: []byte("1")})))
	if list := presence(a); len(list) != 1 || list[0].Client != 8 {
		t.Fatal(list)
	}
	late := g.WS("u3", "/documents/yjs/d1")
	if list := presence(late); len(list) != 2 {
		t.Fatal(list)
	}
	late.Write([]byte{yjs.QueryAwareness})
	if list := presence(late); len(list) != 2 {
		t.Fatal(list)
	}
	b.Drop()
	if list := presence(late); len(list) != 1 || list[0].Client != 8 || list[0].Clock != 2 || !list[0].Gone() {
		t.Fatal(list)
	}
}

func TestYjsRefuses(t *testing.T) {
	g := start(t, func(c *config.Config) { config.Of[documents.Config](c).Size = 1 << 10 })
	for name, tt := range map[string]struct {
		message string
		code    int
	}{
		"nothing":                {"", 4400},
		"unknown type":           {"\x09", 4400},
		"cut short":              {"\x00\x02\x05ab", 4400},
		"no update":              {string(yjs.AppendSync(nil, yjs.Step3, []byte("nonsense"))), 4400},
		"no state vector":        {string(yjs.AppendSync(nil, yjs.Step1, []byte{9})), 4400},
		"endless counts":         {string(yjs.AppendSync(nil, yjs.Step3, []byte("\xff\xff\xff\xff\xff\xff\xff\x0f\x00"))), 4400},
		"no awareness":           {"\x01\x02\x05a", 4400},
		"larger than a document": {string(yjs.AppendSync(nil, yjs.Step3, []byte("\x01\x01\x07\x00\x04\x01\x01t\x80\x10"+strings.Repeat("x", 2048)+"\x00"))), 4413},
	} {
		p := g.WS("u1", "/documents/yjs/d1")
		p.Write([]byte(tt.message))
		if code := p.Closed(); code != tt.code {
			t.Errorf("%s: %d", name, code)
		}
	}
	p := g.WS("u1", "/documents/yjs/d1")
	p.Send(`{"type":"operation"}`)
	if code := p.Closed(); code != 4400 {
		t.Error("text", code)
	}
	if status, _ := g.Backend("GET", "/v1/documents/d1", nil); status != 404 {
		t.Error("something was stored", status)
	}
}

func TestYjsReaders(t *testing.T) {
	g := relaytest.Start(t, nil, documents.New())
	may := func(ops ...string) string {
		return g.Token("u1", func(c *auth.Claims) { c.Channels = map[string][]string{"document:d1": ops} })
	}
	if p, status := g.Dial(g.Token("u1"), "/documents/yjs/d1"); p != nil || status != 403 {
		t.Fatal(status)
	}
	reader, _ := g.Dial(may("subscribe"), "/documents/yjs/d1")
	wants(reader, yjs.Sync, yjs.Step1)
	presence(reader)
	reader.Write(yjs.AppendSync(nil, yjs.Step2, []byte("\x00\x00"))) // nothing is not refused
	reader.Write(yjs.AppendSync(nil, yjs.Step3, []byte(firstUpdate)))
	if _, b := reader.Read(); b[0] != yjs.Auth || !strings.Contains(string(b), "not allowed") {
		t.Fatalf("%q", b)
	}
	writer, _ := g.Dial(may("subscribe", "publish"), "/documents/yjs/d1")
	writer.Write(yjs.AppendSync(nil, yjs.Step3, []byte(firstUpdate)))
	wants(reader, yjs.Sync, yjs.Step3)
	if status, _ := g.Backend("POST", "/v1/unsubscribe", m{"channel": "document:d1", "userId": "u1"}); status != 200 {
		t.Fatal(status)
	}
	if code := reader.Closed(); code != 4403 {
		t.Error(code)
	}
}

// Updates are on disk where there is a data directory, merged or not.
func TestYjsDurable(t *testing.T) {
	dir := t.TempDir()
	durable := func(c *config.Config) { c.Data = dir }
	g := start(t, durable)
	a, b := g.WS("u1", "/documents/yjs/d1"), g.WS("u2", "/documents/yjs/d1")
	presence(b)
	a.Write(yjs.AppendSync(nil, yjs.Step3, []byte(firstUpdate)))
	wants(b, yjs.Sync, yjs.Step3)
	g.Stop()
	g = start(t, durable)
	a = g.WS("u1", "/documents/yjs/d1")
	if x := wants(a, yjs.Sync, yjs.Step1); string(x.Body) != "\x01\x07\x02" {
		t.Fatalf("%q", x.Body)
	}
}
