package documents_test

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"reflect"
	"testing"

	"weir/relay/relaytest"
)

// vector is a case of the reference implementation of text-unicode: what an operation makes of a text (apply), or what becomes of one that was made beside another (transform).
type vector struct {
	F, S, Side string
	Op, O      []any
	R          any // a text, or an operation
}

// vectorsOf returns those of each kind, of which package text has all; every nth of them.
func vectorsOf(t *testing.T, nth int) (applied []vector, beside [][2]vector) {
	t.Helper()
	file, err := os.Open("text/testdata/text-unicode.jsonl.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	z, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(z)
	lines.Buffer(nil, 1<<20)
	var list []vector
	for lines.Scan() {
		var v vector
		if err := json.Unmarshal(lines.Bytes(), &v); err != nil {
			t.Fatal(err)
		}
		list = append(list, v)
	}
	for i, v := range list {
		if v.F == "apply" {
			applied = append(applied, v)
		}
		if v.Side == "left" && i+1 < len(list) {
			if w := list[i+1]; w.Side == "right" && reflect.DeepEqual(v.Op, w.O) && reflect.DeepEqual(v.O, w.Op) {
				beside = append(beside, [2]vector{v, w})
			}
		}
	}
	if lines.Err() != nil || len(applied) != 3767 || len(beside) != 1034 {
		t.Fatalf("%d and %d cases, %v", len(applied), len(beside), lines.Err())
	}
	return some(applied, nth), some(beside, nth)
}

// some is every nth of a list.
func some[T any](list []T, nth int) (out []T) {
	for i := 0; i < len(list); i += nth {
		out = append(out, list[i])
	}
	return out
}

// walk calls f for each component of an operation: it skips so many code points (+n), removes them (-n) or inserts text. What is removed may be known.
func walk(op []any, f func(n int, inserts, removes string)) {
	for _, c := range op {
		switch c := c.(type) {
		case float64:
			f(int(c), "", "")
		case string:
			f(0, c, "")
		case m:
			if removed, ok := c["d"].(string); ok {
				f(-len([]rune(removed)), "", removed)
			} else {
				f(-int(c["d"].(float64)), "", "")
			}
		}
	}
}

// plain is an operation without what it removes, to be compared.
func plain(op any) (out string) {
	list, ok := op.([]any)
	if !ok {
		return fmt.Sprintf("no operation: %v", op)
	}
	walk(list, func(n int, inserts, _ string) { out += fmt.Sprintf("%+d %q, ", n, inserts) })
	return out
}

// played is a text after operations, in the simplest way there is.
func played(t *testing.T, s string, operations ...any) string {
	t.Helper()
	for _, op := range operations {
		list, _ := op.([]any)
		in, out := []rune(s), []rune(nil)
		walk(list, func(n int, inserts, _ string) {
			if max(n, -n) > len(in) {
				t.Fatalf("%v does not fit %q", op, s)
			}
			out = append(append(out, in[:max(n, 0)]...), []rune(inserts)...)
			in = in[max(n, -n):]
		})
		s = string(append(out, in...))
	}
	return s
}

// under is a text that operations were made at, as far as they know it.
func under(operations ...[]any) string {
	var s []rune
	for _, op := range operations {
		at := 0
		walk(op, func(n int, _, removes string) {
			for n = max(n, -n); len(s) < at+n; {
				s = append(s, '.')
			}
			copy(s[at:], []rune(removes))
			at += n
		})
	}
	return string(s)
}

// writer edits a document at a node, over the native protocol or that of ShareDB. It notes the operations of others as they come, and goes on where it was when its connection ends.
type writer struct {
	who
	name       string // of the document, in the collection docs
	share      bool
	src, epoch string
	seq        int
	pending    m           // its operation that was not answered; nil: none
	log        map[int]any // operations of others, by the version after each
}

// open comes, or comes back.
func (w *writer) open() {
	follow := w.native
	if w.share {
		follow = w.sharedb
	}
	for there := false; !there; {
		there = follow()
	}
	if w.pending != nil {
		w.Try(w.pending)
	}
}

func (w *writer) native() (there bool) {
	path := "/documents/docs:" + w.name + "/collaborate"
	if w.epoch != "" {
		path += fmt.Sprintf("?src=%s&epoch=%s&version=%d", url.QueryEscape(w.src), w.epoch, w.version)
	}
	w.connect(path)
	return w.Ends(func(x m) bool {
		if x["type"] == "connected" {
			w.src = x["src"].(string)
		}
		if x["type"] != "document" {
			return false
		}
		operations, resumed := x["operations"].([]any)
		if w.epoch == "" {
			w.epoch, w.version = x["epoch"].(string), int(x["version"].(float64))
		} else if !resumed || x["epoch"] != w.epoch {
			w.Errorf("it comes back to %v", x)
		}
		for _, o := range operations {
			w.take(o.(m), "id", o.(m)["version"].(float64), o.(m)["operation"])
		}
		return true
	})
}

func (w *writer) sharedb() (there bool) {
	w.connect("/documents/sharedb")
	w.Try(m{"a": "hs", "id": w.src, "protocol": 1, "protocolMinor": 2})
	if !w.Ends(func(x m) bool {
		if x["a"] == "hs" {
			w.src = x["id"].(string)
		}
		return x["a"] == "hs"
	}) {
		return false
	}
	w.Try(m{"a": "s", "c": "docs", "d": w.name, "v": w.version})
	return w.Ends(func(x m) bool {
		w.message(x)
		return x["a"] == "s"
	})
}

// message takes what comes.
func (w *writer) message(x m) {
	switch {
	case x["error"] != nil, x["type"] == "error" && x["retryable"] != true, x["type"] == "resync":
		w.Errorf("%v", x)
	case x["type"] == "error":
		w.Try(w.pending)
	case x["type"] == "ok":
		x["src"] = w.src
		fallthrough
	case x["type"] == "operation":
		w.take(x, "id", x["version"].(float64), x["operation"])
	case x["a"] == "op":
		w.take(x, "seq", x["v"].(float64)+1, x["op"])
	}
}

// take notes an operation, unless it is known: nil if it is the own one.
func (w *writer) take(x m, id string, version, op any) {
	before := w.version
	if w.next(version); w.version == before {
		return
	}
	if x["src"] == w.src && x[id] == float64(w.seq) {
		op, w.pending = nil, nil
	}
	w.log[w.version] = op
}

// send makes an operation at a version.
func (w *writer) send(version int, op []any) {
	w.seq++
	if w.pending = operation(w.seq, version, op...); w.share {
		w.pending = m{"a": "op", "c": "docs", "d": w.name, "v": version, "seq": w.seq, "x": m{}, "op": op}
	}
	w.Try(w.pending)
}

// upTo reads until it has a version.
func (w *writer) upTo(version int) {
	for w.version < version {
		if !w.Ends(func(x m) bool {
			w.message(x)
			return w.version >= version
		}) {
			w.open()
		}
	}
}

// stage is a document with a writer at each node.
type stage struct {
	*testing.T
	nodes   []*relaytest.Rig
	id      string
	writers []*writer
	text    string
	version int
}

// set has a backend make the text what it is to be.
func (s *stage) set(node int, text string) {
	s.Helper()
	if s.text == text && s.version > 0 {
		return
	}
	relaytest.Until(s, "a text is set", func() bool {
		status, out := s.nodes[node].Backend("PUT", "/v1/documents/"+s.id, m{"text": text})
		if x, _ := out.(m); status == 200 {
			s.text, s.version = text, int(x["version"].(float64))
		} else if status != 503 {
			s.Fatal(status, out)
		}
		return status == 200
	})
	for _, w := range s.writers {
		w.upTo(s.version)
	}
}

// stands holds what a node says of the document against what it is to be.
func (s *stage) stands(node int, text string, version int) {
	s.Helper()
	if got, at := textOf(s.nodes[node], s.id); got != text || at != version {
		s.Fatalf("node %d has version %d, %q, not %d, %q", node, at, got, version, text)
	}
	s.text, s.version = text, version
}

// apply has one writer make the operation of a vector, and all others get it.
func (s *stage) apply(turn int, v vector) {
	s.Helper()
	s.set(turn%3, v.S)
	author := s.writers[turn%3]
	author.send(s.version, v.Op)
	for _, w := range s.writers {
		w.upTo(s.version + 1)
		if got := w.log[s.version+1]; w != author && plain(got) != plain(v.Op) || w == author && got != nil {
			s.Fatalf("%s was sent %v, not %v", w.user, got, v.Op)
		}
	}
	if got := played(s.T, v.S, v.Op); got != v.R {
		s.Fatalf("an editor has %q, not %q", got, v.R)
	}
	s.stands((turn+1)%3, v.R.(string), s.version+1)
}

// transform has two writers make operations at one version, neither of which knows the other's: what the relay makes of the later one, and the later writer of the earlier one, is what the vectors
// say, and all end with one text.
func (s *stage) transform(turn int, later, earlier vector) {
	s.Helper()
	base := under(later.Op, later.O)
	s.set((turn+2)%3, base)
	one, two, three := s.writers[turn%3], s.writers[(turn+1)%3], s.writers[(turn+2)%3]
	one.send(s.version, later.O)
	one.upTo(s.version + 1) // it is the earlier one
	two.send(s.version, later.Op)
	for _, w := range s.writers {
		w.upTo(s.version + 2)
		first, second := w.log[s.version+1], w.log[s.version+2]
		if w != one && plain(first) != plain(later.O) || w != two && plain(second) != plain(later.R) {
			s.Fatalf("%s was sent %v and %v, not %v and %v", w.user, first, second, later.O, later.R)
		}
	}
	text := played(s.T, base, three.log[s.version+1], three.log[s.version+2])
	for _, other := range []string{played(s.T, base, later.O, one.log[s.version+2]), played(s.T, base, later.Op, earlier.R)} {
		if other != text {
			s.Fatalf("of %q one editor has %q, another %q", base, other, text)
		}
	}
	s.stands(turn%3, text, s.version+2)
}

// What the reference implementation says of operations holds for editors on three nodes, whichever of these owns the document, and after it has moved: two of the native protocol, and one of ShareDB.
func TestVectorsOnNodes(t *testing.T) {
	nth := 1
	if testing.Short() {
		nth = 50
	}
	applied, beside := vectorsOf(t, nth)
	n := three(t)
	for owner := range 3 {
		t.Run(fmt.Sprint("owner=", owner), func(t *testing.T) {
			t.Parallel()
			name := fmt.Sprint("vectors-", owner)
			s := &stage{T: t, nodes: n.Rigs, id: "docs:" + name}
			n.Move("document:"+s.id, owner)
			s.set(owner, "begin")
			for i := range n.Rigs {
				w := &writer{who: who{nodes: n.Rigs[i : i+1], user: fmt.Sprint("u", i), version: s.version}, name: name, share: i == (owner+1)%3, log: make(map[int]any)}
				w.open()
				s.writers = append(s.writers, w)
			}
			for i := owner; i < len(applied); i += 3 {
				s.apply(i/3, applied[i])
			}
			n.Move("document:"+s.id, (owner+1)%3)
			for i := owner; i < len(beside); i += 3 {
				s.transform(i/3, beside[i][0], beside[i][1])
			}
			for i := range 3 {
				s.stands(i, s.text, s.version)
			}
		})
	}
}
