package disk

import (
	"syscall"

	bolt "go.etcd.io/bbolt"
)

// relaxed is the size of a database above which its mapped pages are let go of.
const relaxed = 32 << 20

// relax lets go of the pages of the database that this process has mapped. They stay in the system's cache,
// where they count for nobody; otherwise the process would seem to grow with what it has stored. What is needed
// again is mapped again, without reading the disk.
func (d *database) relax() {
	_ = d.view(func(tx *bolt.Tx) error { // meanwhile it is not mapped anew
		if size := tx.Size(); size >= relaxed { // what it answers is of no interest: it is an advice
			_, _, _ = syscall.Syscall(syscall.SYS_MADVISE, tx.DB().Info().Data, uintptr(size), syscall.MADV_DONTNEED)
		}
		return nil
	})
}
