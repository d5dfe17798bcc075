// Package cluster makes several processes one relay. Every channel has one owner among them, which orders its changes. The others hand their
// publications on to it, and keep a replica of each channel that they have readers for.
//
// [Open] joins the cluster. [Cluster.Start] begins to own partitions and to follow channels. The Cluster is the broker's [broker.Cluster]. Above the
// broker nothing is different: subscribing, resuming and fan-out work from the replica.
//
// # Owners
//
// A channel belongs to a partition by the hash of its name. The table of the mesh has a row for each partition, which names the owner. A row
// changes by compare-and-set, and its revision is the term. A process takes a partition over if it has not heard the owner for a while, no other
// process has, and it is first in line. Time decides how soon that happens, and never that there are two owners: a position of one term is valid
// in the next term only through the fork that the new owner keeps. So a reader that has seen changes of a replaced owner is told.
//
// A process that is not connected to most of the others, or that was stopped, does not rely on what it knows: see judge. It asks through the
// table who is there. It serves its partitions again when it has read all that was written to the table meanwhile.
//
// # Links
//
// Frames between two processes are numbered, and have a checksum. If a number is missing, or a frame that a hello names has not come, the link
// begins anew: calls that wait for an answer fail, and all channels of the other process are followed again, with what was missed or a
// snapshot. Nothing else depends on frames arriving.
//
// # Parts
//
// Some state is not a channel, such as who is in one. Each process has a part of it and reports the part to the owner of the key, which puts
// the whole together: see [Merger] and package parts. A new owner, or one that has lost something, gets all parts anew. The parts of a
// process that is no longer heard end.
//
// # Notices
//
// A notice is what all processes have to act on, such as the end of a user's sessions: see [Cluster.Notify]. A process that is cut off acts on
// it when it is heard again.
//
// # Goroutines and locks
//
// The goroutine of the mesh works off all that comes in, one frame after the other, and never waits, not even for a channel that is being
// filled: what fills it comes by the same goroutine. Each link has a goroutine that sends; one more looks at the clock, and one sends parts
// anew. Cluster.mu is taken after a channel's lock and before link.mu, and never held while the broker is called.
//
// # What happens when full
//
// A link holds 64 MiB that were not sent. Beyond that they are dropped, and the link begins anew. At most 256 calls are worked on at the same
// time; further ones fail.
package cluster
