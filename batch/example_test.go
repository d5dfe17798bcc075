package batch_test

import (
	"fmt"
	"time"

	"weir/batch"
)

// screen is where the batches of a channel go.
type screen struct{}

func (screen) Missed(last uint64) { fmt.Printf("something up to %d is missing\n", last) }

func (screen) Flush(b *batch.Batch) {
	fmt.Printf("[%s] up to %d, %d replaced\n", b.Body, b.Last, b.Conflated)
}

func Example() {
	b := batch.New(batch.Config{})
	room := b.Window(batch.Options{Window: 50 * time.Millisecond, Eager: true, Conflate: true}, screen{})

	now := time.Now()
	room.Append(batch.Message{Bytes: []byte(`"hello"`), Seq: 1})
	b.Run(now) // the first message after an idle window leaves at once

	room.Append(batch.Message{Bytes: []byte(`"cursor at 3"`), Seq: 2, Group: "cursors", Key: "u7", Set: true})
	room.Append(batch.Message{Bytes: []byte(`"how are you"`), Seq: 3})
	room.Append(batch.Message{Bytes: []byte(`"cursor at 5"`), Seq: 4, Group: "cursors", Key: "u7", Set: true})
	b.Run(now.Add(10 * time.Millisecond)) // the others wait for their window
	b.Run(now.Add(50 * time.Millisecond))

	// Output:
	// ["hello"] up to 1, 0 replaced
	// ["how are you","cursor at 5"] up to 4, 1 replaced
}
