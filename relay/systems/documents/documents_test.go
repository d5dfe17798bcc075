package documents

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"weir/broker"
	"weir/relay/config"
	"weir/relay/relaytest"
	"weir/relay/systems/documents/content"
	"weir/relay/systems/documents/text"
)

// change applies an operation to a document as a backend would.
func change(t testing.TB, d *document, op text.Op) {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.load(content.Text); err != nil {
		t.Fatal(err)
	}
	if _, _, err := d.edit(&edit{base: d.version, op: op}, nil); err != nil {
		t.Fatal(err)
	}
}

func textIn(t testing.TB, d *document) string {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.load(content.Text); err != nil {
		t.Fatal(err)
	}
	return d.body.(*content.TextBody).Buffer.String()
}

// Documents leave memory when they have not been used for a while, wholly or but for their editors, and are as
// they were when they are used again.
func TestIdleDocumentsLeaveMemory(t *testing.T) {
	now := time.Unix(1e9, 0)
	s := openDocuments(t, func() time.Time { return now }, func(c *config.Config) { config.Of[Config](c).Idle = time.Minute })
	d, err := s.get("d1")
	if err != nil {
		t.Fatal(err)
	}
	for i := range 700 {
		change(t, d, text.Op{text.Inserting(fmt.Sprint(i, " "))})
	}
	want, version, epoch := textIn(t, d), d.version, d.epoch
	now = now.Add(59 * time.Second)
	s.sweep()
	if d.body == nil {
		t.Fatal("left too early")
	}
	now = now.Add(time.Second)
	s.sweep()
	if d.body != nil || d.closed {
		t.Fatal("held, and idle: the body goes, the document stays")
	}
	if got := textIn(t, d); got != want || d.version != version || d.epoch != epoch {
		t.Fatal(got, d.version)
	}
	d.release()
	now = now.Add(time.Minute)
	s.sweep()
	if !d.closed || s.number.Load() != 0 {
		t.Fatal("nobody holds it")
	}
	again, err := s.get("d1")
	if err != nil || again == d {
		t.Fatal(err)
	}
	if got := textIn(t, again); got != want || again.version != version || again.epoch != epoch {
		t.Fatal(got, again.version)
	}
	if old, ok := again.body.(*content.TextBody).At(again.version, 3); !ok || old != "2 1 0 " {
		t.Fatal(old, ok)
	}
	again.release()
}

func TestOpenDocumentsAreBounded(t *testing.T) {
	s := openDocuments(t, nil, func(c *config.Config) { config.Of[Config](c).Open = 2 })
	a, errA := s.get("a")
	b, errB := s.get("b")
	if _, err := s.get("c"); errA != nil || errB != nil || !errors.Is(err, errOpen) {
		t.Fatal(errA, errB, err)
	}
	again, err := s.get("a")
	if err != nil || again != a {
		t.Fatal(err)
	}
	b.release() // nobody holds it: it makes room
	if _, err := s.get("c"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.get("b"); !errors.Is(err, errOpen) {
		t.Fatal(err)
	}
}

// Snapshots come every 500 operations, or 256 KiB of them; at least 1000 operations are kept, and at most 4 MiB.
func TestWhatIsKept(t *testing.T) {
	s := openDocuments(t, nil, nil)
	d, err := s.get("d1")
	if err != nil {
		t.Fatal(err)
	}
	defer d.release()
	saved := func() uint64 {
		h, _, _, err := s.store.Load("d1")
		if err != nil {
			t.Fatal(err)
		}
		return h.Version
	}
	for i := range 2600 {
		change(t, d, text.Op{text.Inserting("x")})
		if want := uint64((i + 1) / 500 * 500); saved() != want {
			t.Fatalf("after %d operations a snapshot of version %d", i+1, saved())
		}
	}
	if n := len(d.body.(*content.TextBody).Log); n < content.KeptLeast || n > content.KeptMost {
		t.Fatal(n, "operations kept")
	}
	before := saved()
	for range 5 { // 60 KiB each
		change(t, d, text.Op{text.Inserting(strings.Repeat("y", 60<<10))})
	}
	if saved() == before {
		t.Fatal("no snapshot for many bytes")
	}
	for range 100 {
		change(t, d, text.Op{text.Inserting(strings.Repeat("z", 60<<10))})
		change(t, d, text.Op{text.Deleting(60 << 10)})
	}
	b := d.body.(*content.TextBody)
	sum := 0
	for _, e := range b.Log {
		sum += e.Size()
	}
	if sum != b.Bytes || sum > content.KeptBytes {
		t.Fatal(sum, b.Bytes)
	}
	want := b.Buffer.String()
	d.body = nil
	if got := textIn(t, d); got != want {
		t.Fatal("read back it is another text")
	}
}

// A document of one kind is not edited as another, once it has begun.
func TestKinds(t *testing.T) {
	s := openDocuments(t, nil, nil)
	d, err := s.get("d1")
	if err != nil {
		t.Fatal(err)
	}
	load := func(k content.Kind) error {
		d.mu.Lock()
		defer d.mu.Unlock()
		return d.load(k)
	}
	if err := load(""); !errors.Is(err, errNone) {
		t.Fatal(err)
	}
	if err := errors.Join(load(content.Yjs), load(content.Opaque), load(content.Text)); err != nil {
		t.Fatal("nothing was made of it yet", err)
	}
	change(t, d, text.Op{text.Inserting("x")})
	if err := errors.Join(load(content.Text), load("")); err != nil {
		t.Fatal(err)
	}
	for _, k := range []content.Kind{content.Yjs, content.Opaque} {
		if err := load(k); !errors.Is(err, errKind) {
			t.Fatal(k, err)
		}
	}
}

// Whoever waits for the disk is told in the order of the log; when the disk fails, all editors are ended.
func TestWaitingForTheDisk(t *testing.T) {
	s := openDocuments(t, nil, nil)
	d, err := s.get("d1")
	if err != nil {
		t.Fatal(err)
	}
	defer d.release()
	var order []string
	slow, fails := make(chan struct{}), errors.New("the disk fails")
	done := make(chan struct{})
	step := func(name string, wait func() error) {
		d.mu.Lock()
		defer d.mu.Unlock()
		receipt := noReceipt
		if wait != nil {
			receipt.Wait = func() (broker.Position, error) { return broker.Position{}, wait() }
		}
		d.whenStored(receipt, func(err error) {
			order = append(order, fmt.Sprint(name, " ", err))
			if name == "last" {
				close(done)
			}
		})
	}
	step("at once", nil)
	step("slow", func() error { <-slow; return nil })
	step("behind it", nil)
	step("failing", func() error { return fails })
	step("last", nil)
	d.mu.Lock()
	if len(order) != 1 {
		t.Error(order)
	}
	d.mu.Unlock()
	close(slow)
	<-done
	s.stop()
	if got := strings.Join(order, ", "); got != "at once <nil>, slow <nil>, behind it <nil>, failing the disk fails, last the disk fails" {
		t.Fatal(got)
	}
}

// TestIdleMemory is the figure of docs/documents.md: what an open document costs beyond its text when it is idle.
func TestIdleMemory(t *testing.T) {
	const documents, size = 2000, 3800 // with what a snapshot has beside it, just below a size in which Go gives memory
	now := time.Unix(1e9, 0)
	s := openDocuments(t, func() time.Time { return now }, nil)
	const unsure = 16 << 10 // by so much a reading of the heap may be off
	heap := func() int {
		var m runtime.MemStats
		for last := -1; ; last = int(m.HeapAlloc) { // until what other tests have left is gone
			runtime.GC()
			runtime.ReadMemStats(&m)
			if last >= 0 && last-int(m.HeapAlloc) < unsure {
				return int(m.HeapAlloc)
			}
		}
	}
	before := heap()
	for i := range documents {
		d, err := s.get(fmt.Sprint("d", i))
		if err != nil {
			t.Fatal(err)
		}
		change(t, d, text.Op{text.Inserting(strings.Repeat("a", size))})
		d.mu.Lock()
		d.snapshot() // as if it had been edited for long
		d.set.store.Trim(d.id)
		d.mu.Unlock()
	}
	now = now.Add(time.Hour)
	s.sweep()
	cost := (heap() - before) / documents
	t.Logf("%d bytes for a document of %d bytes that is open and idle", cost, size)
	if cost > size+2<<10+2*unsure/documents {
		t.Errorf("%d bytes beyond the text", cost-size)
	}
	if _, ok := s.open.Load("d0"); !ok {
		t.Fatal("they are to be open")
	}
	runtime.KeepAlive(s)
}

// A document whose first operation could not be stored, though what it was to follow was, is there, and empty.
func TestDocumentWithoutLog(t *testing.T) {
	s := New()
	g := relaytest.Start(t, nil, s)
	begun := content.Kinds[content.Text].Empty().AppendContent
	if _, err := s.documents.store.Save("d1", content.Text, "e1", 0, begun); err != nil {
		t.Fatal(err)
	}
	if status, body := g.Backend("GET", "/v1/documents/d1", nil); status != 200 || body.(relaytest.Message)["epoch"] != "e1" || body.(relaytest.Message)["text"] != "" {
		t.Errorf("%d %v", status, body)
	}
	if status, body := g.Backend("PUT", "/v1/documents/d1", relaytest.Message{"text": "goes on"}); status != 200 {
		t.Errorf("%d %v", status, body)
	}
}
