package memnet

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	_ net.Conn     = (*Conn)(nil)
	_ net.Listener = (*Listener)(nil)
)

// result is what a Read or Write returned.
type result struct {
	n   int
	err error
}

// start runs f on a goroutine of the bubble.
func start(f func() (int, error)) chan result {
	c := make(chan result, 1)
	go func() {
		n, err := f()
		c <- result{n, err}
	}()
	return c
}

// waits says that nothing has come of an operation.
func waits(t *testing.T, c chan result) {
	t.Helper()
	synctest.Wait()
	select {
	case r := <-c:
		t.Fatalf("returned %d, %v; want it to wait", r.n, r.err)
	default:
	}
}

func want(t *testing.T, c chan result, n int, err error) {
	t.Helper()
	synctest.Wait()
	select {
	case r := <-c:
		if r.n != n || !errors.Is(r.err, err) {
			t.Fatalf("returned %d, %v; want %d, %v", r.n, r.err, n, err)
		}
	default:
		t.Fatalf("still waits; want %d, %v", n, err)
	}
}

func TestWriteWaitsForRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := Pipe(8)
		w := start(func() (int, error) { return a.Write([]byte("0123456789ab")) })
		waits(t, w)
		buf := make([]byte, 6)
		if n, err := b.Read(buf); n != 6 || err != nil || string(buf) != "012345" {
			t.Fatalf("read %d %q, %v", n, buf, err)
		}
		want(t, w, 12, nil)
		rest := make([]byte, 20)
		if n, _ := b.Read(rest); string(rest[:n]) != "6789ab" {
			t.Fatalf("read %q", rest[:n])
		}
	})
}

func TestReadWaitsForBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := Pipe(0)
		r := start(func() (int, error) { return b.Read(make([]byte, 4)) })
		waits(t, r)
		_, _ = a.Write([]byte("xy"))
		want(t, r, 2, nil)
	})
}

func TestBlocked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := Pipe(0)
		a.BlockWrites(true)
		w := start(func() (int, error) { return a.Write([]byte("x")) })
		waits(t, w)
		a.BlockWrites(false)
		want(t, w, 1, nil)
		b.BlockReads(true)
		r := start(func() (int, error) { return b.Read(make([]byte, 4)) })
		waits(t, r)
		b.BlockReads(false)
		want(t, r, 1, nil)
	})
}

func TestDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := Pipe(2)
		begin := time.Now()
		_ = b.SetReadDeadline(begin.Add(time.Second))
		r := start(func() (int, error) { return b.Read(make([]byte, 4)) })
		waits(t, r)
		_ = b.SetReadDeadline(begin.Add(3 * time.Second)) // moved while it waits
		time.Sleep(2 * time.Second)
		waits(t, r)
		time.Sleep(time.Second)
		want(t, r, 0, os.ErrDeadlineExceeded)

		_ = a.SetDeadline(time.Now().Add(-time.Second))
		w := start(func() (int, error) { return a.Write([]byte("x")) })
		want(t, w, 0, os.ErrDeadlineExceeded)
		_ = a.SetDeadline(time.Now().Add(time.Second))
		w = start(func() (int, error) { return a.Write([]byte("xyz")) })
		waits(t, w)
		time.Sleep(time.Second)
		want(t, w, 2, os.ErrDeadlineExceeded)
		_ = a.SetWriteDeadline(time.Time{})
		_ = b.SetReadDeadline(time.Time{})
		w = start(func() (int, error) { return a.Write([]byte("z")) })
		waits(t, w)
		got := make([]byte, 3)
		_, _ = io.ReadFull(b, got)
		if !bytes.Equal(got, []byte("xyz")) {
			t.Fatalf("read %q", got)
		}
		want(t, w, 1, nil)
		var ne net.Error
		_ = b.SetReadDeadline(time.Now())
		if _, err := b.Read(got); !errors.As(err, &ne) || !ne.Timeout() {
			t.Fatalf("%v is no timeout", err)
		}
	})
}

func TestEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := Pipe(4)
		_, _ = a.Write([]byte("last"))
		_ = a.CloseWrite()
		if _, err := a.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
			t.Fatalf("write after CloseWrite: %v", err)
		}
		if got, err := io.ReadAll(b); string(got) != "last" || err != nil {
			t.Fatalf("read %q, %v", got, err)
		}
		_, _ = b.Write([]byte("back")) // the other direction is open
		w := start(func() (int, error) { return b.Write([]byte("x")) })
		r := start(func() (int, error) { return b.Read(make([]byte, 4)) })
		waits(t, w)
		want(t, r, 0, io.EOF)
		_ = a.Close()
		_ = a.Close()
		want(t, w, 0, syscall.EPIPE)
		if _, err := a.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
			t.Fatalf("read after Close: %v", err)
		}
		if err := a.SetReadDeadline(time.Now()); !errors.Is(err, net.ErrClosed) {
			t.Fatalf("deadline after Close: %v", err)
		}
		c, _ := Pipe(4)
		r = start(func() (int, error) { return c.Read(make([]byte, 4)) })
		waits(t, r)
		_ = c.Close()
		want(t, r, 0, net.ErrClosed)
	})
}

func TestListener(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := Listen("relay", 0)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		go func() {
			c, err := l.Accept()
			if err != nil {
				t.Error(err)
				return
			}
			_, _ = io.Copy(c, c)
			_ = c.Close()
		}()
		c, err := l.Dial(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if c.RemoteAddr() != l.Addr() || c.LocalAddr().Network() != "mem" {
			t.Errorf("addresses %v, %v", c.LocalAddr(), c.RemoteAddr())
		}
		_, _ = c.Write([]byte("echo"))
		_ = c.CloseWrite()
		if got, err := io.ReadAll(c); string(got) != "echo" || err != nil {
			t.Fatalf("read %q, %v", got, err)
		}
		if _, err := l.Dial(ctx); !errors.Is(err, context.DeadlineExceeded) { // nobody accepts
			t.Fatalf("dial: %v", err)
		}
		_ = l.Close()
		_ = l.Close()
		if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Fatalf("accept: %v", err)
		}
		if _, err := l.Dial(t.Context()); !errors.Is(err, net.ErrClosed) {
			t.Fatalf("dial: %v", err)
		}
	})
}

func TestCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := Pipe(8)
		_, _ = a.Write([]byte("under way"[:8]))
		w := start(func() (int, error) { return a.Write([]byte("x")) })
		b.BlockReads(true)
		r := start(func() (int, error) { return b.Read(make([]byte, 4)) })
		back := start(func() (int, error) { return a.Read(make([]byte, 4)) })
		waits(t, r)
		a.Cut(3)
		a.Cut(0) // too late to take more
		want(t, w, 0, syscall.ECONNRESET)
		want(t, back, 0, syscall.ECONNRESET)
		want(t, r, 3, nil)
		if _, err := b.Read(make([]byte, 4)); !errors.Is(err, syscall.ECONNRESET) {
			t.Fatalf("read after the cut: %v", err)
		}
		if _, err := b.Write([]byte("x")); !errors.Is(err, syscall.ECONNRESET) {
			t.Fatalf("write after the cut: %v", err)
		}
		_ = a.Close()
		_ = b.Close()
		if _, err := b.Read(make([]byte, 4)); !errors.Is(err, net.ErrClosed) {
			t.Fatalf("read after Close: %v", err)
		}
	})
}
