//go:build unix

package process

import (
	"math"
	"syscall"
	"time"
)

// CPUTime is the processor time that this process has used, in user and system mode, or 0 if it cannot be read.
func CPUTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// DescriptorLimit is how many files and sockets this process may have open (RLIMIT_NOFILE). It reports false if there is
// no such limit or it cannot be read.
func DescriptorLimit() (int, bool) {
	var r syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &r); err != nil {
		return 0, false
	}
	return int(min(uint64(r.Cur), math.MaxInt32)), true //nolint:unconvert // FreeBSD counts in int64
}
