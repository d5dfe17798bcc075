//go:build faults

package faults

import (
	"math/rand/v2"
	"testing"
	"time"
)

// After a kill a reader of what is kept in memory is told that the log was lost. Nothing goes missing in
// silence, nothing comes twice, and the relay is ready again within a second.
func TestKillMemory(t *testing.T) {
	s := newServer(t, "")
	s.start()
	w := people(s, names("kept", 4), 6, 3, time.Millisecond, true)
	var slowest time.Duration
	for n := range times(200, 8) {
		w.progress(20)
		<-time.After(rand.N(20 * time.Millisecond)) // so that the kill hits anything
		s.kill()
		slowest = max(slowest, s.start())
		w.everybody(n + 2)
	}
	w.progress(20)
	v := w.judge()
	t.Logf("slowest start %v; %d acknowledged, of which %d were told to be lost at a reader", slowest.Round(time.Millisecond), v.Acknowledged, v.Told)
	goal(t, slowest <= time.Second, "ready after %v, want a second at most", slowest)
}

// What was acknowledged in a durable namespace is there after any kill, at its place. Readers of what is delivered
// after the disk resume by position as if nothing had happened; others may have seen what was not kept, and are told.
func TestKillDurable(t *testing.T) {
	for _, namespace := range []string{"durable", "safe"} {
		t.Run(namespace, func(t *testing.T) {
			s := newServer(t, durable)
			s.args = []string{"--data", t.TempDir()}
			s.start()
			w := people(s, names(namespace, 4), 6, 3, time.Millisecond, false)
			var slowest time.Duration
			for n := range times(200, 8) {
				w.progress(20)
				<-time.After(rand.N(20 * time.Millisecond))
				s.kill()
				slowest = max(slowest, s.start())
				w.everybody(n + 2)
			}
			w.progress(20)
			v := w.judge()
			w.kept()
			snapshots := -len(w.readers) * len(w.channels) // the first
			for _, r := range w.readers {
				snapshots += r.snapshots
			}
			t.Logf("slowest start %v; %d acknowledged; %d times a reader had seen what was not kept", slowest.Round(time.Millisecond), v.Acknowledged, snapshots)
			if namespace == "safe" && (v.Told != 0 || snapshots != 0) {
				t.Errorf("%d acknowledged messages were told to be lost, in %d snapshots", v.Told, snapshots)
			}
			goal(t, slowest <= time.Second, "ready after %v, want a second at most", slowest)
		})
	}
}

// durable is the configuration of namespaces on disk.
const durable = `
  durable: {subscribe: authenticated, publish: authenticated, presence: false, durable: true, history: {size: 100000, ttl: 1h}}
  safe: {subscribe: authenticated, publish: authenticated, presence: false, durable: true, deliver: after-disk, history: {size: 100000, ttl: 1h}}
`

// A rolling restart drains: clients are told to come back, spread over the time of the drain, and resume on the
// next process. In a durable namespace nobody misses anything, in memory they are told.
func TestRollingRestarts(t *testing.T) {
	for _, c := range []struct {
		name, config, namespace string
		forgets                 bool
	}{{"memory", "", "kept", true}, {"durable", durable, "durable", false}} {
		t.Run(c.name, func(t *testing.T) {
			s := newServer(t, c.config)
			if !c.forgets {
				s.args = []string{"--data", t.TempDir()}
			}
			s.start()
			w := people(s, names(c.namespace, 3), times(50, 10), 2, 2*time.Millisecond, c.forgets)
			var slowest time.Duration
			for n := range times(100, 4) {
				w.progress(10)
				slowest = max(slowest, s.drain())
				s.start()
				w.everybody(n + 2)
			}
			w.progress(10)
			v := w.judge()
			var gaps []time.Duration
			codes := make(map[int]int)
			for _, r := range w.readers {
				gaps = append(gaps, r.gaps...)
				for code, n := range r.closes {
					codes[code] += n
				}
			}
			t.Logf("a client's gap p50 %v p99 %v, slowest drain %v, closes %v", quantile(gaps, 0.5), quantile(gaps, 0.99), slowest, codes)
			if v.Told != 0 && !c.forgets {
				t.Errorf("%d acknowledged messages were told to be lost", v.Told)
			}
			if slowest > 30*time.Second {
				t.Errorf("a drain took %v", slowest)
			}
			goal(t, quantile(gaps, 0.99) < 2*time.Second, "a client was away for %v at p99, want 2 s at most", quantile(gaps, 0.99))
			if codes[4100] == 0 {
				t.Errorf("nobody was told to come back: %v", codes)
			}
		})
	}
}
