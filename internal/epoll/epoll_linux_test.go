package epoll

import (
	"errors"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

func pipe(t *testing.T) (r, w int) {
	t.Helper()
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_NONBLOCK|unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = unix.Close(p[0]), unix.Close(p[1]) })
	return p[0], p[1]
}

func newWaiter(t *testing.T) *Waiter {
	t.Helper()
	w, err := NewWaiter("test", 4)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Close() })
	return w
}

func TestWaitReportsWhatIsReady(t *testing.T) {
	w := newWaiter(t)
	r, to := pipe(t)
	if err := w.Add(r, Event{Events: Read | Once, Fd: int32(r), Pad: 7}); err != nil {
		t.Fatal(err)
	}
	var ended sync.WaitGroup
	ended.Go(func() { _, _ = unix.Write(to, []byte("x")) })
	events, err := w.Wait()
	if err != nil || len(events) != 1 || events[0].Fd != int32(r) || events[0].Pad != 7 {
		t.Fatal(events, err)
	}
	ended.Wait()
	w.Wake() // it was reported once: without Rearm, nothing else ends the wait
	if events, err := w.Wait(); err != nil || len(events) != 0 {
		t.Fatal(events, err)
	}
	if err := w.Rearm(r, Event{Events: Read | Once, Fd: 1}); err != nil {
		t.Fatal(err)
	}
	if events, err := w.Wait(); err != nil || len(events) != 1 || events[0].Fd != 1 {
		t.Fatal(events, err)
	}
	if err := w.Remove(r); err != nil {
		t.Fatal(err)
	}
	if err := w.Rearm(r, Event{Events: Read}); !errors.Is(err, unix.ENOENT) {
		t.Fatal(err)
	}
}

// However often it is woken, and before or while it waits: no Wake is lost, and none is left over that ends a wait for ever.
func TestWake(t *testing.T) {
	w := newWaiter(t)
	for range 1000 {
		var waker sync.WaitGroup
		waker.Go(w.Wake)
		if events, err := w.Wait(); err != nil || len(events) != 0 {
			t.Fatal(events, err)
		}
		waker.Wait()
	}
	ended := make(chan error, 1)
	go func() {
		for {
			if _, err := w.Wait(); err != nil {
				ended <- err
				return
			}
		}
	}()
	_ = w.Close()
	<-ended
	w.Wake() // does no harm
}

func TestWaitDoesNotAllocate(t *testing.T) {
	w := newWaiter(t)
	r, to := pipe(t)
	if err := w.Add(r, Event{Events: Read, Fd: int32(r)}); err != nil {
		t.Fatal(err)
	}
	_, _ = unix.Write(to, []byte("x"))
	if n := testing.AllocsPerRun(100, func() { _, _ = w.Wait() }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// Rest is called before a wait that has to wait, and not for what is ready.
func TestRest(t *testing.T) {
	w := newWaiter(t)
	r, to := pipe(t)
	rested := make(chan struct{}, 100)
	w.Rest = func() { rested <- struct{}{} }
	if err := w.Add(r, Event{Events: Read, Fd: int32(r)}); err != nil {
		t.Fatal(err)
	}
	if _, err := unix.Write(to, []byte("x")); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if events, err := w.Wait(); err != nil || len(events) != 1 {
			t.Fatal(events, err)
		}
	}
	if n := len(rested); n != 0 {
		t.Fatalf("rested %d times with something to read", n)
	}
	var one [1]byte
	if _, err := unix.Read(r, one[:]); err != nil {
		t.Fatal(err)
	}
	var ended sync.WaitGroup
	ended.Go(func() {
		<-rested
		_, _ = unix.Write(to, []byte("y"))
	})
	if events, err := w.Wait(); err != nil || len(events) != 1 {
		t.Fatal(events, err)
	}
	ended.Wait()
}
