// Package cluster makes several processes one relay: every channel has one owner among them, which orders its changes; the others
// hand their publications on to it, and keep a replica of each channel that they have readers for.
//
// [Open] joins the cluster and [Cluster.Start] begins to own and to follow; the Cluster is the broker's [broker.Cluster]. Above the
// broker nothing is different: subscribing, resuming and fan-out work from the replica.
//
// # Owners
//
// A channel belongs to a partition by the hash of its name. The table of the mesh has a row for each partition, which says who owns it;
// a row changes by compare-and-set, and its revision is the term. A process takes a partition over when it has not heard the owner for
// a while, no other one has, and it is first in line. Time decides how soon that happens, never whether there are two: positions of one term
// mean nothing in the next but through the fork that the new owner keeps, so that a reader that has seen what a replaced owner made is told.
//
// A process that is not connected to most of the others, or that was stopped, does not rely on what it knows: see judge. It asks through the table who is there, and serves
// again what it owns when the table has told all that was written meanwhile.
//
// # Links
//
// Frames between two processes are numbered, and have a checksum. A number that is missing, and one that a hello names and that has
// not come, begins the link anew: what waited for an answer fails, and all channels of the other one are followed again, with what has
// been missed or a snapshot. Nothing else depends on frames arriving.
//
// # Parts
//
// Some state is no channel: who is in one, for example. Each process has a part of it, and tells it to the owner of the key, who puts the whole
// together: see [Merger] and package parts. A new owner, and one to whom something was lost, is told all parts anew. Those of a process that is not heard any more are
// over.
//
// # Notices
//
// What all processes have to act on, such as the end of a user's sessions, is a notice: see [Cluster.Notify]. One that is cut off acts on it
// when it is heard again.
//
// # Goroutines and locks
//
// All that comes in is worked off by the goroutine of the mesh, one frame after the other, which waits for nobody: least of all for a channel that is just being filled, since what
// fills it comes by the same goroutine; each link has one that sends, one looks
// at the clock, and one tells parts anew. Cluster.mu is taken after a channel's lock and before link.mu, and never held while the broker is called.
//
// # What happens when full
//
// A link holds 64 MiB that were not sent; beyond, they are dropped and the link begins anew. Calls that are worked on at once are at most
// 256, further ones fail.
package cluster
