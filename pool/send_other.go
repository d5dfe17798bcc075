//go:build !linux

package pool

import "syscall"

// haveSend says that this system has no raw path: every connection queues.
const haveSend = false

func send(int, []byte) (int, error) { return 0, syscall.EAGAIN }
