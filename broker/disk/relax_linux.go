package disk

import (
	"syscall"

	bolt "go.etcd.io/bbolt"
)

// relaxed is the size of a database, in bytes, above which its mapped pages are released.
const relaxed = 32 << 20

// relax releases the pages of the database that this process has mapped. They stay in the system's cache, and no longer
// count as memory of the process, which would seem to grow with what it has stored. What is needed again is mapped
// again, without reading the disk.
func (d *database) relax() {
	_ = d.view(func(tx *bolt.Tx) error { // meanwhile it is not mapped anew
		if size := tx.Size(); size >= relaxed { // what it returns is of no interest: it is an advice
			_, _, _ = syscall.Syscall(syscall.SYS_MADVISE, tx.DB().Info().Data, uintptr(size), syscall.MADV_DONTNEED)
		}
		return nil
	})
}
