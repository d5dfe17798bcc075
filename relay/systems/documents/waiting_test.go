package documents

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"weir/broker"
	"weir/broker/disk/memdisk"
	"weir/relay/config"
	"weir/relay/relaytest"
	"weir/relay/systems/documents/content"
	"weir/relay/systems/documents/text"
)

// What is put together while something waits for the disk is told as it was, whatever has happened meanwhile; and
// nothing is told before the disk has it.

// serving is a relay whose documents the test can reach into.
func serving(t testing.TB, prepare ...func(*config.Config)) (*relaytest.Rig, *Documents) {
	s := New()
	g := relaytest.Start(t, func(c *config.Config) {
		c.Namespaces["document"] = config.Namespace{Subscribe: config.Authenticated, Publish: config.Authenticated}
		for _, f := range prepare {
			f(c)
		}
	}, s)
	return g, s.documents
}

// held opens a document whose disk answers when release is called.
func held(t testing.TB, s *Documents, id string) (d *document, release func()) {
	d, err := s.get(id)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.release)
	done := make(chan struct{})
	d.mu.Lock()
	d.whenStored(broker.Receipt{Wait: func() (broker.Position, error) { <-done; return broker.Position{}, nil }}, func(error) {})
	d.mu.Unlock()
	return d, func() { close(done) }
}

// waits waits until so many steps wait for the disk, the one of held among them.
func (d *document) waits(t testing.TB, n int) {
	relaytest.Until(t, fmt.Sprint(n, " steps wait"), func() bool {
		d.mu.Lock()
		defer d.mu.Unlock()
		return len(d.queue) >= n
	})
}

// agentOf opens a connection of ShareDB.
func agentOf(g *relaytest.Rig, user string) *relaytest.Peer {
	g.Helper()
	p := g.WS(user, "/documents/sharedb")
	p.Next()
	return p
}

type j = map[string]any

func next(p *relaytest.Peer, want j) {
	p.Helper()
	x := p.Next()
	for key, v := range want {
		if got, want := fmt.Sprint(x[key]), fmt.Sprint(v); got != want {
			p.Fatalf("%s is %s, not %s: %v", key, got, want, x)
		}
	}
}

func submitted(v, seq int, components ...any) j {
	return j{"a": "op", "c": "notes", "d": "D", "v": v, "src": "me", "seq": seq, "x": j{}, "op": components}
}

// The log is cut while an operation waits that is to be answered with what its editor has missed.
func TestLogIsCutUnderWaiters(t *testing.T) {
	for _, again := range []bool{false, true} {
		t.Run(fmt.Sprint("again ", again), func(t *testing.T) {
			g, s := serving(t)
			d, release := held(t, s, "notes:D")
			for i := range content.KeptMost {
				change(t, d, text.Op{text.Inserting(fmt.Sprint(i%10, " "))})
			}
			p := agentOf(g, "u1")
			version := content.KeptMost
			if again { // its operation came in time, and the answer was lost
				op := text.Op{text.Inserting("b")}
				d.mu.Lock()
				_, _, err := d.edit(&edit{base: d.version, op: op, user: "u1", src: "me", id: "1"}, nil)
				d.mu.Unlock()
				if err != nil {
					t.Fatal(err)
				}
			}
			d.mu.Lock()
			waiting := len(d.queue)
			d.mu.Unlock()
			p.Send(submitted(version-1, 1, "b"))
			d.waits(t, waiting+1)
			for range content.KeptMost { // cuts the log
				change(t, d, text.Op{text.Inserting("x")})
			}
			release()
			next(p, j{"a": "op", "v": version - 1, "op": fmt.Sprint([]any{fmt.Sprint((content.KeptMost-1)%10, " ")})})
			next(p, j{"a": "op", "v": version, "src": "me", "seq": 1, "op": nil})
		})
	}
}

// What a list of operations holds that was given out does not change, and a list that is appended to is another.
func TestGivenOutOperationsStay(t *testing.T) {
	type list interface {
		Since(head, version uint64) ([]*content.Entry, bool)
	}
	r := rand.New(rand.NewPCG(1, 2))
	texts, opaque := content.Kinds[content.Text].Empty().(*content.TextBody), new(content.OpaqueBody)
	for _, b := range []list{texts, opaque} {
		type given struct{ now, then []*content.Entry }
		var all []given
		head := uint64(0)
		for range 6000 {
			head++
			e := &content.Entry{Version: head, Op: text.Op{text.Inserting("x")}}
			if b == list(texts) {
				texts.Append(e)
			} else {
				opaque.Log = append(opaque.Log, e)
				if r.IntN(700) == 0 {
					opaque.Put(json.RawMessage("1"), head-uint64(r.IntN(3)), head)
				}
			}
			if r.IntN(20) == 0 {
				got, ok := b.Since(head, head-min(head, uint64(r.IntN(900))))
				if !ok {
					t.Fatal("not kept")
				}
				all = append(all, given{got, append([]*content.Entry(nil), got...)})
				_ = append(got, &content.Entry{}) //nolint:gocritic // must not reach into the log
			}
		}
		for _, x := range all {
			if !slices.Equal(x.now, x.then) {
				t.Fatal("it has changed")
			}
		}
		if got, ok := b.Since(head, head+1); ok {
			t.Fatal("behind a version that there is not", got)
		}
	}
}

// Nobody is told of what the disk does not have: neither by ShareDB's requests that follow nothing, nor by those of
// backends. In between others are answered.
func TestAnswersWaitForTheDisk(t *testing.T) {
	g, s := serving(t)
	d, release := held(t, s, "notes:D")
	change(t, d, text.Op{text.Inserting("unsafe")})
	p := agentOf(g, "u1")
	for i, request := range []j{
		{"a": "f", "c": "notes", "d": "D"},
		{"a": "nf", "id": 1, "c": "notes", "d": "D", "v": 1},
		{"a": "bf", "c": "notes", "b": []any{"D", "E"}},
		{"a": "bf", "c": "notes", "b": j{"D": 0, "E": 0}},
		{"a": "bs", "c": "notes", "b": []any{"D", "E"}},
	} {
		p.Send(request)
		p.Send(j{"a": "pp"})
		next(p, j{"a": "pp"})
		d.waits(t, 3+i)
	}
	waiting := 7
	answers := make(chan any, 2)
	for _, path := range []string{"/v1/documents/notes:D", "/v1/documents/notes:D/operations"} {
		go func() {
			_, body := g.Backend("GET", path, nil)
			answers <- body
		}() // ends with its answer
		waiting++
		d.waits(t, waiting)
	}
	if len(answers) > 0 {
		t.Fatal("answered", <-answers)
	}
	release()
	<-answers
	<-answers
	next(p, j{"a": "f", "data": "map[data:unsafe type:" + "http://sharejs.org/types/text-unicode v:1]"})
	next(p, j{"a": "nf", "v": 1})
	next(p, j{"a": "bf"})
	next(p, j{"a": "op", "v": 0})
	next(p, j{"a": "bf", "b": "map[D:0 E:0]"})
	next(p, j{"a": "bs"})
}

// A client that unsubscribes while its operation waits for the disk is told of it all the same.
func TestUnsubscribedWhileItWaits(t *testing.T) {
	g, s := serving(t)
	d, err := s.get("notes:D")
	if err != nil {
		t.Fatal(err)
	}
	change(t, d, text.Op{text.Inserting("one ")})
	d.release()
	p := agentOf(g, "u1")
	p.Send(j{"a": "s", "c": "notes", "d": "D"})
	next(p, j{"a": "s"})
	d, release := held(t, s, "notes:D")
	change(t, d, text.Op{text.Inserting("two ")})
	p.Send(submitted(1, 1, "mine "))
	d.waits(t, 3)
	p.Send(j{"a": "u", "c": "notes", "d": "D"})
	next(p, j{"a": "u"})
	release()
	next(p, j{"a": "op", "v": 1, "op": "[two ]"})
	next(p, j{"a": "op", "v": 2, "seq": 1, "op": nil})
}

// What the disk has refused is told to nobody, whoever asks, until it has it after all; then it is there once.
func TestNothingIsToldOfWhatTheDiskRefuses(t *testing.T) {
	var broken atomic.Bool
	wal := memdisk.New(func(op string) error {
		if op == "sync" && broken.Load() {
			return memdisk.ErrFull
		}
		return nil
	})
	g, _ := serving(t, func(c *config.Config) { c.Data, c.Wal = t.TempDir(), wal })
	if status, body := g.Backend("PUT", "/v1/documents/notes:D", j{"text": "hello"}); status != http.StatusOK {
		t.Fatal(status, body)
	}
	broken.Store(true)
	p := agentOf(g, "u1")
	p.Send(submitted(1, 1, "> "))
	if code := p.Closed(); code != closeOverloaded { // it keeps what it has, and comes back
		t.Fatal(code)
	}
	p = agentOf(g, "u1")
	p.Send(j{"a": "f", "c": "notes", "d": "D"})
	if x := p.Next(); x["error"] == nil {
		t.Fatal(x)
	}
	p.Send(submitted(1, 1, "> "))
	if code := p.Closed(); code != closeOverloaded {
		t.Fatal(code)
	}
	if status, body := g.Backend("GET", "/v1/documents/notes:D", nil); status != http.StatusServiceUnavailable {
		t.Fatal(status, body)
	}
	if _, status := g.Dial(g.Token("u1"), "/documents/notes:D/collaborate"); status != http.StatusServiceUnavailable {
		t.Fatal(status)
	}
	broken.Store(false)
	relaytest.Until(t, "the disk has healed", func() bool {
		status, _ := g.Backend("GET", "/v1/documents/notes:D", nil)
		return status == http.StatusOK
	})
	p = agentOf(g, "u1")
	p.Send(submitted(1, 1, "> "))
	next(p, j{"a": "op", "v": 1, "seq": 1, "op": nil})
	if _, body := g.Backend("GET", "/v1/documents/notes:D", nil); body.(j)["text"] != "> hello" || body.(j)["version"] != 2.0 {
		t.Fatal(body)
	}
}

// Whatever a client of ShareDB says, however wrong and in whatever order, on a disk that takes its time: it is
// answered or closed, and nothing panics.
func TestShareDBNeverPanics(t *testing.T) {
	g, s := serving(t, func(c *config.Config) { c.Data = t.TempDir() })
	for _, id := range []string{"notes:D", "notes:E"} {
		d, err := s.get(id)
		if err != nil {
			t.Fatal(err)
		}
		for range content.KeptMost - 5 {
			change(t, d, text.Op{text.Inserting("abc")})
		}
		d.release()
	}
	seeds := 12
	if testing.Short() {
		seeds = 3
	}
	for seed := range uint64(seeds) {
		r := rand.New(rand.NewPCG(seed, 3))
		var reading sync.WaitGroup
		open := func(user string) *relaytest.Peer {
			p := agentOf(g, user)
			reading.Go(func() { p.Ends(func(m relaytest.Message) bool { return m["id"] == "last" }) }) // ends with the connection
			return p
		}
		users := []string{"u1", "u1", "u2"}
		peers := make([]*relaytest.Peer, len(users))
		for range 400 {
			i := r.IntN(len(users))
			if peers[i] == nil || !peers[i].Try(anyRequest(r, content.KeptMost-5+int(seed)*100)) {
				peers[i] = open(users[i]) // it was closed, as it should be when its document goes
			}
			if r.IntN(100) == 0 {
				g.Backend("DELETE", "/v1/documents/notes:"+string("EF"[r.IntN(2)]), nil)
			}
		}
		for _, p := range peers {
			if p != nil {
				p.Try(j{"a": "nf", "id": "last", "c": "notes", "d": "last", "v": 0})
			}
		}
		reading.Wait()
	}
	if logs := g.Logs(); strings.Contains(logs, "panic") {
		t.Fatal(logs)
	}
	for _, p := range []string{"notes:D", "notes:E"} {
		if status, body := g.Backend("GET", "/v1/documents/"+p, nil); status != http.StatusOK && status != http.StatusNotFound {
			t.Fatal(status, body)
		}
	}
}

// anyRequest is a request of ShareDB that may be right.
func anyRequest(r *rand.Rand, version int) any {
	one := func(list ...any) any { return list[r.IntN(len(list))] }
	at := func() any {
		return one(0, 1, version-1001, version-1000, version-1, version, version+1, 1<<50, -1, nil, "1", 1.5, version-r.IntN(60))
	}
	component := func() any {
		return one(1, 3, 1<<30, 1<<31, -1, 0, nil, "x", "", "😅", j{"d": 1}, j{"d": "abc"}, j{"d": -1}, j{}, []any{}, r.IntN(5000), j{"d": r.IntN(5000)}, "abc def ")
	}
	op := make([]any, r.IntN(5))
	for i := range op {
		op[i] = component()
	}
	m := j{"a": one("op", "op", "op", "op", "op", "f", "s", "u", "bf", "bs", "bu", "nf", "pp", "hs", "p", "qs", "", 1), "c": one("notes", "notes", "notes", "a:b", 1), "d": one("D", "D", "E", "F", "")}
	switch m["a"] {
	case "op":
		m["v"], m["seq"], m["x"] = at(), one(r.IntN(9), r.IntN(9), r.IntN(9), nil, -1, "1"), j{}
		switch r.IntN(12) {
		case 0:
			m["create"] = one(j{"type": sharedbType, "data": one("abc", "", 1, nil, j{})}, nil, 1, j{"type": 1})
		case 1:
			m["del"] = one(true, false, nil)
		case 2:
			m["op"] = one(nil, 1, "x", j{})
		default:
			m["op"] = op
		}
		if r.IntN(2) == 0 {
			m["src"] = one("me", "you", "", nil, 1)
		}
	case "hs":
		m["id"] = one("me", "you", nil, 1, "a b")
	case "bf", "bs", "bu":
		m["b"] = one([]any{"D", "E"}, j{"D": at(), "F": at()}, "D", nil, []any{1}, j{})
	default:
		m["v"], m["id"] = at(), one(1, "x", nil)
	}
	return m
}

const sharedbType = "http://sharejs.org/types/text-unicode"
