//go:build !linux

package epoll

import "syscall"

// Event is what a set reports of a descriptor.
type Event struct {
	Events uint32
	Fd     int32
}

// What a descriptor may be watched for.
const (
	Read = 1 << iota
	Write
	Once
	Ended
)

// Waiter is a set for which a goroutine waits: none can be made here.
type Waiter struct{}

// NewWaiter fails.
func NewWaiter(string, int) (*Waiter, error) { return nil, syscall.ENOSYS }

// Add fails.
func (*Waiter) Add(int, Event) error { return syscall.ENOSYS }

// Rearm fails.
func (*Waiter) Rearm(int, Event) error { return syscall.ENOSYS }

// Wait fails.
func (*Waiter) Wait() ([]Event, error) { return nil, syscall.ENOSYS }

// Close does nothing.
func (*Waiter) Close() error { return nil }
