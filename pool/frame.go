package pool

import (
	"sync/atomic"
	"time"
)

// Encoding is which of a frame's forms a connection takes.
type Encoding uint8

// Encodings is how many forms a frame may have, and Common how many of them, the first ones, a frame has room for in
// itself. The owner decides what they are.
const (
	Encodings = 16
	Common    = 4
)

// Features is what a client has said that it knows, beside what all do. What that is, the owner decides.
type Features uint8

// The features that frames may have an alternate for.
const (
	Forks   Features = 1 << iota // a log that goes on in another epoch
	Appends                      // changes that put something behind an item; Topic.Lacking counts those that do not know it
)

// Frame is bytes ready for the socket, built once and shared by all connections that get them. It is
// immutable once delivered.
type Frame struct {
	Bytes     [Common][]byte               // by Encoding; empty: nothing is sent to connections that take that form
	More      *[Encodings - Common][]byte  // the forms behind these; nil: none
	Last      uint64                       // the reader's position after the frame; grows from frame to frame of a topic
	Since     time.Time                    // when the first of them was published; zero: not measured
	Overrides []Override                   // connections that get other bytes
	Alternate *Frame                       // its forms, and its Count, are for the connections that know Feature; nil: they get the same as others
	Feature   Features                     // one
	Position  Position                     // for Owner.Tail
	Written   func(began, ended time.Time) // called by each shard that has written it, with when that pass began and ended; nil: nobody is told
	Count     int32                        // messages in it
	Missing   bool                         // it could not be built: the connections that would get it are given up, after what came before; see Owner.Missed
}

// Of is the form of a frame that an encoding takes.
func (f *Frame) Of(enc Encoding) []byte {
	switch {
	case enc < Common:
		return f.Bytes[enc]
	case f.More != nil:
		return f.More[enc-Common]
	}
	return nil
}

// Put sets the form of a frame for an encoding, before it is delivered.
func (f *Frame) Put(enc Encoding, b []byte) {
	if enc < Common {
		f.Bytes[enc] = b
		return
	}
	if f.More == nil {
		f.More = new([Encodings - Common][]byte)
	}
	f.More[enc-Common] = b
}

// Position is where a reader stands in the log behind a topic. It means nothing to the pool, which orders
// by Frame.Last alone.
type Position struct {
	Epoch string // "": as before
	Seq   uint64
}

// Override replaces a frame for one connection.
type Override struct {
	Conn  *Conn
	Bytes []byte // empty: nothing is sent
	Count int
}

// size is what a frame counts in the backlog of a mailbox.
func (f *Frame) size() int64 {
	n := 64
	for enc := range Encoding(Encodings) {
		n += len(f.Of(enc))
		if f.Alternate != nil {
			n += len(f.Alternate.Of(enc))
		}
	}
	return int64(n)
}

// Meter counts what was delivered. All of it is atomic.
type Meter struct {
	Frames   atomic.Uint64 // frames handed to connections
	Messages atomic.Uint64 // messages in them: deliveries
	Dropped  atomic.Uint64 // frames handed to connections that were too slow to be sent them
}
