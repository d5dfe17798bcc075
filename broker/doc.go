// Package broker keeps channels: each one a small replicated map of items with an ordered, bounded
// log of changes. It orders what publishers send, remembers what late joiners need and hands every
// change, encoded once, to the channel's subscriber.
//
// Entry point: [New] makes a [Broker], [Broker.Publish] changes a channel, [Broker.Join] attaches a
// reader. The broker imports nothing of the relay and does no I/O.
//
// It refuses: set and delete without a key ([ErrNoKey]), unknown operations ([ErrOp]), negative times
// to live ([ErrTTL]), items beyond the policy ([ErrTooManyItems], [ErrStateTooLarge]), channels beyond
// the configuration ([ErrTooManyChannels]) and everything but Leave after Close ([ErrClosed]). It does
// not check names: channel names, groups and keys are restricted to A-Z a-z 0-9 _ . : / @ ~ = - by the
// caller, and data is JSON that the caller has validated, so that both are appended to the encoding
// verbatim.
//
// # Order and time
//
// A change gets the next seq of its channel under the channel's lock; log, items and subscriber change in
// that same critical section, so that all of them agree. [Broker.Join] reads in one critical section
// too: what the reply does not hold arrives through the subscriber, without a gap, a duplicate or a
// reorder. Time is monotonic. An item expires at most some milliseconds late and never early, as a
// delete change like any other.
//
// # Epochs
//
// A position is only worth something within one epoch. An epoch is the broker's random incarnation
// and a number; each of 16384 hash slots of channel names has a current one. A channel takes the
// current epoch of its slot when it is made and keeps it while it lives. When a log with at least one
// change is dropped (the channel is freed, or cleared) and its epoch is still the slot's, the slot gets
// a new epoch that no slot had before. So a channel made later has the epoch of an earlier one of its
// name only if that one never had a change under it: equal epochs mean that nothing was lost. A
// channel that never had a change keeps its epoch over being freed and made again, unless a channel
// of the same slot lost its log in between; that costs a needless snapshot and never a gap.
//
// # Goroutines
//
// New starts a few goroutines, one per expirer, which sleep until the next deadline. Close stops them
// and waits for them. Everything else runs on the caller's goroutine.
//
// # Locks
//
// In this order, and never two of the same kind at once:
//
//  1. Channel.mu: seq, log, items, idempotency keys, subscriber, count of readers. Held for tens of
//     nanoseconds by a publish, longer by what has to build a snapshot or a list of changes.
//     The subscriber and the join function are called with it held: they must not block or call back.
//  2. shard.mu (the map of channels and the epochs of their slots) or expirer.mu (the heap of
//     deadlines).
//
// A look-up takes shard.mu, lets it go and then locks the channel. A channel that was freed in between
// is marked dead under its lock, and is looked up again.
//
// # What happens when full
//
// The log drops its oldest changes; readers behind them get a snapshot with [Reply].Lost. Idempotency keys
// drop the oldest. Items and channels refuse new ones with an error.
package broker
