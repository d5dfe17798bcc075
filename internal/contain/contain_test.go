package contain

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// A loop that does nothing but panic goes on until it is to end. Then it is given up, once, and whoever waits for it goes on.
func TestLoopHasAnEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		told := int32(0)
		hook := Hook(func(string, any) { told++ })
		ctx, cancel := context.WithCancel(t.Context())
		var done sync.WaitGroup
		var begun, given atomic.Int32
		hook.Loop(&done, "test", Done(ctx), func() { begun.Add(1); panic("no") }, func() { given.Add(1) })
		time.Sleep(time.Hour)
		synctest.Wait()
		before := begun.Load()
		if n := given.Load(); before < 3600 || n != 0 {
			t.Fatalf("begun %d times, given up %d times while it was to go on", before, n)
		}
		cancel()
		at := time.Now()
		done.Wait()
		if n := begun.Load(); n != before+lastTries || given.Load() != 1 || told != n {
			t.Errorf("begun %d times more, given up %d times, told %d of %d", n-before, given.Load(), told, n)
		}
		if d := time.Since(at); d > 3*time.Second {
			t.Errorf("ended after %v", d)
		}
	})
}

// A loop that is to end may panic now and then: it is begun again, to finish what it has to.
func TestLoopFinishes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hook := Hook(func(string, any) {})
		stop := make(chan struct{})
		var done sync.WaitGroup
		var did []string
		hook.Loop(&done, "test", Closed(stop), func() {
			<-stop
			if len(did) < lastTries-1 {
				did = append(did, "panic")
				panic("no")
			}
			did = append(did, "finish")
		}, func() { did = append(did, "given up") })
		close(stop)
		done.Wait()
		if n := len(did); n != lastTries || did[n-1] != "finish" || slices.Contains(did, "given up") {
			t.Error(did)
		}
	})
}

// What gives a loop up may panic, too.
func TestGivingUpPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var where []string
		hook := Hook(func(at string, _ any) { where = append(where, at) })
		var done sync.WaitGroup
		hook.Loop(&done, "test", func() bool { return true }, func() { panic("no") }, func() { panic("nor this") })
		done.Wait()
		if n := len(where); n != lastTries+1 || where[n-1] != "end of test" {
			t.Error(where)
		}
	})
}
