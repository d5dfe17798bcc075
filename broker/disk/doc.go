// Package disk keeps durable channels: it is a broker.Store on a disk.
//
//	j, err := disk.Open(disk.Config{Dir: "/var/lib/weir", Policy: policy})
//	b, err := broker.New(broker.Config{Policy: policy, Store: j})
//	err = b.Close() // closes j too
//
// Changes are appended to a log of its own, many at a time, and each batch is made safe by one sync of
// the file. From there they go into a bbolt database (a checkpoint), which holds each channel as it is
// now: position, the newest changes, items, idempotency keys. Channels are loaded from the database.
// After a crash, what only the log has is kept beside the database and put over what a load finds, until a first
// checkpoint has taken it: a start waits for reading the log, not for that. A torn tail, which was never acknowledged, is
// ignored: what was on disk is known from the ledger and from the headers of later batches.
//
// [OpenView] looks at a directory without a server; [Compact], [View.Export] and [Import] are the tools of an operator. [Repair]
// goes on without what a log has lost.
//
// Config.FS is the seam for tests: the log's folder. broker/disk/memdisk has one in memory with full,
// failing and slow disks and power cuts. The database always lies in Config.Dir, since it is mapped into
// memory; its own commits are atomic.
//
// It refuses: folders that another process uses ([ErrInUse]), other formats ([ErrFormat]), damage that
// a crash does not explain ([ErrCorrupt], of the log [ErrLost]), names with a NUL, publications that are to be acknowledged while the disk fails
// ([ErrFailing]), and more than Config.Queue bytes that wait for it (broker.ErrFull).
//
// # Layout
//
//	lock      held by the process that has the folder open
//	weir.db   the database, with the format's version, the number of its last batch and the generation
//	log/N.wal segments of the log: frames, each a batch with its number, checksums and the seal of the one before
//	log/N.synced the ledger: up to which batch the log is on disk
//
// # Generations
//
// Readers may see a change before it is safe. A start after anything but an orderly Close therefore
// begins a new generation, in which a channel that is loaded goes on in a new epoch: up to the position
// that was kept, the old one is the same (broker.Fork), so that readers at or before it resume; a reader
// that has seen more gets a snapshot and the note that something was lost. No position is ever given twice to different changes.
//
// # Goroutines
//
// Open starts two, which Close stops and waits for: the committer owns the log and writes batches; the
// checkpointer writes the database, sweeps it, and opens it anew now and then, for which readers wait. Append and
// Forget only append to the batch in memory, under Journal.mu, which nests within a channel's lock. Load reads the
// database on its caller.
//
// # What happens when full, or broken
//
// A batch that cannot be written fails its publishers with ErrFailing and is tried again until it
// can; batches never overtake each other. The publishers of the batch behind it fail at once, too.
// Meanwhile publications that ask for safety are refused before they change anything; those that do not,
// and ends of items, go on in memory until the queue is full. A channel whose records are damaged takes
// no more changes until it is dropped; the others go on.
package disk
