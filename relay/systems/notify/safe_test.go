package notify

import (
	"net/http"
	"sync"
	"testing"

	"weir/broker/disk/memdisk"
	"weir/relay/config"
	"weir/relay/relaytest"
)

// A notification that comes twice is acknowledged twice only when it is safe, and one that the disk has refused is not
// taken for sent: it is sent when it comes again.
func TestRepeatedNotificationIsSafe(t *testing.T) {
	var mu sync.Mutex
	var fail error
	var stop chan struct{} // syncs wait for it; nil: they do not
	wal := memdisk.New(func(op string) error {
		mu.Lock()
		err, wait := fail, stop
		mu.Unlock()
		if op != "sync" {
			return nil
		}
		if wait != nil {
			<-wait
		}
		return err
	})
	set := func(err error, wait chan struct{}) {
		mu.Lock()
		defer mu.Unlock()
		fail, stop = err, wait
	}
	g := start(t, func(c *config.Config) { c.Data, c.Wal = t.TempDir(), wal })
	notify := func() int {
		status, _ := g.Backend("POST", "/v1/notify", relaytest.Message{"userId": "u1", "id": "n1", "title": "hello"})
		return status
	}
	wait := make(chan struct{})
	set(memdisk.ErrFull, wait)
	answers := make(chan int, 2)
	for range 2 {
		go func() { answers <- notify() }() // ends with its answer
	}
	relaytest.Until(t, "the disk is asked", func() bool {
		_, body := g.As("u1", "GET", "/notifications", nil)
		list, _ := body.(relaytest.Message)["notifications"].([]any)
		return len(list) == 1
	})
	if len(answers) > 0 {
		t.Fatal("answered before the disk was", <-answers)
	}
	set(memdisk.ErrFull, nil)
	close(wait)
	for range 2 {
		if status := <-answers; status != http.StatusServiceUnavailable {
			t.Fatal(status)
		}
	}
	set(nil, nil)
	relaytest.Until(t, "it is taken", func() bool { return notify() == http.StatusAccepted })
	if x := g.events.Type("channel_update"); x["channel"] != "event:"+topicFailed || x["data"].(relaytest.Message)["data"].(relaytest.Message)["reason"] != "no_devices" {
		t.Fatal(x) // its user has no devices, and that was found out
	}
	if status := notify(); status != http.StatusAccepted {
		t.Fatal(status)
	}
}
