// Package durable has the durable channels of a node's partitions served from the logs and the shelf of a mesh, by a [ledger.Ledger].
//
// The table of the mesh has two more kinds of rows for that, which change by compare-and-set as those of owners do. A slot, s.N, is the number of a log, and says which node
// writes to it. The refs of a partition, l.N, say where to read what the shelf may lack of it ([ledger.Ref]). Who owns a partition by the table of owners puts itself into
// its refs first, then reads what all of them name, and serves it then. So a partition has its memory channels served at once, and the durable ones as soon as the log of the owner before is read.
//
// A process that is fenced, since others took it for dead, has lost the durable channels of all partitions: it takes those that it still owns anew, in another session.
//
// One goroutine does all that. It owns the sessions of the ledger; rows come from that of the mesh.
package durable
