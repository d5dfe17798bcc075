// Package retryqueue holds what is to be delivered and tries again what failed, in order of keys and with a bound on
// what is in flight.
//
// The entry point is [New]. Items are added under a key. Those of one key are a lane: they are attempted in their order,
// one attempt at a time, while the lanes of other keys overtake. A lane is in one of three places: ready, waiting for
// the time of its next attempt, or in flight. What an attempt means is the owner's business: [Options].Attempt makes it
// and says by [Batch.Settle] which items are done and when the rest is due. How long something is tried, and what
// happens to what is given up, is the owner's too.
//
// It does not keep anything on disk, sends nothing and counts nothing.
//
// # When it is full
//
// [Queue.Reserve] returns false beyond [Options].Limit. At most [Options].Parallel attempts are in flight; what else is
// ready waits, in the order in which it became so.
//
// # Goroutines and locks
//
// Each attempt has a goroutine, which ends with the attempt, and one timer starts what is due next. [Queue.Stop] stops
// the timer and waits for the attempts; they are to end when the context of New does. Queue.mu guards everything; it is
// held while Gate, Rest, Weight and what is given to Finish and Remove are called, which must not call the queue, and
// never during an attempt. A lock that these functions take is inside Queue.mu. A panic of an attempt makes its lanes
// wait for Options.Backoff; one while attempts are started has them started a little later.
package retryqueue
