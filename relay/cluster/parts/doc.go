// Package parts puts together what the processes of a cluster say of a key: who is in a channel, say, of which each process knows its own
// clients.
//
// A [Store] has the parts of all processes, by partition. [Store.Take] takes what a process tells, as a [Record]: a part, or that all of them
// follow anew. [Store.Absent] ends those of a process that is not heard any more. Where this process owns the partition
// ([Store.Open], [Store.Close]), a [Merger] is told the whole each time.
//
// It refuses a part of a term that is over, and one for another owner. Nothing bounds it: who reports parts bounds them.
//
// Each partition has a mutex, which is taken after the locks of Merger.Each and held during Merge. It starts no goroutine.
package parts
