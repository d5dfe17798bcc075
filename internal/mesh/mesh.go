package mesh

import (
	"context"
	"errors"
)

// Opener joins a mesh.
type Opener interface {
	// Open joins as the process with this session, a name that no other process has ever had, and returns at once: the mesh
	// is reached later, and reached again whenever it was lost. h is called from then on.
	Open(session string, h Handler) (Node, error)
}

// Node is this process's place in a mesh. Its methods may be called from any goroutine.
type Node interface {
	// Send hands a frame to one process. It does not wait until it has arrived. The frame may be used again afterwards.
	Send(to string, frame []byte) error

	// Announce hands a frame to all processes.
	Announce(frame []byte) error

	// Update writes a row of the table if its revision is still the given one, 0 for a row that is not there, and returns the
	// new revision. Errors: ErrConflict if it is another one. After any other error the row may have been written.
	Update(ctx context.Context, key string, value []byte, revision uint64) (uint64, error)

	// Log returns the log of a number from 0 on.
	Log(number int) Log

	// Shelf returns the shelf.
	Shelf() Shelf

	// Close leaves the mesh. The handler is not called afterwards.
	Close() error
}

// Handler is told what comes from a mesh. Each method is called by one goroutine at a time, which may not be held for long:
// what comes is queued, and in the end lost. Frames and rows are valid during the call only.
type Handler interface {
	// Frame is called with what was sent to this process.
	Frame(frame []byte)

	// Announced is called with what was announced, by this process too.
	Announced(frame []byte)

	// Row is called with each row of the table at first, and with each that is written later.
	Row(key string, value []byte, revision uint64)

	// Loaded is called when Row has been called with all rows that there were.
	Loaded()
}

// ErrConflict is why a row was not written: somebody else wrote it before.
var ErrConflict = errors.New("the row was written by another process meanwhile")

// ErrAway is why nothing is written or sent: the mesh is not reached at the moment.
var ErrAway = errors.New("the mesh is not reached")
