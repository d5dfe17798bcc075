package disk

import (
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"

	"weir/broker"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(weighed); dir != "" {
		if err := weigh(dir); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

// durably is a policy for all channels.
func durably(p broker.Policy) func(string) broker.Policy {
	p.Durable = true
	return func(string) broker.Policy { return p }
}

// open opens a journal and a broker on it, which closes both.
func open(t testing.TB, config Config) (*Journal, *broker.Broker) {
	t.Helper()
	if config.Policy == nil {
		config.Policy = durably(broker.Policy{})
	}
	j, err := Open(config)
	if err != nil {
		t.Fatal(err)
	}
	b, err := broker.New(broker.Config{Policy: config.Policy, Store: j})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	return j, b
}

func publish(t testing.TB, b *broker.Broker, channel string, p broker.Publication) broker.Position {
	t.Helper()
	at, err := b.Publish(channel, &p)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func join(t testing.TB, b *broker.Broker, channel string, from *broker.Position) broker.Reply {
	t.Helper()
	var reply broker.Reply
	c, err := b.Join(channel, broker.JoinRequest{From: from}, func(_ broker.Subscriber, r broker.Reply) { reply = r })
	if err != nil {
		t.Fatal(err)
	}
	c.Leave()
	return reply
}
