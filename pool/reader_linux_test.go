package pool

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"weir/internal/rawsock"
)

// The benchmarks measure what sending costs the server. The reading side is a process of its own, on
// another core if there is one, that has the kernel throw the bytes away (recv with MSG_TRUNC): the test
// binary, started again with readerEnv set.
const readerEnv = "WEIR_POOL_READER"

// readers is the reading process, seen from the benchmark.
type readers struct {
	cmd     *exec.Cmd
	control net.Conn
	conns   []net.Conn // the server's ends
	target  uint64     // bytes that they must have read
	passes  []uint64   // bytes of the passes that they need not have read yet
}

// startReaders starts a process that reads from n connections.
func startReaders(b *testing.B, n int) *readers {
	b.Helper()
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		b.Fatal(err)
	}
	if need := uint64(n + 100); limit.Cur < need { // the runtime has raised it as far as it may
		b.Skipf("%d connections need %d descriptors, the limit is %d (ulimit -n)", n, need, limit.Cur)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	self, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	r := &readers{cmd: exec.Command(self)}
	r.cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s %d", readerEnv, l.Addr(), n))
	r.cmd.Stderr = os.Stderr
	if err := r.cmd.Start(); err != nil {
		b.Fatal(err)
	}
	for i := range n + 1 {
		c, err := l.Accept()
		if err != nil {
			b.Fatal(err)
		}
		if i == 0 {
			r.control = c
		} else {
			r.conns = append(r.conns, c)
		}
	}
	return r
}

// window is how many passes the readers may be behind.
const window = 4

// sent says that a pass has sent n bytes, and returns when the readers are not too far behind.
func (r *readers) sent(b *testing.B, n uint64) {
	r.passes = append(r.passes, n)
	if len(r.passes) <= window {
		return
	}
	r.target += r.passes[0]
	r.passes = append(r.passes[:0], r.passes[1:]...)
	if _, err := r.control.Write(binary.BigEndian.AppendUint64(nil, r.target)); err != nil {
		b.Fatal(err)
	}
	if _, err := io.ReadFull(r.control, make([]byte, 1)); err != nil {
		b.Fatal(err)
	}
}

// stop ends the process.
func (r *readers) stop() {
	_ = r.control.Close()
	_ = r.cmd.Wait()
}

// readerProcess runs the reading side if this process was started for it.
func readerProcess() bool {
	v, ok := os.LookupEnv(readerEnv)
	if !ok {
		return false
	}
	var addr string
	var n int
	if _, err := fmt.Sscan(v, &addr, &n); err != nil {
		panic(err)
	}
	if cpus := allowed(); len(cpus) > 1 {
		pin(cpus[1:])
	}
	if err := discard(addr, n); err != nil {
		panic(err)
	}
	return true
}

// discard reads from n connections until the first, which asks how far it has come, ends. It looks at all
// of them in turn and rests a little in between: clients on other machines are not woken by the server's
// writes, and readers here that were would be half of what a write costs.
func discard(addr string, n int) error {
	to, err := net.ResolveTCPAddr("tcp4", addr)
	if err != nil {
		return err
	}
	peer := &unix.SockaddrInet4{Port: to.Port, Addr: [4]byte(to.IP.To4())}
	var fds []int
	for range n + 1 {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
		if err == nil {
			err = unix.Connect(fd, peer)
		}
		if err != nil {
			return err
		}
		fds = append(fds, fd)
	}
	control, fds := fds[0], fds[1:]
	var total, target uint64
	ask := make([]byte, 8)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for ; ; <-tick.C {
		for _, fd := range fds {
			n, _ := rawsock.Skip(fd, 1<<20) // an end shows in the total
			total += uint64(n)
		}
		n, _, err := unix.Recvfrom(control, ask, unix.MSG_DONTWAIT)
		switch {
		case n == len(ask):
			target = binary.BigEndian.Uint64(ask)
		case !errors.Is(err, unix.EAGAIN):
			return err // the benchmark is over
		}
		if target > 0 && total >= target {
			target = 0
			if _, err := unix.Write(control, []byte{1}); err != nil {
				return err
			}
		}
	}
}

// allowed is the processors that this process may use.
func allowed() []int {
	var set unix.CPUSet
	if unix.SchedGetaffinity(0, &set) != nil {
		return nil
	}
	var cpus []int
	for i := range len(set) * 64 {
		if set.IsSet(i) {
			cpus = append(cpus, i)
		}
	}
	return cpus
}

// pin keeps all threads of this process, and those they start, on some processors.
func pin(cpus []int) {
	var set unix.CPUSet
	for _, c := range cpus {
		set.Set(c)
	}
	tasks, _ := filepath.Glob("/proc/self/task/*")
	for _, task := range tasks {
		if id, err := strconv.Atoi(filepath.Base(task)); err == nil {
			_ = unix.SchedSetaffinity(id, &set) // a thread that has just ended is no loss
		}
	}
}

// cpuTime is the processor time, in nanoseconds, that this process has used.
func cpuTime() int64 {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return u.Utime.Nano() + u.Stime.Nano()
}
