package cluster_test

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"weir/broker"
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

// What an owner has not answered when another one takes over is not waited for any longer: it is asked of the new one if it may be made twice, and is in doubt
// otherwise.
func TestUnansweredAtTakeover(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var gone dead
		nodes := three(t, &fake.Mesh{Lose: gone.lose})
		const channel = "room:1"
		of := owner(nodes, channel)
		left := others(nodes, of)
		of.publish(channel, "0")
		gone.set(of.session)
		time.Sleep(time.Second)
		var safe, once []broker.Receipt
		for n := 0; owner(left, channel) == nil; n++ {
			if n > 100 {
				t.Fatal("nobody has taken over")
			}
			for i, key := range []string{fmt.Sprint("k", n), ""} {
				r, err := left[i].broker.Submit(channel, &broker.Publication{Op: broker.Send, Data: []byte("1"), IdempotencyKey: key})
				switch {
				case err != nil: // it is known to be gone
				case key != "":
					safe = append(safe, r)
				default:
					once = append(once, r)
				}
			}
			time.Sleep(20 * time.Millisecond)
		}
		time.Sleep(300 * time.Millisecond) // those of the last moments would be waited for two seconds
		ended := func(r broker.Receipt) bool {
			select {
			case <-r.Done:
				return true
			default:
				return false
			}
		}
		if len(safe) < 20 || len(once) < 20 {
			t.Fatalf("%d and %d publications were under way", len(safe), len(once))
		}
		for i, r := range safe {
			if !ended(r) {
				t.Fatalf("publication %d of %d that may be made twice is waited for", i, len(safe))
			}
			if _, err := r.Wait(); err != nil {
				t.Errorf("publication %d of %d that may be made twice: %v", i, len(safe), err)
			}
		}
		doubtful := 0
		for i, r := range once {
			if !ended(r) {
				t.Fatalf("publication %d of %d that may be made once is waited for", i, len(once))
			}
			if _, err := r.Wait(); err != nil {
				doubtful++
			}
		}
		if doubtful < 20 { // the last ones may have come to the new owner
			t.Errorf("of %d publications that may be made once %d are in doubt", len(once), doubtful)
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
