//go:build !linux

package rawsock

import (
	"io"
	"net/netip"
	"os"
	"syscall"
)

// Supported reports whether the system has the calls.
const Supported = false

// Send sends nothing.
func Send(int, []byte) (int, error) { return 0, syscall.EAGAIN }

// Receive receives nothing.
func Receive(int, []byte) (int, error) { return 0, syscall.EAGAIN }

// Shutdown does nothing.
func Shutdown(int) {}

// End does nothing.
func End(int) {}

// Close does nothing.
func Close(int) {}

// Control fails.
func Control(syscall.Conn, func(fd int) error) error { return syscall.ENOTSUP }

// Another fails.
func Another(syscall.Conn) (int, error) { return -1, syscall.ENOTSUP }

// Take fails.
func Take(interface {
	syscall.Conn
	io.Closer
}) (int, error) {
	return -1, syscall.ENOTSUP
}

// Stream is of no use.
func Stream(int, string) *os.File { return nil }

// Accept accepts nothing.
func Accept(int) (int, netip.AddrPort, error) { return -1, netip.AddrPort{}, syscall.EAGAIN }

// Local knows no address.
func Local(int) netip.AddrPort { return netip.AddrPort{} }

// SendAtOnce does nothing.
func SendAtOnce(int) error { return nil }

// SetSendBuffer does nothing.
func SetSendBuffer(int, int) error { return nil }
