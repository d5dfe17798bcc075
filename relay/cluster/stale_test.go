package cluster_test

import (
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"weir/internal/mesh/fake"
)

// What an owner has made and could not tell before it was stopped, and tells when it has been replaced, is not applied by those who followed it.
func TestFramesOfAnOldOwner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &fake.Mesh{}
		nodes := three(t, m)
		const channel = "room:1"
		of := owner(nodes, channel)
		left := others(nodes, of)
		for _, n := range left {
			n.join(channel, nil)
		}
		of.publish(channel, "1")
		time.Sleep(time.Second)
		for _, n := range left {
			n.told(channel)
		}
		m.Stop(of.session, true)
		of.publish(channel, "2") // its clock has just run: it does not know yet
		time.Sleep(10 * time.Second)
		if owner(left, channel) == nil {
			t.Fatal("nobody has taken over")
		}
		m.Stop(of.session, false)
		time.Sleep(5 * time.Second)
		at := left[0].publish(channel, "3")
		time.Sleep(time.Second)
		for _, n := range left {
			told := strings.Join(n.told(channel), " ")
			if strings.Contains(told, `"data":2`) || strings.Contains(told, "lost=true") || !strings.HasSuffix(told, `"data":3}`) || at.Seq != 2 {
				t.Errorf("%s: the next publication is at %v, and its reader was told %s", n.name, at, told)
			}
		}
	})
}

// A frame that comes twice counts once, whatever is in it: publications have no key here.
func TestRepeatedFrames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var frames atomic.Int64
		m := &fake.Mesh{Fate: func(_, _ string) []time.Duration {
			n := time.Duration(frames.Add(1))
			return []time.Duration{time.Millisecond + n, time.Millisecond + n, 50*time.Millisecond + n} // in order
		}}
		nodes := three(t, m)
		const channel = "room:1"
		of := owner(nodes, channel)
		n := others(nodes, of)[0]
		n.join(channel, nil)
		for i := range 20 {
			if at := n.publish(channel, "1"); at.Seq != uint64(i+1) {
				t.Fatalf("publication %d is at %v", i+1, at)
			}
			time.Sleep(10 * time.Millisecond)
		}
		time.Sleep(time.Second)
		if told := n.told(channel); len(told) != 20 {
			t.Errorf("a reader was told %d changes", len(told))
		}
	})
}
