package broker

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

func TestExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := open(t, Config{Subscriber: newRecorder})
		var seen reader
		c, err := b.Join("c", JoinRequest{}, func(s Subscriber, _ Reply) { s.(*recorder).add(&seen) })
		if err != nil {
			t.Fatal(err)
		}
		defer c.Leave()
		publish(t, b, "c", Publication{Op: Set, Group: "typing", Key: "u1", Data: []byte(`1`), TTL: 5 * time.Second})
		time.Sleep(5*time.Second - 1)
		synctest.Wait()
		if heard := seen.heard(); len(heard) != 1 {
			t.Errorf("early: %s", heard)
		}
		time.Sleep(1)
		synctest.Wait()
		if heard := seen.heard(); len(heard) != 2 || string(heard[1]) != `{"seq":2,"op":"delete","group":"typing","key":"u1","cause":"expired"}` {
			t.Errorf("%s", heard)
		}
		if stats := b.Stats(); stats.Items != 0 || stats.Expired != 1 {
			t.Errorf("%+v", stats)
		}
		_ = b.Close()
	})
}

func TestExpiryRefreshed(t *testing.T) {
	const ttl = 5 * time.Second
	set := Publication{Op: Set, Group: "g", Key: "k", TTL: ttl}
	synctest.Test(t, func(t *testing.T) {
		b := open(t, Config{})
		there := func() bool {
			synctest.Wait()
			_, _, ok := b.Item("c", "g", "k")
			return ok
		}
		publish(t, b, "c", set)
		for range 10 { // just before the end, each time
			time.Sleep(ttl - 1)
			publish(t, b, "c", set)
		}
		time.Sleep(ttl - 1)
		if !there() {
			t.Error("refreshed item ended early")
		}
		time.Sleep(1)
		if there() {
			t.Error("refreshed item did not end")
		}

		publish(t, b, "c", set)
		short := set
		short.TTL = time.Second
		publish(t, b, "c", short)
		time.Sleep(time.Second)
		if there() {
			t.Error("shortened item did not end")
		}

		publish(t, b, "c", set)
		forever := set
		forever.TTL = 0
		publish(t, b, "c", forever)
		time.Sleep(time.Hour)
		if !there() {
			t.Error("a set without ttl did not clear the earlier one")
		}

		for _, long := range []time.Duration{1<<63 - 1, 100 * 365 * 24 * time.Hour} {
			endless := set
			endless.TTL = long
			publish(t, b, "c", endless)
			time.Sleep(24 * time.Hour)
			if !there() {
				t.Error("a very long ttl ended")
			}
		}
		publish(t, b, "c", Publication{Op: Delete, Group: "g", Key: "k"})
		time.Sleep(time.Minute)
		synctest.Wait()
		if at := publish(t, b, "c", Publication{Op: Delete, Group: "g", Key: "k"}); at.Seq != 20 {
			t.Errorf("a deleted item ended again, or something else happened: %v", at)
		}
		_ = b.Close()
	})
}

// Items of many channels with many times to live end in order, each in its millisecond, and a
// refreshed one has one place in a heap.
func TestExpiryOfMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := open(t, Config{})
		for i := range 500 {
			for range 3 {
				publish(t, b, fmt.Sprint("c", i%50), Publication{Op: Set, Key: fmt.Sprint(i), TTL: time.Duration(1+(i*7919)%500) * time.Millisecond})
			}
		}
		queued := 0
		for i := range b.expirers {
			b.expirers[i].mu.Lock()
			queued += len(b.expirers[i].heap)
			b.expirers[i].mu.Unlock()
		}
		if queued != 500+50 { // and upkeep, one for each channel
			t.Errorf("%d deadlines", queued)
		}
		for left := int64(499); left >= 0; left-- {
			time.Sleep(time.Millisecond)
			synctest.Wait()
			if items := b.Stats().Items; items != left {
				t.Fatalf("%d items, want %d", items, left)
			}
		}
		_ = b.Close()
	})
}

func TestHistoryTTL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := open(t, Config{Policy: always(Policy{HistoryTTL: time.Minute})})
		c, start := join(t, b, "c", JoinRequest{})
		for range 3 {
			publish(t, b, "c", Publication{Op: Send})
			time.Sleep(30 * time.Second)
		}
		// The first is 90 s old, the second 60, the third 30.
		changes, _, _, _ := b.History("c", 0, 0)
		if got := string(changes); got != `[{"seq":3,"op":"send"}]` {
			t.Errorf("history %s", got)
		}
		if _, r := join(t, b, "c", JoinRequest{From: &start.Position, Again: true}); r.Recovered || !r.Lost {
			t.Errorf("resumed from what is too old: %+v", r)
		}
		second := Position{start.Position.Epoch, 2}
		if _, r := join(t, b, "c", JoinRequest{From: &second, Again: true}); !r.Recovered {
			t.Errorf("not resumed: %+v", r)
		}
		c.Leave()
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if stats := b.Stats(); stats != (Stats{}) {
			t.Errorf("an idle channel was not freed: %+v", stats)
		}
		_ = b.Close()
	})
}

// A channel that somebody follows stays, but its log's memory goes.
func TestUpkeepOfFollowedChannel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := open(t, Config{})
		c, _ := join(t, b, "c", JoinRequest{})
		for i := range 1000 {
			publish(t, b, "c", Publication{Op: Send, IdempotencyKey: fmt.Sprint(i)})
			time.Sleep(time.Second)
		}
		time.Sleep(11 * time.Minute)
		synctest.Wait()
		if stats := b.Stats(); stats != (Stats{Channels: 1}) {
			t.Errorf("%+v", stats)
		}
		c.mu.Lock()
		if c.log.ring != nil || c.log.free != nil || c.keys != nil || c.log.upkeep.queued {
			t.Error("memory is kept")
		}
		c.mu.Unlock()
		at := publish(t, b, "c", Publication{Op: Send})
		if at.Seq != 1001 {
			t.Errorf("position %v", at)
		}
		_ = b.Close()
	})
}

func TestHistoryWithoutTTL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := open(t, Config{Policy: always(Policy{HistoryTTL: -1})})
		publish(t, b, "c", Publication{Op: Send, IdempotencyKey: "i"})
		time.Sleep(1000 * time.Hour)
		synctest.Wait()
		if stats := b.Stats(); stats.Changes != 1 {
			t.Errorf("%+v", stats)
		}
		_ = b.Close()
	})
}

func TestIdempotencyAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := open(t, Config{Policy: always(Policy{History: -1, Idempotency: time.Minute})})
		p := Publication{Op: Send, IdempotencyKey: "i"}
		first := publish(t, b, "c", p)
		publish(t, b, "c", Publication{Op: Send})
		time.Sleep(time.Minute - 1)
		if again := publish(t, b, "c", p); again != first {
			t.Errorf("%v, want %v", again, first)
		}
		time.Sleep(1)
		synctest.Wait()
		if later := publish(t, b, "c", p); later == first {
			t.Errorf("the key is still known: %v", later)
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if stats := b.Stats(); stats != (Stats{}) {
			t.Errorf("a channel with old keys was not freed: %+v", stats)
		}
		_ = b.Close()
	})
}
