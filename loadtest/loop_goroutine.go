package loadtest

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"
)

// connector opens one connection.
type connector func(ctx context.Context) (net.Conn, error)

// goroutineLoop is a loop over any net.Conn: TLS, systems without epoll, and tests that bring their own
// network and time. Each connection has a reading and a writing goroutine; a mutex stands for the
// loop's thread.
type goroutineLoop struct {
	loopConfig
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup // every goroutine of the loop
	kicks  chan struct{}  // room for one: the loop has something to look at
	posted inbox

	mu    sync.Mutex
	socks map[*goroutineSocket]struct{} // guarded by mu
}

// newGoroutineLoop starts the loop's ticking goroutine; it ends by stop, which waits for all.
func newGoroutineLoop(cfg loopConfig) *goroutineLoop {
	l := &goroutineLoop{loopConfig: cfg, kicks: make(chan struct{}, 1), socks: map[*goroutineSocket]struct{}{}}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	l.wg.Go(l.run)
	return l
}

// run does what was posted and calls the ticker, when its time comes and after anything happened.
func (l *goroutineLoop) run() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	var list []func()
	for {
		select {
		case <-l.ctx.Done():
			return
		case <-timer.C:
		case <-l.kicks:
		}
		list = l.posted.take(list)
		l.mu.Lock()
		for _, f := range list {
			f()
		}
		next := int64(never)
		if l.tick != nil && l.ctx.Err() == nil {
			next = l.tick(l.clock.now())
		}
		l.mu.Unlock()
		if next != never {
			timer.Reset(time.Until(l.clock.at(next)))
		}
	}
}

func (l *goroutineLoop) kick() {
	select {
	case l.kicks <- struct{}{}:
	default:
	}
}

func (l *goroutineLoop) post(f func()) {
	if l.posted.add(f) {
		l.kick()
	}
}

// do runs f as the loop, then lets the ticker have a look.
func (l *goroutineLoop) do(f func()) {
	l.mu.Lock()
	f()
	l.mu.Unlock()
	l.kick()
}

func (l *goroutineLoop) stop() {
	l.posted.close()
	l.mu.Lock()
	l.cancel()
	for s := range l.socks {
		s.close()
	}
	l.mu.Unlock()
	l.wg.Wait()
}

func (l *goroutineLoop) dial(h handler, _ netip.Addr) socket {
	s := &goroutineSocket{l: l, h: h}
	s.ctx, s.cancel = context.WithCancel(l.ctx)
	s.wrote.L = &l.mu
	if l.ctx.Err() != nil { // the loop is being stopped
		s.closed = true
		return s
	}
	l.socks[s] = struct{}{}
	l.wg.Go(s.run)
	return s
}

// goroutineSocket is a socket of a goroutineLoop.
type goroutineSocket struct {
	l      *goroutineLoop
	h      handler
	ctx    context.Context // ends when the socket is closed
	cancel context.CancelFunc

	// Guarded by l.mu.
	conn   net.Conn
	out    []byte
	wrote  sync.Cond // out has something, or the socket is closed
	paused bool
	closed bool
}

// run connects and reads until the connection ends. It starts the writer, which ends with it.
func (s *goroutineSocket) run() {
	defer s.cancel()
	conn, err := s.l.loopConfig.dial(s.ctx)
	s.l.do(func() {
		switch {
		case s.closed:
			if err == nil {
				_ = conn.Close() // nobody wants it any more
			}
		case err != nil:
			s.fail(err)
		default:
			s.conn = conn
			s.l.wg.Go(s.writeOut)
			s.h.opened()
		}
	})
	if err != nil {
		return
	}
	buf := make([]byte, 16<<10)
	for {
		n, err := conn.Read(buf)
		ended := false
		s.l.do(func() {
			for s.paused && !s.closed {
				s.wrote.Wait()
			}
			if ended = s.closed; ended {
				return
			}
			if n > 0 {
				if got := s.h.received(buf[:n]); got != nil {
					err = got
				}
			}
			if err != nil {
				s.fail(err)
			}
			ended = s.closed
		})
		if ended {
			return
		}
	}
}

// writeOut writes what was sent. It ends when the socket is closed.
func (s *goroutineSocket) writeOut() {
	s.l.mu.Lock()
	defer s.l.mu.Unlock()
	for {
		for len(s.out) == 0 && !s.closed {
			s.wrote.Wait()
		}
		if s.closed {
			return
		}
		b := s.out
		s.out = nil
		s.l.mu.Unlock()
		_, err := s.conn.Write(b)
		s.l.mu.Lock()
		if s.closed {
			return
		}
		if err != nil {
			s.fail(err)
			return
		}
		if len(s.out) == 0 {
			s.h.drained()
			s.l.kick()
		}
	}
}

func (s *goroutineSocket) send(b []byte) {
	if s.closed {
		return
	}
	s.out = append(s.out, b...)
	s.wrote.Broadcast()
}

func (s *goroutineSocket) waiting() int { return len(s.out) }
func (s *goroutineSocket) pause()       { s.paused = true }

func (s *goroutineSocket) close() {
	if s.closed {
		return
	}
	s.closed = true
	delete(s.l.socks, s)
	s.cancel()
	s.wrote.Broadcast()
	if s.conn != nil {
		_ = s.conn.Close() // it is over either way
	}
}

func (s *goroutineSocket) fail(err error) {
	if s.closed {
		return
	}
	s.close()
	if errors.Is(err, net.ErrClosed) {
		err = io.EOF
	}
	s.h.ended(err)
}
