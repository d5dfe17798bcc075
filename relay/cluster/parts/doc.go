// Package parts puts together what the processes of a cluster say of a key: who is in a channel, say, of which each process knows its own
// clients.
//
// A [Store] has the parts of all processes, by partition. [Store.Note] takes a part that a process tells, [Store.Sweep] begins and ends that one
// tells all of them anew, and [Store.Absent] ends those of a process that is not heard any more. Where this process owns the partition
// ([Store.Open], [Store.Close]), a [Merger] is told the whole each time.
//
// It refuses a part of a term that is over, and one for another owner. Nothing bounds it: who reports parts bounds them.
//
// Each partition has a mutex, which is taken after the locks of Merger.Each and held during Merge. It starts no goroutine.
package parts
