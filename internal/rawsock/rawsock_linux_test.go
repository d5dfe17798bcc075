package rawsock

import (
	"bytes"
	"io"
	"net"
	"syscall"
	"testing"
)

// pair returns the descriptors of two connected sockets.
func pair(t *testing.T) (near, far *net.TCPConn, nearFD, farFD int) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	a, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	b, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = a.Close(), b.Close() })
	near, far = a.(*net.TCPConn), b.(*net.TCPConn)
	for of, fd := range map[*net.TCPConn]*int{near: &nearFD, far: &farFD} {
		if err := Control(of, func(n int) error { *fd = n; return nil }); err != nil {
			t.Fatal(err)
		}
	}
	return near, far, nearFD, farFD
}

// await calls f until it returns anything but EAGAIN: loopback delivers at once, but not within the sender's call.
func await(f func() (int, error)) (n int, err error) {
	for {
		if n, err = f(); err != syscall.EAGAIN {
			return n, err
		}
	}
}

func TestSendAndReceive(t *testing.T) {
	near, _, a, b := pair(t)
	buf := make([]byte, 16)
	if n, err := Receive(b, buf); n != 0 || err != syscall.EAGAIN {
		t.Fatal(n, err)
	}
	if n, err := Send(a, []byte("hello, world")); n != 12 || err != nil {
		t.Fatal(n, err)
	}
	if n, err := await(func() (int, error) { return Skip(b, 7) }); n != 7 || err != nil {
		t.Fatal(n, err)
	}
	if n, err := await(func() (int, error) { return Receive(b, buf) }); string(buf[:n]) != "world" || err != nil {
		t.Fatal(string(buf[:n]), err)
	}
	_ = near.CloseWrite()
	if n, err := await(func() (int, error) { return Receive(b, buf) }); n != 0 || err != io.EOF {
		t.Fatal(n, err)
	}
	if n, err := Send(a, []byte("more")); n != 0 || err != syscall.EPIPE { // and no SIGPIPE
		t.Fatal(n, err)
	}
}

// A peer that does not read ends a send with a short count, and nobody waits.
func TestSendTakesWhatFits(t *testing.T) {
	_, _, a, b := pair(t)
	sent, chunk := 0, bytes.Repeat([]byte("x"), 1<<20)
	for {
		n, err := Send(a, chunk)
		sent += n
		if err != nil {
			if err != syscall.EAGAIN || n == len(chunk) {
				t.Fatal(n, err)
			}
			break
		}
	}
	for sent > 0 {
		n, err := await(func() (int, error) { return Skip(b, sent) })
		if err != nil {
			t.Fatal(err)
		}
		sent -= n
	}
}

func TestDescriptorOfTheClosed(t *testing.T) {
	near, _, _, _ := pair(t)
	_ = near.Close()
	if err := Control(near, func(int) error { return nil }); err == nil {
		t.Error("the descriptor of a closed connection was lent")
	}
}
