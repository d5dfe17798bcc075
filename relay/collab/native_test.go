package collab_test

import (
	"fmt"
	"testing"

	"weir/internal/relaytest"
	"weir/relay"
	"weir/relay/collab"
)

// m is a JSON message.
type m = relaytest.Message

// start starts a relay on which everybody with a token may edit everything.
func start(t testing.TB, prepare ...func(*relay.Config)) *relaytest.Rig {
	return relaytest.Start(t, func(c *relay.Config) {
		c.Namespaces["document"] = relay.Namespace{Subscribe: relay.Authenticated, Publish: relay.Authenticated}
		for _, f := range prepare {
			f(c)
		}
	}, collab.New())
}

// edit opens a document and answers the editor and what it was told.
func edit(g *relaytest.Rig, user, path string) (p *relaytest.Peer, connected, document m) {
	g.Helper()
	p = g.WS(user, "/documents/"+path)
	if connected = p.Next(); connected["type"] != "connected" {
		g.Fatal(connected)
	}
	if document = p.Next(); document["type"] != "document" {
		g.Fatal(document)
	}
	return p, connected, document
}

func TestEditorsMeet(t *testing.T) {
	g := start(t)
	a, _, doc := edit(g, "u1", "d1/collaborate")
	b, hello, _ := edit(g, "u2", "d1/collaborate")
	if doc["text"] != "" || doc["version"] != 0.0 || hello["userId"] != "u2" || hello["src"] == "" {
		t.Fatal(doc, hello)
	}
	a.Send(m{"type": "operation", "id": "a1", "version": 0, "operation": []any{"AB"}})
	if x := a.Next(); x["type"] != "ok" || x["id"] != "a1" || x["version"] != 1.0 {
		t.Fatal(x)
	}
	x := b.Next()
	if x["type"] != "operation" || x["userId"] != "u1" || x["version"] != 1.0 || fmt.Sprint(x["operation"]) != "[AB]" || x["timestamp"].(float64) < 1e12 {
		t.Fatal(x)
	}
	b.Send(m{"type": "operation", "id": 7, "version": 0, "operation": []any{"😅"}})
	if x := b.Next(); x["type"] != "ok" || x["id"] != 7.0 || x["version"] != 2.0 {
		t.Fatal(x)
	}
	if x := a.Next(); fmt.Sprint(x["operation"]) != "[😅]" {
		t.Fatal(x) // the one that was not in the log comes first
	}
	_, _, doc = edit(g, "u3", "d1/collaborate")
	if doc["text"] != "😅AB" || doc["version"] != 2.0 {
		t.Fatal(doc)
	}
}
