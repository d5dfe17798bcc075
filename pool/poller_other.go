//go:build !linux

package pool

import "syscall"

// haveReadiness says that this system has no poller of ours: owners read with a goroutine.
const haveReadiness = false

type poller struct{}

func newPoller() (*poller, error) { return &poller{}, nil }
func (*poller) run()              {}
func (*poller) close()            {}
func (*poller) watch(*Conn) error { return syscall.ENOSYS }
func (*poller) forget(*Conn)      {}

// TryRead is only for connections that Await answers true for: none here.
func (c *Conn) TryRead([]byte) (int, error) { return 0, syscall.ENOSYS }
