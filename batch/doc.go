// Package batch gathers the messages of a channel for a short window and hands them on together.
//
// One write per message cannot pass a few hundred thousand deliveries a second on one core; what is
// beyond that comes from putting more messages into a write. A [Window] belongs to one channel and
// collects its messages as bytes, appended and never encoded again. A [Batcher] belongs to one shard
// and decides when the windows of that shard are flushed to their [Sink]. Entry points: [New],
// [Batcher.Window], [Window.Append], and [Batcher.Run] for the loop. The package knows neither what the
// bytes mean nor who gets them, and writes nothing.
//
// # When a window is flushed
//
//   - The first message after an idle window is due at once, so that a lone message does not wait;
//     what arrives after it waits for the tick. All windows of a batcher that have the same duration
//     share that tick, so a client of many channels gets one write. Where writing takes long and readers have
//     hardly more than one channel each that has something, they are divided into up to eight parts, whose ticks are
//     spread evenly over the window: then nobody waits for connections of other parts.
//   - Eager flushes have a budget. A busy shard that has just spent time d writing owes d of rest before
//     the next one, less a small credit for lone messages. Without it many half-busy channels turn
//     every message into a write. While the load of [Config.Load] leaves processor time to spare, less rest is owed, or
//     none. Ticks are never put off.
//   - A duration of 0 means: as soon as the budget allows.
//   - 64 KiB or 512 messages end a batch and are due at once, budget or not. A batch is so never much
//     larger than that, however late the loop comes.
//   - Under load ticks are up to half a window further apart, for windows that may stretch: fewer and larger
//     writes leave more of the processor to what has to be written. Both [Config.Load] and the time that the shard
//     spends writing count. Where that is not enough, and the loop comes late to its ticks or publishes wait
//     ([Config.Waited]), they become as long as [Options.Stretch] lets them.
//   - [Window.Expedite] makes what a window holds due as its first message would be.
//
// # Order
//
// Every message of a window takes one path: appended under the window's lock in the order of the
// channel, taken by the batcher's loop alone, handed to the sink in that order. Eager, early and
// ticked flushes differ only in when.
//
// # Who owns what
//
// The package starts no goroutine. A Batcher is driven by the loop of its shard: Run, Spent and FlushAll
// are called by it alone. The methods of a Window are called by publishers, under the lock
// of the channel, which is what gives them their order; a Window's own lock is held for the copy of one
// message. Lock order: a window's lock, then its batcher's; Config.Wake is called with the first held,
// sinks with neither.
//
// # What happens when a sink panics
//
// With [Config.Panic] the batch that it was looking at is lost: Config.Panic is called, then [Sink.Missed], so that
// the sink can inform its readers, and everything else goes on, the rest of the same window too.
//
// # What happens when it is full
//
// Windows share a bound on the bytes that wait in their batcher, and each has one of its own. Past them
// [Batcher.Full] and [Window.Full] say so and publishers are refused before their change is accepted;
// nothing accepted is ever dropped here except a set that a later set of the same key in the same batch
// has replaced, what [Window.Clear] is asked to drop, and what a sink panics over.
//
// A loop that is busy and late for what is due cannot take more in, however little waits: [Batcher.Late] says so, and
// publishers are better refused until it has caught up.
package batch
