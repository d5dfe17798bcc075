package disk

import (
	"fmt"
	"testing"

	"weir/broker"
)

// A channel that is deleted and filled again between two checkpoints keeps what came after, whatever leaves of the
// database its deletion has emptied. (Found by simulated power cuts.)
func TestDeletedAndFilledAgain(t *testing.T) {
	for size := range 40 {
		dir := t.TempDir()
		open := func() (*broker.Broker, *Journal) {
			j, err := Open(Config{Dir: dir})
			if err != nil {
				t.Fatal(err)
			}
			b, err := broker.New(broker.Config{Store: j, Policy: func(string) broker.Policy { return broker.Policy{Durable: true, History: 1000} }})
			if err != nil {
				t.Fatal(err)
			}
			return b, j
		}
		publish := func(b *broker.Broker, channel string, n int) {
			for i := range n {
				if _, err := b.Publish(channel, &broker.Publication{Op: broker.Send, Data: fmt.Appendf(nil, `"%0200d"`, i), Ack: broker.AckMemory}); err != nil {
					t.Fatal(err)
				}
			}
		}
		b, _ := open()
		for _, channel := range []string{"a", "b", "c"} {
			publish(b, channel, 10+3*size)
		}
		_ = b.Close()
		b, _ = open()
		b.Clear("b")
		publish(b, "b", 5)
		_ = b.Close()
		b, _ = open()
		if _, _, at, ok := b.History("b", 0, 100); !ok || at.Seq != 5 {
			t.Fatalf("%d: %v %v", size, at, ok)
		}
		changes, more, _, _ := b.History("b", 0, 3)
		if !more {
			t.Errorf("size %d: the history is gone: %.100s", size, changes)
		}
		_ = b.Close()
	}
}
