// Package documents is documents that several people edit at once: the system "documents" of the relay.
//
// Every document is one sequenced log: operations get versions without a gap, whoever follows sees them in that
// order, and all replicas end equal. What operations are depends on the document's [Kind], which it keeps: plain
// text that is transformed here (package text), a log whose versions are checked and whose clients rebase, or
// updates that commute.
//
// Entry point: [New], a relay.System. Clients come over /documents/{id}/collaborate; backends use
// /v1/documents/{id}. docs/documents.md describes the protocols.
//
// It refuses, each with a code of its own: operations beyond the end or not in normal form, bases that are ahead
// or older than what is kept (the client gets the text anew), a second operation of an editor that does not know
// the first, documents larger than the configuration allows, cursors beyond their number, and everybody whose
// token does not allow the channel "document:{id}": subscribe is reading, publish is writing.
//
// # Where documents are kept
//
// In two channels each: "document-log:{id}" has the operations, "document-head:{id}" a snapshot, which is made
// every 500 operations or 256 KiB of them, and when a document has not been used for a while. With a data
// directory both are on disk, and nobody is told of an operation before it is safe there. At least the newest
// 1000 operations are kept for those who are behind (fewer where they take more than 4 MiB).
//
// # Who owns what
//
// A document has one lock, under which an operation is transformed, stored, applied and handed to the rooms of its
// followers; no two documents share one. Lock order: Document.mu, then those of rooms, sessions and the broker.
// Two kinds of goroutines: one sweep for the system, which Close ends, and for a document whose operations wait
// for the disk one drain, which ends when nothing waits any more; Close waits for them.
//
// # When it is full
//
// An operation is refused before it is applied if more waits for the followers, or for the disk, than may. A
// follower that is too slow is closed, comes back and gets what it has missed. Documents that nobody uses leave
// memory; beyond the number that may be in use, opening another is refused.
package documents
