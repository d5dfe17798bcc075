package disk_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"weir/broker"
	"weir/broker/disk"
	"weir/broker/disk/memdisk"
	"weir/broker/storetest"
)

// TestModel holds a broker on a disk against what its channels should be, through restarts, crashes that lose
// and tear what was not synced, slow syncs and disks that fail or are full.
func TestModel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storetest.Model(t, func(*rapid.T) storetest.Machine {
			m := &machine{root: fastDir(t)}
			m.mode.Store("")
			m.disk = memdisk.New(m.before)
			return m
		})
	})
}

// fastDir is a folder in memory if the system has one: the database syncs a lot.
func fastDir(t *testing.T) string {
	dir, err := os.MkdirTemp("/dev/shm", "weir")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// machine has a disk. It implements storetest.Machine.
type machine struct {
	root  string
	boots int
	disk  *memdisk.Disk
	mode  atomic.Value // a string: what the disk does; "": it works
}

var errBroken = errors.New("input/output error")

// before is what the disk does at each operation.
func (m *machine) before(op string) error {
	switch mode := m.mode.Load(); {
	case mode == "slow" && op == "sync":
		time.Sleep(700 * time.Millisecond)
	case mode == "no sync" && (op == "sync" || op == "syncdir"), mode == "no write" && (op == "write" || op == "create"):
		return errBroken
	}
	return nil
}

func (m *machine) dir() string { return filepath.Join(m.root, strconv.Itoa(m.boots)) }

// Open implements storetest.Machine.
func (m *machine) Open(policy func(string) broker.Policy) (broker.Store, error) {
	return disk.Open(disk.Config{Dir: m.dir(), FS: m.disk, Policy: policy, Interval: 3 * time.Second, Checkpoint: 4 << 10, Sweep: time.Minute})
}

// Leave implements storetest.Machine.
func (m *machine) Leave(b *broker.Broker) error { return b.Close() }

// Modes implements storetest.Machine.
func (m *machine) Modes() []string { return []string{"slow", "no sync", "no write", "full"} }

// Reads implements storetest.Machine.
func (m *machine) Reads(string) bool { return true }

// Close implements storetest.Machine.
func (m *machine) Close() {}

// Failing implements storetest.Machine.
func (m *machine) Failing() error { return disk.ErrFailing }

// Set implements storetest.Machine.
func (m *machine) Set(t *rapid.T, mode string) {
	m.mode.Store(mode)
	room := int64(-1)
	if mode == "full" {
		room = int64(rapid.IntRange(0, 500).Draw(t, "room"))
	}
	m.disk.SetRoom(room)
}

// Cut implements storetest.Machine.
func (m *machine) Cut(t *rapid.T) {
	from, to := m.dir(), filepath.Join(m.root, strconv.Itoa(m.boots+1))
	m.disk = m.disk.Crash(rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "torn"), 1)))
	copied := make(chan error, 1)
	go func() { copied <- copyDatabase(from, to) }() // a checkpoint that is under way may or may not be there
	if err := <-copied; err != nil {
		t.Fatal(err)
	}
	m.boots++
}

func copyDatabase(from, to string) error {
	if err := os.MkdirAll(to, 0o700); err != nil {
		return err
	}
	in, err := os.Open(filepath.Join(from, "weir.db"))
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(filepath.Join(to, "weir.db"))
	if err != nil {
		return err
	}
	chunk, nothing := make([]byte, 256<<10), make([]byte, 256<<10)
	at := int64(0)
	for err == nil { // most of it is holes
		var n int
		if n, err = io.ReadFull(in, chunk); n > 0 && !bytes.Equal(chunk[:n], nothing[:n]) {
			if _, failed := out.WriteAt(chunk[:n], at); failed != nil {
				err = failed
			}
		}
		at += int64(n)
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = out.Truncate(at)
	}
	return errors.Join(err, out.Close())
}
