// Package items reads what systems keep as items of channels. It has no state.
package items

import (
	"fmt"

	"weir/broker"
	"weir/internal/wire"
)

// Each calls f with each item of a channel's groups, in the order in which they came into being. Its arguments are shared
// memory: they are not to be changed, and valid during the call only. A channel that does not exist has no items. Errors:
// those of f, and why the channel cannot be read.
func Each(b *broker.Broker, channel string, f func(group, key string, data []byte) error, groups ...string) error {
	if err := b.Load(channel); err != nil { // a replica's are not those of the store, which its new owner goes on with
		return err
	}
	reply, ok := b.Read(channel, groups)
	if !ok {
		return b.Load(channel) // nil if there is no such channel
	}
	err := wire.Members(reply.State, func(group string, list []byte) error {
		return wire.Members(list, func(key string, data []byte) error { return f(group, key, data) })
	})
	if err != nil {
		return fmt.Errorf("read %s: %w", channel, err)
	}
	return nil
}
