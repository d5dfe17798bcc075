package documents

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"weir/relay"
	"weir/relay/config"
	"weir/relay/relaytest"
	"weir/relay/systems/documents/content"
	"weir/relay/systems/documents/text"
)

// A simulation of editors of one document. Everything that happens is chosen by one seeded source: who types,
// which message arrives next, who loses the connection with what is under way, who comes back and how, when the
// document leaves memory. So the same seed is the same run.

// bench gives tests what a system gets.
type workbench struct{ host relay.Host }

func (*workbench) Name() string { return Name }
func (*workbench) Close()       {}
func (w *workbench) Start(host relay.Host) error {
	w.host = host
	return content.Store{Host: host}.Reserve()
}

// openDocuments are documents without any connections, with a clock of their own.
func openDocuments(t testing.TB, clock func() time.Time, prepare func(*config.Config)) *Documents {
	w := new(workbench)
	relaytest.Start(t, prepare, w)
	s := newDocuments(w.host)
	if clock != nil {
		s.now = clock
	}
	return s
}

// simMessage is one on its way. To an editor: an operation, an answer, or an error; to the relay: an operation.
type simMessage struct {
	entry   *content.Entry // of others
	version uint64         // of an answer; base of an operation
	id      string
	op      text.Op
	state   *simState
	err     error
}

// simState is what an editor is told when it joins.
type simState struct {
	epoch   string
	version uint64
	since   []*content.Entry
	whole   bool
	text    string
}

// simEditor is an editor as the protocol wants it: one operation under way, the rest waits and is composed.
type simEditor struct {
	name string
	src  string

	editor  *editor // nil: not connected
	joined  bool    // has been told where things stand
	in, out []simMessage

	epoch   string
	version uint64
	text    *text.Buffer
	flight  text.Op // nil: none
	base    uint64  // that flight was made at
	id      string
	waiting text.Op
	count   int
	lost    int // times it had to start again from the text
}

// world is the simulation.
type world struct {
	followers
	t         *testing.T
	r         *rand.Rand
	documents *Documents
	doc       *document
	editors   []*simEditor
	now       time.Time
	trace     hash.Hash
	versions  uint64 // told to the broadcaster
}

func (w *world) number(most int) int { return w.r.IntN(most + 1) }

func (w *world) log(format string, args ...any) { _, _ = fmt.Fprintf(w.trace, format+"\n", args...) }

// applied implements broadcaster.
func (w *world) applied(e *content.Entry, by *editor) error {
	if e.Version != w.versions+1 {
		w.t.Fatalf("version %d comes after %d", e.Version, w.versions)
	}
	w.versions = e.Version
	for _, x := range w.editors {
		switch {
		case x.editor == nil:
		case x.editor == by:
			x.in = append(x.in, simMessage{version: e.Version, id: e.ID})
		default:
			x.in = append(x.in, simMessage{entry: e})
		}
	}
	return nil
}

func (w *world) full() bool { return w.number(200) == 0 } // now and then operations are refused

// connect opens the document for an editor.
func (w *world) connect(x *simEditor) {
	d := w.doc
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.load(content.Text); err != nil {
		w.t.Fatal(err)
	}
	x.count++
	x.editor = &editor{connection: fmt.Sprintf("%s-%d", x.name, x.count), user: x.name, src: x.src, broadcaster: w}
	d.addEditor(x.editor)
	s := &simState{epoch: d.epoch, version: d.version}
	s.since, s.whole = d.missed(resume{x.epoch, x.version})
	if s.whole {
		s.text = d.body.(*content.TextBody).Buffer.String()
	}
	x.in, x.out, x.joined = []simMessage{{state: s}}, nil, false
}

// drop loses the connection, and what is under way.
func (w *world) drop(x *simEditor) {
	w.doc.removeEditor(x.editor)
	x.editor, x.in, x.out = nil, nil, nil
}

// receive lets the next message reach an editor.
func (w *world) receive(x *simEditor) {
	m := x.in[0]
	x.in = x.in[1:]
	switch {
	case m.state != nil:
		w.joined(x, m.state)
	case m.entry != nil:
		x.remote(w.t, m.entry)
	case errors.Is(m.err, errOverloaded): // try again
		x.send()
	case errors.Is(m.err, errStale): // as if it had come back with nothing
		w.log("%s is too far behind", x.name)
		x.epoch = ""
		w.drop(x)
		w.connect(x)
	case m.err != nil:
		w.t.Fatalf("%s: %v", x.name, m.err)
	default:
		x.acknowledged(w.t, m.version, m.id)
	}
}

// joined is the first message: the text, or what was missed, in which an operation that was under way may be.
func (w *world) joined(x *simEditor, s *simState) {
	x.joined = true
	if s.whole {
		if x.flight != nil || x.waiting != nil || x.version > 0 {
			x.lost++
		}
		x.text, x.version, x.flight, x.waiting = text.NewBuffer(s.text), s.version, nil, nil
	}
	x.epoch = s.epoch
	for _, e := range s.since {
		if e.Src == x.src && e.ID == x.id && x.flight != nil {
			x.version, x.flight = e.Version, nil // it was accepted, and the answer was lost
			continue
		}
		x.remote(w.t, e)
	}
	if x.flight != nil {
		x.send() // again
	} else {
		x.flush()
	}
}

// remote applies an operation of somebody else.
func (x *simEditor) remote(t *testing.T, e *content.Entry) {
	if e.Version != x.version+1 {
		t.Fatalf("%s has version %d and gets %d", x.name, x.version, e.Version)
	}
	x.version++
	op := e.Op
	if x.flight != nil {
		op, x.flight = text.Transform(op, x.flight, text.Right), text.Transform(x.flight, op, text.Left)
	}
	if x.waiting != nil {
		op, x.waiting = text.Transform(op, x.waiting, text.Right), text.Transform(x.waiting, op, text.Left)
	}
	if err := x.text.Apply(slices.Clone(op)); err != nil {
		t.Fatalf("%s: %v", x.name, err)
	}
}

func (x *simEditor) acknowledged(t *testing.T, version uint64, id string) {
	if id != x.id || x.flight == nil {
		t.Fatalf("%s: an answer to %s, while %s is under way", x.name, id, x.id)
	}
	if version != x.version+1 {
		t.Fatalf("%s has version %d, and %d is its own", x.name, x.version, version)
	}
	x.version, x.flight = version, nil
	x.flush()
}

// flush sends what waits, if nothing is under way.
func (x *simEditor) flush() {
	if x.flight == nil && x.waiting != nil && x.editor != nil && x.joined {
		x.flight, x.waiting = x.waiting, nil
		x.count++
		x.id = fmt.Sprintf("%d", x.count)
		x.send()
	}
}

// send sends what is under way, as it is by now.
func (x *simEditor) send() {
	x.base = x.version
	x.out = append(x.out, simMessage{op: x.flight, version: x.base, id: x.id})
}

// typed is an edit on the editor's own text.
func (w *world) typed(x *simEditor) {
	if x.text == nil {
		return
	}
	op := w.randomOp(x.text.Len())
	if err := x.text.Apply(slices.Clone(op)); err != nil {
		w.t.Fatal(err)
	}
	if x.waiting == nil {
		x.waiting = op
	} else {
		x.waiting = text.Compose(x.waiting, op)
	}
	x.flush()
}

func (w *world) randomOp(n int) text.Op {
	words := []string{"a", "bc ", "ü", "😅", "\n", strings.Repeat("long ", 50)}
	var op text.Op
	for range 1 + w.number(2) {
		switch k := w.number(2); {
		case k == 0:
			op = append(op, text.Inserting(words[w.number(len(words)-1)]))
		case n > 0:
			c := text.Skipping(1 + w.number(min(n, 400)-1))
			n -= c.N
			if k == 2 {
				c.Kind = text.Delete
			}
			op = append(op, c)
		}
	}
	return text.Compose(nil, op)
}

// deliver lets the next message of an editor reach the document; some come twice.
func (w *world) deliver(x *simEditor) {
	m := x.out[0]
	x.out = x.out[1:]
	times := 1
	if w.number(30) == 0 {
		times = 2
	}
	d := w.doc
	for range times {
		d.mu.Lock()
		if err := d.load(content.Text); err != nil {
			w.t.Fatal(err)
		}
		version, again, err := d.edit(&edit{base: m.version, op: m.op, user: x.name, src: x.src, id: m.id, by: x.editor}, nil)
		d.mu.Unlock()
		w.log("%s %s at %d: %d %v %v", x.name, m.op, m.version, version, again, err)
		if times == 2 && (again || err != nil) {
			continue // a copy: the first was answered
		}
		if err != nil || again {
			x.in = append(x.in, simMessage{version: version, id: m.id, err: err})
		}
	}
}

// step does one thing.
func (w *world) step() {
	x := w.editors[w.number(len(w.editors)-1)]
	w.now = w.now.Add(time.Duration(w.number(50)) * time.Millisecond)
	switch k := w.number(99); {
	case k < 25:
		w.typed(x)
	case k < 60 && len(x.out) > 0 && x.editor != nil:
		w.deliver(x)
	case k < 95 && len(x.in) > 0 && x.editor != nil:
		w.receive(x)
	case k == 96 && x.editor != nil:
		w.log("drop %s", x.name)
		w.drop(x)
	case k > 96 && x.editor == nil:
		w.log("connect %s", x.name)
		w.connect(x)
	case k == 95: // a backend edits, or the document leaves memory
		d := w.doc
		if w.number(3) == 0 {
			d.unload(w.now.Add(time.Hour), time.Minute)
			return
		}
		d.mu.Lock()
		defer d.mu.Unlock()
		if err := d.load(content.Text); err != nil {
			w.t.Fatal(err)
		}
		op := w.randomOp(d.body.(*content.TextBody).Buffer.Len())
		if _, _, err := d.edit(&edit{base: d.version, op: op}, nil); err != nil && !errors.Is(err, errOverloaded) {
			w.t.Fatal(err)
		}
	}
}

// settle connects everybody and lets everything arrive.
func (w *world) settle() {
	for _, x := range w.editors {
		if x.editor == nil {
			w.connect(x)
		}
	}
	for busy := true; busy; {
		busy = false
		for _, x := range w.editors {
			for len(x.in) > 0 || len(x.out) > 0 {
				busy = true
				if len(x.out) > 0 {
					w.deliver(x)
				} else {
					w.receive(x)
				}
			}
		}
	}
}

// run is one simulation. It answers what happened, as a hash, and the text in the end.
func run(t *testing.T, documents *Documents, seed uint64, editors, steps int) (trace, result string) {
	w := &world{t: t, r: rand.New(rand.NewPCG(seed, 7)), documents: documents, now: time.Unix(1e9, 0), trace: sha256.New()}
	documents.now = func() time.Time { return w.now }
	var err error
	if w.doc, err = documents.get(fmt.Sprintf("%s-%d", strings.ToLower(t.Name()), documents.counts.loads.Get())); err != nil {
		t.Fatal(err)
	}
	defer w.doc.release()
	w.doc.broadcasters = []broadcaster{w}
	for i := range editors {
		w.editors = append(w.editors, &simEditor{name: fmt.Sprintf("u%d", i), src: fmt.Sprintf("s%d", i)})
	}
	for range steps {
		w.step()
	}
	w.settle()
	d := w.doc
	d.mu.Lock()
	if err := d.load(content.Text); err != nil {
		t.Fatal(err)
	}
	result = d.body.(*content.TextBody).Buffer.String()
	for _, x := range w.editors {
		if got := x.text.String(); got != result || x.version != d.version || x.flight != nil || x.waiting != nil {
			t.Fatalf("seed %d: %s has version %d of %d and\n%q, not\n%q", seed, x.name, x.version, d.version, got, result)
		}
		w.log("%s lost %d", x.name, x.lost)
	}
	if d.version != w.versions {
		t.Fatalf("seed %d: version %d, told of %d", seed, d.version, w.versions)
	}
	d.mu.Unlock()
	for _, x := range w.editors {
		w.drop(x)
	}
	return fmt.Sprintf("%x", w.trace.Sum(nil)), result
}

func TestSimulation(t *testing.T) {
	documents := openDocuments(t, nil, nil)
	seeds := 30
	if testing.Short() {
		seeds = 5
	}
	for seed := range uint64(seeds) {
		trace, result := run(t, documents, seed, 2+int(seed%6), 6000)
		if seed%10 == 0 {
			if again, other := run(t, documents, seed, 2+int(seed%6), 6000); again != trace || other != result {
				t.Fatalf("seed %d runs in two ways", seed)
			}
		}
	}
}

// Editors that were away for more operations than are kept start again from the text; the others do not notice.
func TestSimulationFarBehind(t *testing.T) {
	documents := openDocuments(t, nil, nil)
	w := &world{t: t, r: rand.New(rand.NewPCG(1, 7)), documents: documents, now: time.Unix(1e9, 0), trace: sha256.New()}
	documents.now = func() time.Time { return w.now }
	var err error
	if w.doc, err = documents.get("far"); err != nil {
		t.Fatal(err)
	}
	defer w.doc.release()
	w.doc.broadcasters = []broadcaster{w}
	for i := range 3 {
		w.editors = append(w.editors, &simEditor{name: fmt.Sprintf("u%d", i), src: fmt.Sprintf("s%d", i)})
		w.connect(w.editors[i])
	}
	away := w.editors[0]
	w.receive(away)
	w.typed(away) // on its way when the connection is lost
	w.drop(away)
	w.typed(away)
	for w.versions < content.KeptMost+10 {
		w.typed(w.editors[1])
		w.settleOnly(w.editors[1:])
	}
	w.settle()
	want := w.doc.body.(*content.TextBody).Buffer.String()
	for _, x := range w.editors {
		if x.text.String() != want {
			t.Fatalf("%s has another text", x.name)
		}
	}
	if away.lost != 1 || w.editors[1].lost+w.editors[2].lost != 0 {
		t.Fatal(away.lost, w.editors[1].lost, w.editors[2].lost)
	}
}

// settleOnly lets everything arrive at some editors.
func (w *world) settleOnly(editors []*simEditor) {
	for _, x := range editors {
		for len(x.in) > 0 || len(x.out) > 0 {
			if len(x.out) > 0 {
				w.deliver(x)
			} else {
				w.receive(x)
			}
		}
	}
}
