package documents_test

import (
	"fmt"
	"strings"
	"testing"

	"weir/relay/auth"
	"weir/relay/config"
	"weir/relay/relaytest"
	"weir/relay/systems/documents"
)

const textType = "http://sharejs.org/types/text-unicode"

// share opens a connection of ShareDB and answers its name.
func share(g *relaytest.Rig, user, old string) (*relaytest.Peer, string) {
	g.Helper()
	p := g.WS(user, "/documents/sharedb")
	hello := p.Next()
	if hello["a"] != "init" || hello["protocol"] != 1.0 || hello["protocolMinor"] != 2.0 || hello["type"] != "http://sharejs.org/types/JSONv0" {
		g.Fatal(hello)
	}
	p.Send(m{"a": "hs", "id": nil, "protocol": 1, "protocolMinor": 2})
	if old != "" {
		p.Next()
		p.Send(m{"a": "hs", "id": old, "protocol": 1, "protocolMinor": 2})
	}
	hello = p.Next()
	if hello["a"] != "hs" || old != "" && hello["id"] != old {
		g.Fatal(hello)
	}
	return p, hello["id"].(string)
}

// has holds some members of the next message against what is wanted.
func has(p *relaytest.Peer, members m) m {
	p.Helper()
	x := p.Next()
	for key, v := range members {
		if fmt.Sprint(x[key]) != fmt.Sprint(v) {
			p.Fatalf("%s is %v, not %v: %v", key, x[key], v, x)
		}
	}
	return x
}

func op(v, seq int, components ...any) m {
	return m{"a": "op", "c": "docs", "d": "d1", "v": v, "seq": seq, "x": m{}, "op": components}
}

// TestShareDB goes through the messages that were recorded between ShareDB's own client and server.
func TestShareDB(t *testing.T) {
	g := start(t)
	a, src := share(g, "u1", "")
	b, _ := share(g, "u2", "")
	a.Send(m{"a": "s", "c": "docs", "d": "d1"})
	has(a, m{"a": "s", "c": "docs", "d": "d1", "data": "map[type:<nil> v:0]"})
	a.Send(op(0, 1, "x"))
	has(a, m{"error": "map[code:ERR_DOC_DOES_NOT_EXIST message:no such document]", "a": "op", "seq": 1})
	b.Send(m{"a": "s", "c": "docs", "d": "d1"})
	has(b, m{"a": "s"})
	a.Send(m{"a": "op", "c": "docs", "d": "d1", "v": nil, "seq": 2, "x": m{}, "create": m{"type": textType, "data": "hello"}})
	has(a, m{"src": src, "seq": 2, "v": 0, "a": "op", "c": "docs", "d": "d1"})
	has(b, m{"a": "op", "v": 0, "create": "map[data:hello type:" + textType + "]", "src": src, "seq": 2})
	late, _ := share(g, "u3", "")
	late.Send(m{"a": "s", "c": "docs", "d": "d1"})
	has(late, m{"data": "map[data:hello type:" + textType + " v:1]", "a": "s", "c": "docs", "d": "d1"})
	a.Send(op(1, 3, 5, " B"))
	has(a, m{"src": src, "seq": 3, "v": 1, "a": "op", "op": nil})
	has(b, m{"a": "op", "v": 1, "src": src, "seq": 3, "op": "[5  B]"})
	b.Send(op(1, 1, 5, " C")) // made beside it
	has(b, m{"a": "op", "v": 2, "seq": 1, "op": nil})
	has(a, m{"op": "[5  C]", "v": 2})
	a.Send(m{"a": "pp"})
	has(a, m{"a": "pp"})

	// The connection breaks; what was pending is sent again, and acknowledged as it was.
	a.Drop()
	a, _ = share(g, "u1", src)
	a.Send(m{"a": "s", "c": "docs", "d": "d1", "v": 1})
	has(a, m{"a": "op", "v": 1, "src": src, "seq": 3, "op": "[5  B]"})
	has(a, m{"a": "op", "v": 2})
	has(a, m{"a": "s", "data": nil})
	a.Send(m{"a": "op", "c": "docs", "d": "d1", "v": 1, "src": src, "seq": 3, "op": []any{5, " B"}})
	has(a, m{"a": "op", "src": src, "seq": 3, "v": 1})

	// One of the native protocol sees the same document.
	n, _, doc := edit(g, "u4", "docs:d1/collaborate")
	if doc["text"] != "hello C B" || doc["version"] != 3.0 {
		t.Fatal(doc)
	}
	n.Send(operation("one", 3, "> "))
	want(n, "ok", nil)
	has(a, m{"a": "op", "v": 3, "op": "[> ]", "seq": nil})

	a.Send(m{"a": "f", "c": "docs", "d": "d1", "v": 3})
	has(a, m{"a": "op", "v": 3})
	has(a, m{"a": "f", "data": nil})
	a.Send(m{"a": "bf", "c": "docs", "b": []any{"d1", "d2"}})
	x := has(a, m{"a": "bf", "c": "docs"})
	if data := x["data"].(m); data["d1"].(m)["v"] != 4.0 || data["d2"].(m)["type"] != nil {
		t.Fatal(x)
	}
	a.Send(m{"a": "bs", "c": "docs", "b": m{"d1": 3, "d3": 0}})
	has(a, m{"a": "op", "v": 3})
	has(a, m{"a": "bs", "b": "map[d1:3 d3:0]", "data": nil})
	a.Send(m{"a": "u", "c": "docs", "d": "d1"})
	has(a, m{"a": "u", "c": "docs", "d": "d1"})
	a.Send(m{"a": "nf", "id": 9, "c": "docs", "d": "d1", "v": 1})
	has(a, m{"a": "nf", "id": 9, "v": 1, "data": "hello"})
	a.Send(op(3, 4, "not following ")) // it is told what it has missed
	has(a, m{"a": "op", "v": 3})
	has(a, m{"a": "op", "v": 4, "seq": 4, "op": nil})
}

func TestShareDBRefuses(t *testing.T) {
	g := start(t)
	g.Backend("PUT", "/v1/documents/docs:d1", m{"text": "hello"})
	a, _ := share(g, "u1", "")
	for i, tt := range []struct {
		message any
		code    string
	}{
		{op(1, 1, 99, "x"), "ERR_OT_OP_NOT_APPLIED"},
		{op(1, 1, -1, "x"), "ERR_OT_OP_BADLY_FORMED"},
		{op(1, 1, m{"d": 99}), "ERR_OT_OP_NOT_APPLIED"},
		{op(9, 1, "x"), "ERR_OP_VERSION_NEWER_THAN_CURRENT_SNAPSHOT"},
		{m{"a": "op", "c": "docs", "d": "d1", "v": 1, "op": []any{"x"}}, "ERR_OT_OP_BADLY_FORMED"},
		{m{"a": "op", "c": "docs", "d": "d1", "v": 1, "seq": 1, "del": true}, "ERR_MESSAGE_BADLY_FORMED"},
		{m{"a": "op", "c": "docs", "d": "d1", "v": 1, "seq": "1", "op": []any{}}, "ERR_MESSAGE_BADLY_FORMED"},
		{m{"a": "op", "c": "docs", "d": "d1", "v": 0, "seq": 1, "create": m{"type": textType, "data": "x"}}, "ERR_DOC_ALREADY_CREATED"},
		{m{"a": "op", "c": "docs", "d": "d2", "v": 0, "seq": 1, "create": m{"type": "http://sharejs.org/types/JSONv0", "data": 1}}, "ERR_DOC_TYPE_NOT_RECOGNIZED"},
		{m{"a": "op", "c": "docs", "d": "d2", "v": 0, "seq": 1, "create": m{"type": textType, "data": 1}}, "ERR_OT_OP_BADLY_FORMED"},
		{m{"a": "s", "c": "a:b", "d": "d1"}, "ERR_MESSAGE_BADLY_FORMED"},
		{m{"a": "s", "c": "docs", "d": strings.Repeat("d", 300)}, "ERR_MESSAGE_BADLY_FORMED"},
		{m{"a": "s", "c": 1, "d": "d1"}, "ERR_MESSAGE_BADLY_FORMED"},
		{m{"a": "s", "c": "docs", "d": "d1", "v": -1}, "ERR_MESSAGE_BADLY_FORMED"},
		{m{"a": "s", "c": "docs", "d": "d1", "v": 9}, "ERR_OP_VERSION_NEWER_THAN_CURRENT_SNAPSHOT"},
		{m{"a": "bs", "c": "docs", "b": "d1"}, "ERR_MESSAGE_BADLY_FORMED"},
		{m{"a": "qs", "id": 1, "c": "docs", "q": m{}}, "ERR_MESSAGE_BADLY_FORMED"},
		{m{"a": 1}, "ERR_MESSAGE_BADLY_FORMED"},
		{`{}`, "ERR_MESSAGE_BADLY_FORMED"},
		{`[1]`, "ERR_MESSAGE_BADLY_FORMED"},
	} {
		a.Send(tt.message)
		x := a.Next()
		if e, ok := x["error"].(m); !ok || e["code"] != tt.code {
			t.Errorf("%d: %.100v was answered %v, not %s", i, tt.message, x, tt.code)
		}
	}
	if _, body := g.Backend("GET", "/v1/documents/docs:d1", nil); body.(m)["text"] != "hello" || body.(m)["version"] != 1.0 {
		t.Error(body)
	}
	// Who comes from an earlier run has versions of documents that are gone.
	b, _ := share(g, "u1", "0123.earlier")
	b.Send(m{"a": "s", "c": "docs", "d": "d1", "v": 1})
	if x := b.Next(); x["error"] == nil {
		t.Error(x)
	}
}

func TestShareDBGrants(t *testing.T) {
	g := relaytest.Start(t, func(c *config.Config) { c.Limit.Subscriptions = 1 }, documents.New())
	dial := func(ops ...string) *relaytest.Peer {
		p, status := g.Dial(g.Token("u1", func(c *auth.Claims) { c.Channels = map[string][]string{"document:docs:*": ops} }), "/documents/sharedb")
		if p == nil {
			t.Fatal(status)
		}
		p.Next()
		return p
	}
	reader := dial("subscribe")
	reader.Send(m{"a": "s", "c": "other", "d": "d1"})
	has(reader, m{"error": "map[code:ERR_SNAPSHOT_READS_REJECTED message:not allowed to read this document]"})
	reader.Send(m{"a": "s", "c": "docs", "d": "d1"})
	has(reader, m{"a": "s", "error": nil})
	reader.Send(m{"a": "op", "c": "docs", "d": "d1", "v": 0, "seq": 1, "create": m{"type": textType, "data": "x"}})
	if x := reader.Next(); x["error"].(m)["code"] != "ERR_OP_SUBMIT_REJECTED" {
		t.Fatal(x)
	}
	reader.Send(m{"a": "s", "c": "docs", "d": "d2"}) // one more than it may follow
	if x := reader.Next(); x["error"] == nil {
		t.Fatal(x)
	}
	if status, body := g.Backend("POST", "/v1/unsubscribe", m{"channel": "document:docs:d1", "userId": "u1"}); status != 200 || fmt.Sprint(body) != "map[unsubscribed:1]" {
		t.Fatal(status, body)
	}
	if code := reader.Closed(); code != 4003 {
		t.Fatal(code)
	}
}
