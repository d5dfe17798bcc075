package link_test

import (
	"fmt"
	"runtime"
	"testing"

	"weir/relay/cluster/link"
)

// What appends much waits until the process has worked off what came before; it is done in order, and once.
func TestFlow(t *testing.T) {
	l := link.New("a", "b")
	var asked []func()
	f := link.Flow{Link: l, Ask: func(done func()) { asked = append(asked, done) }}
	var order []int
	for i := range 30 {
		f.Do(func() {
			order = append(order, i)
			l.Append(link.Kept, func(w *link.Writer) { w.Bytes(make([]byte, 1<<20)) })
		})
	}
	for at := 0; len(asked) > at; at++ {
		if limit := 5 * (at + 1); len(order) > limit {
			t.Errorf("%d MiB were appended after %d answers", len(order), at)
		}
		if at == 0 && len(order) < 4 {
			t.Errorf("%d MiB were appended before it was asked", len(order))
		}
		asked[at]()
	}
	if fmt.Sprint(order) != fmt.Sprint(numbers(30)) || len(asked) < 5 {
		t.Errorf("done: %v, asked %d times", order, len(asked))
	}
	f.Do(func() { order = append(order, 30) })
	if len(order) == 30 { // it may have to ask once more
		asked[len(asked)-1]()
	}
	if len(order) != 31 {
		t.Error("what comes later is not done")
	}
}

// Where the process cannot be asked, all is done at once.
func TestFlowOfADeadLink(t *testing.T) {
	l := link.New("a", "b")
	f := link.Flow{Link: l, Ask: func(done func()) { done() }}
	n := 0
	for range 30 {
		f.Do(func() {
			n++
			l.Append(link.Kept, func(w *link.Writer) { w.Bytes(make([]byte, 1<<20)) })
		})
	}
	if n != 30 {
		t.Error(n)
	}
}

func numbers(n int) (list []int) {
	for i := range n {
		list = append(list, i)
	}
	return list
}

// A record that takes many frames is put together once, not with each frame.
func TestLargeRecord(t *testing.T) {
	const size = 32 << 20
	l := link.New("aaaaaaaaaaaaaaaaaaaaaaaaaa", "b")
	l.Append(link.Call, func(w *link.Writer) { w.Bytes(make([]byte, size)) })
	l.Append(link.Forget, func(*link.Writer) {})
	var frames [][]byte
	for {
		b, _ := l.Next(nil)
		if b == nil {
			break
		}
		frames = append(frames, b)
	}
	var in link.Inbound
	var kinds []byte
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for _, b := range frames {
		f, ok := link.ParseFrame(b)
		if !ok {
			t.Fatal("it is no frame")
		}
		records, _, ok := in.Take(&f)
		if !ok {
			t.Fatal("a frame was not taken")
		}
		in.Each(records, func(kind byte, r *link.Reader) {
			kinds = append(kinds, kind)
			if kind == link.Call && len(r.Bytes()) != size {
				t.Error("it is not whole")
			}
		})
	}
	runtime.ReadMemStats(&after)
	if string(kinds) != string([]byte{link.Call, link.Forget}) {
		t.Errorf("%v has come of %d frames", kinds, len(frames))
	}
	if took := after.TotalAlloc - before.TotalAlloc; took > 3*size {
		t.Errorf("%d bytes in %d frames took %d bytes", size, len(frames), took)
	}
}

// Who gets a link that was reset is told by a frame of the new epoch, though nothing else is sent: it has to follow again.
func TestReset(t *testing.T) {
	l := link.New("aaaaaaaaaaaaaaaaaaaaaaaaaa", "b")
	var in link.Inbound
	take := func() (fresh bool) {
		t.Helper()
		b, _ := l.Next(nil)
		f, ok := link.ParseFrame(b)
		if !ok {
			t.Fatal("no frame is sent")
		}
		if _, fresh, ok = in.Take(&f); !ok {
			t.Fatal("a frame was not taken")
		}
		return fresh
	}
	l.Append(link.Forget, func(*link.Writer) {})
	take()
	l.Append(link.Forget, func(*link.Writer) {}) // which is dropped
	if l.Reset(); !take() {
		t.Error("the frame after it does not begin anew")
	}
	if b, _ := l.Next(nil); b != nil {
		t.Error("more than one frame was to be sent")
	}
}
