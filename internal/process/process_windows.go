package process

import (
	"syscall"
	"time"
)

// CPUTime is the processor time that this process has used, in user and kernel mode, or 0 if it cannot be read.
func CPUTime() time.Duration {
	var created, exited, kernel, user syscall.Filetime
	self, err := syscall.GetCurrentProcess()
	if err != nil || syscall.GetProcessTimes(self, &created, &exited, &kernel, &user) != nil {
		return 0
	}
	return ticks(kernel) + ticks(user)
}

// ticks converts a length of time, which Windows counts in units of 100 ns.
func ticks(t syscall.Filetime) time.Duration {
	return time.Duration(int64(t.HighDateTime)<<32|int64(t.LowDateTime)) * 100
}

// DescriptorLimit reports false: Windows bounds the handles of a process by its memory only.
func DescriptorLimit() (int, bool) { return 0, false }
