package mesh

import (
	"context"
	"errors"
	"time"
)

// Log is an ordered list of messages that a majority of servers keeps. A message stays there until it is purged, as long as there is a
// majority. Its methods may be called from any goroutine.
type Log interface {
	// Make makes the log, unless it is there. Only a caller that knows that the log was never made may call it: servers that have just started may
	// not find a log that they have. The other methods never make a log, and never take one that the servers do not find for an empty one.
	Make(ctx context.Context) error

	// Append appends a message if the last message of the log has the number last (0: there never was one). It returns the new number, last+1.
	//
	// Errors: ErrConflict if the last message has another number, which is returned, or 0 if it is not known; ErrFull. After these two, this call
	// has appended nothing. After any other error the message may have been appended, or may still be, as long as the last number is the expected
	// one.
	Append(ctx context.Context, message []byte, last uint64) (uint64, error)

	// Bounds returns the numbers of the first and the last message; first is last+1 if there is none. They may lag behind: a server that was
	// replaced may not know that yet. Error: ErrAbsent.
	Bounds(ctx context.Context) (first, last uint64, err error)

	// Read calls f with the messages from one number to another that are still there, in order, each with the time at which the servers took it.
	// It waits until the last of them is there, or ctx ends. f may keep the message. An error of f ends Read, and is returned.
	Read(ctx context.Context, from, to uint64, f func(number uint64, at time.Time, message []byte) error) error

	// Purge drops the messages up to and including a number.
	Purge(ctx context.Context, to uint64) error

	// Limit is the most bytes that a message may have.
	Limit() int
}

// Shelf keeps values by key at a majority of servers. Keys are one to three words of letters, digits, - and _, with dots between. Its methods
// may be called from any goroutine.
type Shelf interface {
	// Make makes the shelf, unless it is there, under the same condition as Log.Make.
	Make(ctx context.Context) error

	// Get returns the last value of a key and its revision; nil and 0 if there is none. It may lag behind, and lack a value that was written long
	// ago: see Prove. Error: ErrAbsent.
	Get(ctx context.Context, key string) (value []byte, revision uint64, err error)

	// Prove returns nil if a majority of the servers has the given revision as the last one of a key, 0 for none. Error: ErrConflict if it has
	// another one.
	Prove(ctx context.Context, key string, revision uint64) error

	// Put writes all values or none, and returns the revision of the last one. It writes them if the key of the last value has the expected
	// revision, 0 for none; the revisions of the other keys do not matter. After ErrConflict and ErrFull this call has written nothing. After any
	// other error the values may have been written.
	Put(ctx context.Context, expected uint64, values ...Value) (uint64, error)

	// Drop drops the value of a key if its revision is the given one or an earlier one.
	Drop(ctx context.Context, key string, revision uint64) error

	// Keys calls f with each key that has a value and begins with prefix and a dot, in no order. An error of f ends it, and is returned. It may
	// lag behind. Error: ErrAbsent.
	Keys(ctx context.Context, prefix string, f func(key string) error) error

	// Limit is the most bytes that a value may have.
	Limit() int
}

// Value is a key and its value on the shelf.
type Value struct {
	Key  string
	Data []byte
}

// ErrAbsent is why nothing is read: the servers say that they do not have the log or the shelf. That they never had it is not said by that.
var ErrAbsent = errors.New("the NATS servers cannot find the stream: check that all of them are running")

// ErrFull is why nothing was appended or written: the servers have no room for it.
var ErrFull = errors.New("the NATS servers have no room: their storage is full")
