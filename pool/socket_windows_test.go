package pool

import "syscall"

// socketHandle is a descriptor in the type that package syscall gives it here.
func socketHandle(fd uintptr) syscall.Handle { return syscall.Handle(fd) }
