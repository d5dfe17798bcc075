//go:build !linux

package pool

import "syscall"

// poller is for systems that have one: here owners read with a goroutine.
type poller struct{}

func newPoller() (*poller, error) { return nil, syscall.ENOSYS }
func (*poller) run()              {}
func (*poller) close()            {}
func (*poller) watch(*Conn) error { return syscall.ENOSYS }
func (*poller) forget(*Conn)      {}

// TryRead is only for connections that are awaitable: none here.
func (c *Conn) TryRead([]byte) (int, error) { return 0, syscall.ENOSYS }
