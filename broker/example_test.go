package broker_test

import (
	"fmt"

	"weir/broker"
)

// screen is a subscriber that prints.
type screen struct{}

func (screen) Apply(c *broker.Change) { fmt.Printf("live: %s\n", c.Encoded) }
func (screen) Reset(r broker.Reply)   { fmt.Printf("lost: %s\n", r.State) }

func Example() {
	b, err := broker.New(broker.Config{
		Subscriber: func(*broker.Channel) broker.Subscriber { return screen{} },
	})
	if err != nil {
		panic(err)
	}
	defer func() { _ = b.Close() }()

	at, _ := b.Publish("room:42", &broker.Publication{
		Op: broker.Set, Group: "messages", Key: "m1", Data: []byte(`{"content":"hello"}`),
	})
	channel, _ := b.Join("room:42", broker.JoinRequest{}, func(_ broker.Subscriber, r broker.Reply) {
		fmt.Printf("state at %d: %s\n", r.Position.Seq, r.State)
	})
	_, _ = b.Publish("room:42", &broker.Publication{Op: broker.Send, Data: []byte(`"wave"`)})
	channel.Leave()

	_, _ = b.Publish("room:42", &broker.Publication{Op: broker.Delete, Group: "messages", Key: "m1"})
	channel, _ = b.Join("room:42", broker.JoinRequest{From: &at}, func(_ broker.Subscriber, r broker.Reply) {
		fmt.Printf("missed: %s\n", r.Changes)
	})
	channel.Leave()

	// Output:
	// state at 1: {"messages":{"m1":{"content":"hello"}}}
	// live: {"seq":2,"op":"send","data":"wave"}
	// missed: [{"seq":2,"op":"send","data":"wave"},{"seq":3,"op":"delete","group":"messages","key":"m1"}]
}
