// Package memdisk is a disk in memory for tests of broker/disk: it can be full, slow or broken, and it
// can lose power.
//
// Entry point: [New] makes a [Disk], which is a disk.FS. [Disk.Crash] returns what a machine finds after
// it lost power: what was synced is there, of the rest an arbitrary part, cut anywhere within a write.
// The old disk then refuses everything, so that a journal which still has it can do no more harm.
//
// It may be used from any goroutine; one lock guards it all. It starts no goroutine and keeps everything
// in memory.
package memdisk
