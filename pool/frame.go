package pool

import (
	"sync/atomic"
	"time"
)

// Encoding says which of a frame's forms a connection takes.
type Encoding uint8

// Encodings is how many forms a frame may have. What they are is the owner's to say.
const Encodings = 8

// Frame is bytes ready for the socket, built once and shared by all connections that get them. It is
// immutable once delivered.
type Frame struct {
	Bytes   [Encodings][]byte // by Encoding; empty: nothing is sent to connections that take that form
	Last    uint64            // the reader's position after the frame; grows from frame to frame of a topic
	Count   int               // messages in it
	Since   time.Time         // when the first of them was published; zero: not measured
	Instead []Instead         // connections that get other bytes
	Place   Place             // for Owner.Tail
	Missing bool              // it could not be built: all who would get it are given up, after what came before; see Owner.Missed
}

// Place is where a reader stands in the log behind a topic. It means nothing to the pool, which orders
// by Frame.Last alone.
type Place struct {
	Epoch string // "": as before
	Seq   uint64
}

// Instead replaces a frame for one connection.
type Instead struct {
	Conn  *Conn
	Bytes []byte // empty: nothing is sent
	Count int
}

// size is what a frame counts in the backlog of a mailbox.
func (f *Frame) size() int64 {
	n := 64
	for _, b := range f.Bytes {
		n += len(b)
	}
	return int64(n)
}

// Meter counts what was delivered. All of it is atomic.
type Meter struct {
	Frames   atomic.Uint64 // frames handed to connections
	Messages atomic.Uint64 // messages in them: deliveries
	Dropped  atomic.Uint64 // frames handed to connections that were too slow to be sent them
}
