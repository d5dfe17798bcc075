package documents_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"weir/relay/config"
	"weir/relay/relaytest"
	"weir/relay/systems/documents"
	"weir/relay/systems/documents/yjs"
)

// three starts three nodes on which everybody with a token may edit everything.
func three(t *testing.T) *relaytest.Nodes {
	t.Helper()
	return relaytest.ClusterOf(t, 3, func(c *config.Config) {
		c.Namespaces["document"] = config.Namespace{Subscribe: config.Authenticated, Publish: config.Authenticated}
		c.Heartbeat, c.Pong = 30*time.Second, time.Minute // peers read when they are asked to
		swift(c)
	}, documents.Module())
}

// who is a client that goes from node to node.
type who struct {
	*relaytest.Peer
	nodes   []*relaytest.Rig
	user    string
	turn    int // the node that it tries next
	version int // that it has
}

// connect opens a route on the next node that lets the client in.
func (w *who) connect(path string) {
	w.nodes[0].Helper()
	relaytest.Until(w.nodes[0], "a node lets "+w.user+" in", func() bool {
		g := w.nodes[w.turn%len(w.nodes)]
		w.turn++
		p, status := g.Dial(g.Token(w.user), path)
		if p == nil && status != 503 {
			w.nodes[0].Fatalf("%s was answered %d", path, status)
		}
		w.Peer = p
		return p != nil
	})
}

// next notes a version, which is the one behind the last.
func (w *who) next(version any) {
	if n := int(version.(float64)); n == w.version+1 {
		w.version++
	} else if n > w.version {
		w.Errorf("%s has version %d, and is sent %d", w.user, w.version, n)
	}
}

// editor edits over the native protocol. It inserts at the beginning, so that nothing is to be transformed.
type editor struct {
	who
	src, epoch string
}

// open comes, or comes back. It reports whether its operation with an id is among what it has missed.
func (e *editor) open(id string) (made bool) {
	for {
		path := "/documents/d1/collaborate"
		if e.epoch != "" {
			path += fmt.Sprintf("?src=%s&epoch=%s&version=%d", url.QueryEscape(e.src), e.epoch, e.version)
		}
		e.connect(path)
		there := e.Ends(func(x m) bool {
			if x["type"] == "connected" {
				e.src = x["src"].(string)
			}
			if x["type"] != "document" {
				return false
			}
			operations, _ := x["operations"].([]any)
			if e.epoch != "" && (x["epoch"] != e.epoch || operations == nil) {
				e.Errorf("it comes back to %v", x)
			}
			for _, o := range operations {
				o := o.(m)
				e.next(o["version"])
				made = made || o["src"] == e.src && o["id"] == id
			}
			e.epoch, e.version = x["epoch"].(string), int(x["version"].(float64))
			return true
		})
		if there {
			return made
		}
	}
}

// write makes an operation, however often its connection ends.
func (e *editor) write(id string) {
	for made := false; !made; {
		e.Try(operation(id, e.version, id+" "))
		if !e.Ends(func(x m) bool {
			switch x["type"] {
			case "operation":
				e.next(x["version"])
			case "ok":
				e.next(x["version"])
				made = x["id"] == id
			case "error":
				if x["retryable"] != true {
					e.Errorf("%v", x)
				}
				return true
			}
			return made
		}) {
			made = e.open(id)
		}
	}
}

// upTo reads until it has a version.
func (e *editor) upTo(version int) {
	for e.version < version {
		if !e.Ends(func(x m) bool {
			if x["type"] == "operation" {
				e.next(x["version"])
			}
			return e.version == version
		}) {
			e.open("")
		}
	}
}

// sharer edits over ShareDB's protocol.
type sharer struct {
	who
	src string
}

func (s *sharer) open() {
	for {
		s.connect("/documents/sharedb")
		s.Try(m{"a": "hs", "id": s.src, "protocol": 1, "protocolMinor": 2})
		if s.Ends(func(x m) bool {
			if x["a"] == "hs" {
				s.src = x["id"].(string)
			}
			return x["a"] == "hs"
		}) {
			return
		}
	}
}

// versions notes the version of an operation.
func (s *sharer) versions(x m) {
	if x["a"] == "op" && x["error"] == nil {
		s.next(x["v"].(float64) + 1)
	}
}

// subscribe follows the document from the version that it has.
func (s *sharer) subscribe() bool {
	s.Try(m{"a": "s", "c": "docs", "d": "d1", "v": s.version})
	return s.Ends(func(x m) bool {
		s.versions(x)
		if x["error"] != nil {
			s.Errorf("%v", x)
		}
		return x["a"] == "s"
	})
}

// write makes an operation. What is pending is sent first when it comes back.
func (s *sharer) write(seq int, word string) {
	base := s.version
	for back := false; ; back = true {
		s.Try(op(base, seq, word+" "))
		if s.Ends(func(x m) bool {
			s.versions(x)
			if x["error"] != nil {
				s.Errorf("%v", x)
				return true
			}
			return x["a"] == "op" && x["src"] == s.src && x["seq"] == float64(seq)
		}) && (!back || s.subscribe()) {
			return
		}
		s.open()
	}
}

// text is the text of a document as a backend is told it by a node.
func textOf(g *relaytest.Rig, id string) (text string, version int) {
	g.Helper()
	relaytest.Until(g, "the document is told", func() bool {
		status, out := g.Backend("GET", "/v1/documents/"+id, nil)
		x, _ := out.(m)
		if status == 200 {
			text, version = x["text"].(string), int(x["version"].(float64))
		} else if status != 503 {
			g.Errorf("%d %v", status, out)
			return true
		}
		return status == 200
	})
	return text, version
}

// judge holds what all nodes have of a document against the words that were written.
func judge(t *testing.T, n *relaytest.Nodes, id string, words []string) (version int) {
	t.Helper()
	first := ""
	for i, g := range n.Rigs {
		text, now := "", 0
		relaytest.Until(g, "it has heard of what others have made while it was cut off", func() bool {
			text, now = textOf(g, id)
			return len(strings.Fields(text)) >= len(words)
		})
		if i == 0 {
			first, version = text, now
		}
		if text != first || now != version {
			t.Errorf("node %d has version %d %q, node 0 %d %q", i, now, text, version, first)
		}
		have := strings.Fields(text)
		slices.Sort(have)
		slices.Sort(words)
		if !slices.Equal(have, words) {
			t.Errorf("node %d has %q of %q", i, have, words)
		}
		status, out := g.Backend("GET", "/v1/documents/"+id+"/operations?limit=1000", nil)
		if list, _ := out.(m)["operations"].([]any); status != 200 || len(list) != version {
			t.Errorf("node %d has %d operations of %d", i, len(list), version)
		} else {
			for k, o := range list {
				if o.(m)["version"] != float64(k+1) {
					t.Errorf("operation %d has version %v", k, o.(m)["version"])
				}
			}
		}
	}
	return version
}

// disturb has a document's owner move about, and cuts it off in the end, as long as somebody works.
func disturb(n *relaytest.Nodes, channel string, works func() bool) {
	for turn := 0; turn < 4 || works() && turn < 8; turn++ {
		n.Move(channel, turn%3)
	}
	n.Move(channel, 0)
	n.Cut(0)
}

// Editors on all nodes have one document, whichever owns it, and while it moves and is lost: each operation is made once, and all have all.
func TestEditorsOnNodes(t *testing.T) {
	n := three(t)
	n.Move("document:d1", 1)
	var editors []*editor
	for i := range 6 {
		e := &editor{who: who{nodes: n.Rigs, user: fmt.Sprint("u", i), turn: i}}
		e.open("")
		editors = append(editors, e)
	}
	var words []string
	version := 0
	round := func(name string, meanwhile func(works func() bool)) {
		var all sync.WaitGroup
		for i, e := range editors {
			for k := range 10 {
				words = append(words, fmt.Sprint(name, i, "-", k))
			}
			all.Go(func() {
				for k := range 10 {
					e.write(fmt.Sprint(name, i, "-", k))
				}
			})
		}
		done := make(chan struct{})
		go func() {
			all.Wait()
			close(done)
		}()
		meanwhile(func() bool {
			select {
			case <-done:
				return false
			default:
				return true
			}
		})
		<-done
		version += 60
		for _, e := range editors {
			e.upTo(version)
		}
	}
	round("a", func(func() bool) {})
	if got := judge(t, n, "d1", words); got != version {
		t.Errorf("the version is %d, not %d", got, version)
	}
	round("b", func(works func() bool) { disturb(n, "document:d1", works) })
	n.Heal()
	if got := judge(t, n, "d1", words); got != version {
		t.Errorf("the version is %d, not %d", got, version)
	}
}

// Clients of ShareDB on all nodes have one document, and others in the same connection, whichever nodes own them.
func TestShareDBOnNodes(t *testing.T) {
	n := three(t)
	n.Move("document:docs:d1", 1)
	for i := range 12 { // of all nodes
		relaytest.Until(t, "a document is made", func() bool {
			status, _ := n.Rigs[i%3].Backend("PUT", fmt.Sprint("/v1/documents/docs:d", i), m{"text": fmt.Sprint("begin", i, " ")})
			return status == 200
		})
	}
	var words []string
	var sharers []*sharer
	for i := range 3 {
		s := &sharer{who: who{nodes: n.Rigs, user: fmt.Sprint("u", i), turn: i, version: 1}}
		s.open()
		list := []any{}
		for k := range 12 {
			list = append(list, fmt.Sprint("d", k))
		}
		s.Send(m{"a": "bf", "c": "docs", "b": list})
		told := make(map[string]bool)
		s.Until(func(x m) bool {
			for name, data := range x["data"].(m) {
				if told[name] || data.(m)["data"] != "begin"+name[1:]+" " {
					t.Errorf("%s: %v", name, data)
				}
				told[name] = true
			}
			return len(told) == 12
		})
		if !s.subscribe() {
			t.Fatal("a connection ended")
		}
		sharers = append(sharers, s)
	}
	words = append(words, "begin1")
	var all sync.WaitGroup
	for i, s := range sharers {
		for k := range 20 {
			words = append(words, fmt.Sprint("s", i, "-", k))
		}
		all.Go(func() {
			for k := range 20 {
				s.write(k+1, fmt.Sprint("s", i, "-", k))
			}
		})
	}
	disturb(n, "document:docs:d1", func() bool { return true })
	all.Wait()
	n.Heal()
	if got := judge(t, n, "docs:d1", words); got != 61 {
		t.Errorf("the version is %d", got)
	}
}

// pusher edits over the protocol for clients that rebase.
type pusher struct {
	who
	epoch   string
	updates []string
}

func (p *pusher) open() {
	for {
		path := "/documents/opaque/o1"
		if p.epoch != "" {
			path += fmt.Sprintf("?epoch=%s&version=%d", p.epoch, p.version)
		}
		p.connect(path)
		if p.Ends(func(x m) bool {
			if x["type"] == "document" {
				if p.epoch != "" && p.version > 0 && x["epoch"] != p.epoch {
					p.Errorf("it comes back to %v", x)
				}
				p.epoch = x["epoch"].(string)
				p.take(x)
			}
			return x["type"] == "document"
		}) {
			return
		}
	}
}

// take notes updates, which begin behind a version.
func (p *pusher) take(x m) {
	list := x["updates"].([]any)
	from := int(x["version"].(float64))
	if x["type"] == "document" {
		from -= len(list)
	}
	for i, u := range list {
		if at := from + i + 1; at > p.version {
			p.next(float64(at))
			p.updates = append(p.updates, u.(m)["word"].(string))
		}
	}
}

// write pushes an update until it is among those that come.
func (p *pusher) write(word string) {
	for !slices.Contains(p.updates, word) {
		p.Try(push(word, p.version, m{"word": word}))
		if !p.Ends(func(x m) bool {
			if x["type"] == "updates" {
				p.take(x)
			}
			return slices.Contains(p.updates, word) || x["type"] == "rejected" && int(x["version"].(float64)) <= p.version || x["type"] == "error"
		}) {
			p.open()
		}
	}
}

// Clients that rebase get the updates of all nodes in one order.
func TestOpaqueOnNodes(t *testing.T) {
	n := three(t)
	n.Move("document:o1", 1)
	var pushers []*pusher
	for i := range 3 {
		p := &pusher{who: who{nodes: n.Rigs, user: fmt.Sprint("u", i), turn: i}}
		p.open()
		pushers = append(pushers, p)
	}
	var all sync.WaitGroup
	for i, p := range pushers {
		all.Go(func() {
			for k := range 15 {
				p.write(fmt.Sprint("w", i, "-", k))
			}
		})
	}
	disturb(n, "document:o1", func() bool { return true })
	all.Wait()
	n.Heal()
	for _, p := range pushers {
		for p.version < 45 {
			if !p.Ends(func(x m) bool {
				if x["type"] == "updates" {
					p.take(x)
				}
				return p.version == 45
			}) {
				p.open()
			}
		}
		if !slices.Equal(p.updates, pushers[0].updates) {
			t.Errorf("%s has %q, another one %q", p.user, p.updates, pushers[0].updates)
		}
	}
}

// Updates of Yjs that come to any node are with all, whichever owns the document.
func TestYjsOnNodes(t *testing.T) {
	n := three(t)
	n.Move("document:y1", 1)
	update := func(client int) []byte { return []byte(strings.Replace(firstUpdate, "\x07", string(rune(client)), 1)) }
	open := func(i int) *relaytest.Peer {
		w := &who{nodes: n.Rigs, user: fmt.Sprint("u", i), turn: i}
		w.connect("/documents/yjs/y1")
		return w.Peer
	}
	var peers []*relaytest.Peer
	for i := range 3 {
		p := open(i)
		wants(p, yjs.Sync, yjs.Step1)
		presence(p)
		peers = append(peers, p)
	}
	for i, p := range peers {
		p.Write(yjs.AppendSync(nil, yjs.Step3, update(i+1)))
		for k, other := range peers {
			if k != i {
				if x := wants(other, yjs.Sync, yjs.Step3); !bytes.Equal(x.Body, update(i+1)) {
					t.Errorf("%d was sent %q", k, x.Body)
				}
			}
		}
	}
	peers[2].Write(yjs.AppendAwareness(nil, []yjs.Presence{{Client: 7, Clock: 1, State: []byte(`{"name":"c"}`)}}))
	for _, p := range peers[:2] {
		if list := presence(p); len(list) != 1 || list[0].Client != 7 {
			t.Errorf("present are %v", list)
		}
	}
	content := func(g *relaytest.Rig) (all string) {
		relaytest.Until(g, "the document is told", func() bool {
			status, out := g.Backend("GET", "/v1/documents/y1", nil)
			if status == 200 {
				b, err := base64.StdEncoding.DecodeString(out.(m)["content"].(string))
				if err != nil {
					t.Error(err)
				}
				all = string(b)
			}
			return status == 200
		})
		return all
	}
	n.Move("document:y1", 2)
	for i, p := range peers {
		if code := p.Closed(); code != 4100 {
			t.Errorf("%d was closed with %d", i, code)
		}
	}
	for turn := range 4 {
		p := open(turn)
		p.Write(yjs.AppendSync(nil, yjs.Step3, update(turn+4)))
		p.Write(yjs.AppendSync(nil, yjs.Step1, []byte{0}))
		wants(p, yjs.Sync, yjs.Step2) // it is stored
		p.Close()
		n.Move("document:y1", turn%3)
	}
	n.Move("document:y1", 0)
	n.Cut(0)
	last := content(n.Rigs[1])
	n.Heal()
	for i, g := range n.Rigs {
		if got := content(g); got != last || strings.Count(got, "ab") != 7 {
			t.Errorf("node %d has %q, not %q", i, got, last)
		}
	}
}
