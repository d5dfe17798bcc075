// Package link carries records between two processes of a cluster, in order, or says that some were lost.
//
// A [Link] is the way to one process: [Link.Append] adds a record, [Link.Next] takes what has come as a frame, numbered and with a checksum.
// At the other end [ParseFrame] reads a frame and an [Inbound] says what it brings. A [Writer] and a [Reader] write and read records; each
// begins with its kind, such as [Publish].
//
// # What it refuses
//
// Frames that are damaged, of an epoch that is over, or that have come before. A number that is missing breaks the epoch: nothing of it
// is taken any more until [Link.Restart] begins another one.
//
// # Goroutines and locks
//
// It starts no goroutine. A link's mu is the innermost lock; an Inbound belongs to the goroutine that gets the frames.
//
// # What happens when it is full
//
// A link holds 64 MiB that were not sent. Beyond, they are dropped, and who sends begins the link anew ([Link.Overflowed]).
package link
