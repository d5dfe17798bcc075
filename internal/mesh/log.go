package mesh

import (
	"context"
	"errors"
	"time"
)

// Log is messages in one order that a majority of servers keeps. What was appended is there as long as a majority is, and stays until it is
// purged. Its methods may be called from any goroutine.
type Log interface {
	// Make makes the log, if it is not there. It is called only by whom knows that the log was never made: servers that have just started may not know
	// a log that they have. The other methods never make it, and never take one that the servers do not know for an empty one.
	Make(ctx context.Context) error

	// Append appends a message if the log's last one has the sequence number last, 0 for none ever, and returns its number: last+1.
	//
	// Errors: ErrConflict if the last one has another number, which is then returned, or 0 if it is not known; ErrFull. Both mean that nothing
	// was appended by this call. After any other error the message may have been appended, and may still be, as long as the number of the last one is
	// what was expected.
	Append(ctx context.Context, message []byte, last uint64) (uint64, error)

	// Bounds returns the numbers of the first message and the last; first is last+1 if there is none. They may lag behind: a server may tell them that does not know yet
	// that it was replaced. Error: ErrAbsent.
	Bounds(ctx context.Context) (first, last uint64, err error)

	// Read calls f with the messages from one number to another, in order, those that are still there, and with the time at which the servers took
	// each. It waits until the last of them is there, or ctx ends. The message is f's. An error of f ends it.
	Read(ctx context.Context, from, to uint64, f func(number uint64, at time.Time, message []byte) error) error

	// Purge drops the messages up to a number.
	Purge(ctx context.Context, to uint64) error

	// Limit is the most bytes that a message may have.
	Limit() int
}

// Shelf is values by key that a majority of servers keeps. Keys are one to three words of letters, digits, - and _, with dots between. Its methods may
// be called from any goroutine.
type Shelf interface {
	// Make makes the shelf, if it is not there, as that of a log does.
	Make(ctx context.Context) error

	// Get returns the last value of a key and its revision; nil and 0 if there is none. It may lag behind, so that a value is missing that was written long ago: see Prove.
	// Error: ErrAbsent.
	Get(ctx context.Context, key string) (value []byte, revision uint64, err error)

	// Prove returns nil if a majority of the servers says that the last value of a key has the given revision, 0 for none. Error: ErrConflict if it has another one.
	Prove(ctx context.Context, key string, revision uint64) error

	// Put writes all of some values or none, and returns the revision of the last one, which is written if the revision of its key is the expected
	// one, 0 for a key without a value. The others are written whatever was there. Errors: ErrConflict, ErrFull: nothing was written by this call. After any other error
	// they may have been.
	Put(ctx context.Context, expected uint64, values ...Value) (uint64, error)

	// Drop drops the value of a key if its revision is the given one or an earlier one.
	Drop(ctx context.Context, key string, revision uint64) error

	// Keys calls f with the keys that have a value and begin with the words of prefix and a dot, in no order. An error of f ends it. It may lag behind. Error: ErrAbsent.
	Keys(ctx context.Context, prefix string, f func(key string) error) error

	// Limit is the most bytes that a value may have.
	Limit() int
}

// Value is a value for the shelf.
type Value struct {
	Key  string
	Data []byte
}

// ErrAbsent is why nothing is read: the servers say that they do not have the log or the shelf. That they never had it is not said by that.
var ErrAbsent = errors.New("the servers of the cluster do not find it")

// ErrFull is why nothing was appended or written: the servers have no room for it.
var ErrFull = errors.New("the servers have no room: cluster storage is full")
