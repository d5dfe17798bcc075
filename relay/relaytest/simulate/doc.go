// Package simulate runs a whole relay, with its clients and its publishers, on an in-memory network and in
// simulated time, breaks things by a plan that a seed has drawn, and judges what everybody was told. All of it
// is test code.
//
// Entry point: Run, in the bubble of a synctest.Test. Clients are good ones: they reconnect with backoff
// and resume from where they stand, over WebSocket and as event streams. Publishers send numbered stamps to
// POST /v1/publish with idempotency keys and try again when they get no answer; some of them are put behind texts, with an offset or without, and
// one client in four knows no appends. Meanwhile connections are
// cut in the middle of a frame, readers stall, answers to publishes are lost, requests are torn, channels
// are deleted, the network is away, and the relay is restarted with a drain. Two kinds of channels are durable: their
// log lies on an in-memory disk (broker/disk/memdisk) that gets slow, full and broken, and where a power cut leaves
// what was synced and any part of the rest, torn anywhere. The wall clock, which tokens and deadlines go by, is set
// by up to an hour.
//
// With Options.Nodes it is a cluster on weir/internal/mesh/fake: clients and publishers go to any node, and nodes are killed, stopped, restarted
// and cut off, from each other, from the table, both ways or one; frames are lost, late, repeated and reordered; each node has a clock of its own.
// Durable channels are kept by the mesh, whose servers answer late, not at all, or what was there before.
//
// # What is judged
//
// The ledger of weir/relay/relaytest/ledger holds every reader against every acknowledgement: nothing lost without a
// word, nothing twice, nothing out of order, one message for a position. A client itself demands that
// changes are contiguous (where nothing is conflated), that positions never go back and that an epoch never
// returns; and when all is quiet, that it holds what the relay holds. Then the log of each durable channel must hold
// whatever was acknowledged there, at its place, and readers of what is delivered after the disk were never told that
// it is lost.
//
// Of a cluster, a position holds the same message on all nodes; a resync that says that nothing is lost stands where its reader does; a node that was
// replaced acknowledges nothing after a few seconds; what clients of a durable item were told, who write and read it by any node, is linearizable; and in the end all nodes stand at the same position. What was acknowledged and seen by
// nobody may be lost with a node; who has seen it is told.
//
// # What the same seed repeats
//
// The plan: what is done, by whom, when, with what data and which faults; the story of two runs is the same
// text. Most steps have an instant of their own, and simulated time stands still until all that follows from
// one has been done; some come together on purpose, in one channel. So runs of a seed differ only within an
// instant: by how goroutines that are awake together are scheduled, and by what the relay itself draws at
// random (hash seeds of its maps, connection ids, the order and jitter of a drain). A failure that needs such
// a coincidence may take several replays.
//
// # What it does not reach
//
// Sockets: the pool's raw path on Linux, its poller and TLS are not part of it; tests of package pool and
// those against the real binary are. The database behind the durable log: bbolt maps a real file into memory, which is
// kept in /dev/shm. A power cut finds it as its last commit left it; that a commit is atomic is believed. Its files do
// not get full or slow.
//
// # Goroutines and locks
//
// Run starts a goroutine for each client, each publisher and each relay, and waits for all of them. A client's
// state is guarded by its lock, which the goroutine that reads takes for each message and the director
// for each thing that it has the client do. Problems and story have a lock of their own, a leaf.
package simulate
