//go:build unix

package pool

// socketHandle is a descriptor in the type that package syscall gives it here.
func socketHandle(fd uintptr) int { return int(fd) }
