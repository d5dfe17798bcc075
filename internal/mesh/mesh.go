package mesh

import (
	"context"
	"errors"
)

// Opener joins a mesh.
type Opener interface {
	// Open joins with a session, a name that no other process ever had, and returns at once. The mesh is reached later, and again after it was
	// lost. h is called from then on.
	Open(session string, h Handler) (Node, error)
}

// Node is this process as a member of a mesh. Its methods may be called from any goroutine.
type Node interface {
	// Send sends a frame to one process, and does not wait for its arrival. The caller may use the frame again afterwards.
	Send(to string, frame []byte) error

	// Announce sends a frame to all processes.
	Announce(frame []byte) error

	// Update writes a row of the table if its revision is the given one, 0 for a row that is not there, and returns the new revision. Error:
	// ErrConflict if it has another revision. After any other error the row may have been written.
	Update(ctx context.Context, key string, value []byte, revision uint64) (uint64, error)

	// Log returns a log by its number, from 0 on.
	Log(number int) Log

	// Shelf returns the shelf.
	Shelf() Shelf

	// Close leaves the mesh. No method of the Handler is called afterwards.
	Close() error
}

// Handler receives what comes from a mesh. Each method is called by one goroutine at a time, and must be quick: what comes meanwhile is
// queued, and lost if there is too much. Frames and rows are valid only during the call.
type Handler interface {
	// Frame is called with a frame that was sent to this process.
	Frame(frame []byte)

	// Announced is called with a frame that was announced, also by this process.
	Announced(frame []byte)

	// Row is called with each row that the table has at first, and then with each row that is written.
	Row(key string, value []byte, revision uint64)

	// Loaded is called once Row has been called with all rows that the table had at first.
	Loaded()
}

// ErrConflict is why a row was not written: somebody else wrote it before.
var ErrConflict = errors.New("another node has written meanwhile")

// ErrAway is why nothing is written or sent: the NATS servers cannot be reached at the moment.
var ErrAway = errors.New("the NATS servers cannot be reached")
