package unit

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"weir/internal/epoll"
	"weir/internal/rawsock"
)

// patience is how long a write, or what was written, may take to get through.
const patience = 2 * time.Second

// Measure returns the median price of so many runs, 1 or more. It takes some 50 ms for each. Errors: too few descriptors or
// ports, or a machine so busy that nothing gets through.
func Measure(runs int) (Price, error) {
	writers, readers, err := connect(Sockets)
	defer closeAll(writers)
	defer closeAll(readers)
	if err != nil {
		return Price{}, fmt.Errorf("measure the price of a write: %w", err)
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(max(runtime.GOMAXPROCS(0), 3))) // both threads stay in system calls
	m := &measurement{writers: writers, readers: readers}
	var here, there unix.CPUSet
	apart := m.places(&here, &there)
	m.reading.Go(func() { m.read(&there) })
	m.writing.Go(func() { m.write(&here, runs) })
	m.writing.Wait()
	m.over.Store(true)
	m.reading.Wait()
	if m.err != nil {
		return Price{}, fmt.Errorf("measure the price of a write: %w", m.err)
	}
	return priceOf(m.costs, apart), nil
}

// measurement is one Measure.
type measurement struct {
	writers, readers []int // set once

	got     atomic.Int64 // bytes
	over    atomic.Bool  // nothing more is written
	writing sync.WaitGroup
	reading sync.WaitGroup

	// Owned by the writer until it has ended.
	costs []float64 // µs a write, of each run
	err   error
}

// places returns where to write and where to read: on the first two processors that this process may use, or if that is one,
// on another that the system gives a thread on request. It reports whether they are two.
func (m *measurement) places(here, there *unix.CPUSet) bool {
	var own unix.CPUSet
	if unix.SchedGetaffinity(0, &own) != nil {
		return false
	}
	first := func(in func(cpu int) bool) (cpu int, ok bool) {
		for cpu := range len(own) * 64 {
			if in(cpu) {
				return cpu, true
			}
		}
		return 0, false
	}
	reader, _ := first(own.IsSet)
	there.Set(reader)
	writer, ok := first(func(cpu int) bool { return cpu != reader && own.IsSet(cpu) })
	if !ok {
		writer, ok = first(func(cpu int) bool { return cpu != reader && allowed(cpu) })
	}
	if !ok {
		writer = reader
	}
	here.Set(writer)
	return ok
}

// allowed reports whether a thread of this process may run on a processor.
func allowed(cpu int) (ok bool) {
	tried := make(chan struct{})
	go func() { // its thread ends with it, since it stays locked
		defer close(tried)
		runtime.LockOSThread()
		var set unix.CPUSet
		set.Set(cpu)
		ok = unix.SchedSetaffinity(0, &set) == nil
	}()
	<-tried
	return ok
}

// write makes the runs, on a thread of its own that ends with it.
func (m *measurement) write(where *unix.CPUSet, runs int) {
	runtime.LockOSThread()
	_ = unix.SchedSetaffinity(0, where) // where it is already otherwise
	b, sent := make([]byte, Bytes), int64(0)
	for run := range runs + 1 { // the first warms up
		before, err := threadTime()
		for range rounds {
			for _, fd := range m.writers {
				if err := send(fd, b); err != nil {
					m.err = err
					return
				}
			}
		}
		after, err2 := threadTime()
		if m.err = errors.Join(err, err2); m.err != nil {
			return
		}
		if run > 0 {
			m.costs = append(m.costs, float64(after-before)/1e3/float64(rounds*len(m.writers)))
		}
		sent += rounds * int64(len(m.writers)*Bytes)
		for limit := time.Now().Add(patience); m.got.Load() < sent; time.Sleep(time.Millisecond) {
			if time.Now().After(limit) {
				m.err = errors.New("the machine is too busy: what was written is not read")
				return
			}
		}
	}
}

// send writes b, and waits where the socket is full.
func send(fd int, b []byte) error {
	for len(b) > 0 {
		n, err := rawsock.Send(fd, b)
		if b = b[n:]; len(b) == 0 {
			return nil
		}
		if !errors.Is(err, unix.EAGAIN) {
			return fmt.Errorf("write: %w", err)
		}
		if n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}, int(patience/time.Millisecond)); n == 0 || err != nil && err != unix.EINTR { //nolint:errorlint // an errno as it is
			return errors.New("the machine is too busy: nothing is read")
		}
	}
	return nil
}

// read reads whatever comes, on a thread of its own that ends with it, until nothing more is written.
func (m *measurement) read(where *unix.CPUSet) {
	runtime.LockOSThread()
	_ = unix.SchedSetaffinity(0, where) // where it is already otherwise
	set, err := epoll.New()
	if err != nil {
		return // the writer finds that nothing is read
	}
	defer func() { _ = set.Close() }()
	for _, fd := range m.readers {
		if set.Add(fd, epoll.Event{Events: epoll.Read, Fd: int32(fd)}) != nil {
			return
		}
	}
	for events := make([]epoll.Event, Sockets); !m.over.Load(); {
		n, _ := unix.EpollWait(set.FD(), events, 20) // interrupted: none
		for i := range max(n, 0) {
			got, _ := rawsock.Skip(int(events[i].Fd), 64<<10)
			m.got.Add(int64(got))
		}
	}
}

// threadTime is the processor time of the calling thread, in ns.
func threadTime() (int64, error) {
	var ts unix.Timespec
	err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts)
	return ts.Nano(), err
}

// connect makes n connections over loopback. What was opened is returned with an error, too. The descriptors are not
// the runtime's, whose poller would be woken by each write.
func connect(n int) (accepted, dialled []int, err error) {
	listener, err := socket(unix.SOCK_CLOEXEC)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = unix.Close(listener) }()
	err = errors.Join(unix.Bind(listener, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}), unix.Listen(listener, 128))
	if err != nil {
		return nil, nil, fmt.Errorf("listen: %w", err)
	}
	at, err := unix.Getsockname(listener)
	if err != nil {
		return nil, nil, fmt.Errorf("listen: %w", err)
	}
	for range n {
		fd, err := socket(unix.SOCK_CLOEXEC)
		if err != nil {
			return accepted, dialled, err
		}
		dialled = append(dialled, fd)
		if err := unix.Connect(fd, at); err != nil {
			return accepted, dialled, fmt.Errorf("connect: %w", err)
		}
		if fd, _, err = unix.Accept4(listener, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC); err != nil {
			return accepted, dialled, fmt.Errorf("accept: %w", err)
		}
		accepted = append(accepted, fd)
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1) // only other figures without
	}
	return accepted, dialled, nil
}

func socket(flags int) (int, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|flags, 0)
	if err != nil {
		return -1, fmt.Errorf("socket: %w", err)
	}
	return fd, nil
}

// closeAll resets connections, which leaves no ports waiting behind.
func closeAll(fds []int) {
	for _, fd := range fds {
		_ = unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}) // ports wait a minute without
		_ = unix.Close(fd)                                                                     // nothing is left in it
	}
}
