// Package ledger keeps durable channels in a cluster: it is a broker.Store on the logs and the shelf of a mesh, which a majority of servers keeps.
//
// Channels belong to partitions, each of which one process has at a time. All changes of all partitions of a process go to one log, that of
// its slot ([Ledger.Begin]), in frames: what has come while the last one was under way is the next one. From there the state of each channel goes to
// the shelf now and then (a checkpoint), and what the shelf has of all channels is purged from the log. A channel is loaded from its checkpoint and
// the records that came after it, which are kept in memory until then.
//
// # Fences
//
// A frame is appended at the number behind the frame before: whoever has put anything there meanwhile has fenced the writer, which then has
// lost all of its partitions ([ErrFenced]), whatever it has answered to nobody yet. There is one frame in flight: with more, a fence would
// take the place of the first and the others would be accepted behind it. For the same reason a reader passes over frames of another session than the
// one that the last fence before them has begun.
//
// An append without an answer is made again, at the same number. If that is refused, what stands there tells whether it was made, before
// anybody is answered.
//
// # What servers say that have just started, or that were replaced
//
// Servers may not find a log or the shelf for a while after a start ([mesh.ErrAbsent]), and a server that was replaced and does not know it tells what was there before. So neither is taken for
// something empty: what was made is known from a table ([Made]), what stands in a log is read up to a number that a majority has taken, a channel is loaded when a majority has said that its checkpoint is
// the last one, and a checkpoint replaces only what it was built on. Records that do not begin where the checkpoint ends are an error. Nothing is purged but what this process has put on
// the shelf itself, and nothing that the table may still name.
//
// # Moving
//
// A [Ref] is a part of a log that has records of a partition which the shelf may lack. Who takes a partition ([Ledger.Take]) has its refs from a table, has
// itself in it before it reads, and seals each that is open: then it is read to its end. A process that gives a partition away ([Ledger.Give]) closes its own ref: nothing
// has to be sealed, and the other partitions of its log go on.
//
// A taker of a ref that was open begins a generation of the partition: readers may have seen more of its channels than was kept, so that each goes on in another
// epoch when it is loaded, as after a crash with broker/disk.
//
// # Checkpoints
//
// A checkpoint says up to which ref and number it has all of its channel, and never replaces one that has more: a process that does not know yet that it was
// replaced does no harm.
//
// # Time
//
// Times that are kept are of the servers' clock, as it was when the session began.
//
// # Goroutines, and what happens when full or broken
//
// The committer appends frames, the checkpointer writes checkpoints and purges; Close ends both. A frame that cannot be appended is tried again; who waits for it gets
// [ErrFailing] at once if the servers are full, and otherwise after some seconds. Meanwhile publications that ask for safety are refused before they change anything; those that
// do not go on in memory until Config.Queue bytes wait (broker.ErrFull).
package ledger
