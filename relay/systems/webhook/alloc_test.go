package webhook

import (
	"testing"
	"time"

	"weir/relay/hub"
)

// TestEventAllocations: an event is made in five objects, and its record in one, which has room for all of it.
func TestEventAllocations(t *testing.T) {
	now := time.Now()
	e := &hub.Event{Topic: "order.paid", Key: "order:7", Data: []byte(`{"order":7}`)}
	var made *event
	if n := testing.AllocsPerRun(100, func() { made = newEvent(e, now) }); n > 5 {
		t.Errorf("%v objects an event", n)
	}
	var record []byte
	if n := testing.AllocsPerRun(100, func() { record = made.record("expired") }); n > 1 {
		t.Errorf("%v objects a record: %s", n, record)
	}
}
