package broker

import (
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

var errDisk = errors.New("disk full")

// syncing is an inline journal whose acknowledgement waits, as one on disk would.
type syncing struct {
	Memory
	fail     atomic.Bool
	appended []string
	synced   chan struct{} // closed when everything is on disk
	forgot   []string
}

func (j *syncing) Append(log Log, e Entry) (Receipt, error) {
	if j.fail.Load() {
		return Receipt{}, errDisk
	}
	next := log.Next()
	at := log.Apply(&e)
	if at != next {
		return Receipt{}, fmt.Errorf("applied at %v, not %v", at, next)
	}
	j.appended = append(j.appended, fmt.Sprintf("%s %d %s %s", log.Channel(), at.Seq, e.Op, e.Data))
	return Receipt{Position: at, Wait: func() (Position, error) { <-j.synced; return at, nil }}, nil
}

func (j *syncing) Forget(channel string) { j.forgot = append(j.forgot, channel) }

func TestJournalAcknowledgesLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := &syncing{synced: make(chan struct{})}
		b := open(t, Config{Journal: j})
		acknowledged := false
		go func() { // ends when the journal has synced
			if _, err := b.Publish("c", &Publication{Op: Set, Key: "k", Data: []byte(`1`)}); err != nil {
				t.Error(err)
			}
			acknowledged = true
		}()
		synctest.Wait()
		if _, _, ok := b.Item("c", "", "k"); !ok || acknowledged {
			t.Errorf("applied %t, acknowledged %t before the journal synced", ok, acknowledged)
		}
		close(j.synced)
		synctest.Wait()
		if !acknowledged {
			t.Error("not acknowledged")
		}
		b.Clear("c")
		if !slices.Equal(j.appended, []string{"c 1 set 1"}) || !slices.Equal(j.forgot, []string{"c"}) {
			t.Errorf("appended %q, forgot %q", j.appended, j.forgot)
		}
		_ = b.Close()
	})
}

// A journal that refuses changes nothing; an item's end is tried again until it works.
func TestJournalRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := &syncing{synced: make(chan struct{})}
		close(j.synced)
		b := open(t, Config{Journal: j})
		publish(t, b, "c", Publication{Op: Set, Key: "k", TTL: time.Second})
		j.fail.Store(true)
		if _, err := b.Publish("c", &Publication{Op: Send, IdempotencyKey: "i"}); !errors.Is(err, errDisk) {
			t.Errorf("publish: %v", err)
		}
		if _, count, err := b.DeleteGroup("c", ""); !errors.Is(err, errDisk) || count != 0 {
			t.Errorf("delete group: %d %v", count, err)
		}
		time.Sleep(1500 * time.Millisecond)
		synctest.Wait()
		if _, at, ok := b.Item("c", "", "k"); !ok || at.Seq != 1 {
			t.Errorf("at %v, item %t", at, ok)
		}
		j.fail.Store(false)
		time.Sleep(time.Second)
		synctest.Wait()
		if _, at, ok := b.Item("c", "", "k"); ok || at.Seq != 2 {
			t.Errorf("at %v, item %t", at, ok)
		}
		_ = b.Close()
	})
}
