//go:build !linux

package rawsock

import "syscall"

// Supported reports whether the system has the calls.
const Supported = false

// Send sends nothing.
func Send(int, []byte) (int, error) { return 0, syscall.EAGAIN }

// Receive receives nothing.
func Receive(int, []byte) (int, error) { return 0, syscall.EAGAIN }

// Skip skips nothing.
func Skip(int, int) (int, error) { return 0, syscall.EAGAIN }
