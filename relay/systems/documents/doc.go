// Package documents is documents that several people edit at once: the system "documents" of the relay.
//
// Every document is one sequenced log: operations get versions without a gap, the client that follows sees them in that
// order, and all replicas end equal. What operations are depends on the document's [content.Kind], which it keeps: plain
// text that is transformed here (package text), a log whose versions are checked and whose clients rebase, or
// updates that commute.
//
// Entry point: [New], a relay.System. Clients come over /documents/{id}/collaborate; backends use
// /v1/documents/{id}. docs/documents.md describes the protocols.
//
// It refuses, each with a code of its own: operations beyond the end or not in normal form, bases that are ahead
// or older than what is kept (the client gets the text anew), a second operation of an editor that does not know
// the first, documents larger than the configuration allows, cursors beyond their number, and clients whose
// token does not allow the channel "document:{id}": subscribe is reading, publish is writing.
//
// # Protocols
//
// A [protocol] is one WebSocket route: who is let in, what a connection follows, how it ends. Each has a codec: native
// and opaque are dialects of JSON messages ([messages]), [shareDB] and [yWebsocket] serve unmodified clients. A document
// has a [broadcaster] for each protocol that it is followed over.
//
// # Where documents are kept
//
// In two channels each ([content.Store]): "document-log:{id}" has the operations, "document-head:{id}" a snapshot, which is made
// every 500 operations or 256 KiB of them, and when a document has not been used for a while. With a data
// directory both are on disk, and no operation is sent to anybody before it is stored there. At least the newest
// 1000 operations are kept for clients that are behind (fewer where they take more than 4 MiB).
//
// # Who owns what
//
// A document has one lock, under which an operation is transformed, stored, applied and sent to the rooms of its
// followers; no two documents share one. Lock order: Document.mu, then those of rooms, sessions and the broker.
// Two kinds of goroutines: one sweep for the system, which Close ends, and for a document whose operations wait
// for the disk one drain, which ends when nothing waits any more; Close waits for them.
//
// # When it is full
//
// An operation is refused before it is applied if too much waits for the followers, or for the disk. A
// follower that is too slow is closed, comes back and gets what it has missed. Documents that are not used leave
// memory; beyond the number that may be in use, opening another is refused.
package documents
