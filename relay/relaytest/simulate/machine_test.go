package simulate

import (
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"weir/broker/disk/memdisk"
)

// errBroken is what the disk answers while it fails.
var errBroken = errors.New("input/output error")

// machine is what the relay's process runs on: a disk and a wall clock. Both outlive it.
type machine struct {
	root string // set once; files of the databases

	mu sync.Mutex
	// Guarded by mu.
	disk   *memdisk.Disk
	lives  int           // power cuts, each with a folder of its own for the database
	delay  time.Duration // of every operation of the disk, until slow
	slow   time.Time
	broken time.Time     // every write fails until then
	full   int           // numbers the times that the disk was full
	ahead  time.Duration // of the wall clock
}

// newMachine makes a machine. The databases go where syncing costs nothing, if there is such a place: power cuts
// are the log's.
func newMachine() (*machine, error) {
	root, err := os.MkdirTemp("/dev/shm", "weir-simulate-")
	if err != nil {
		root, err = os.MkdirTemp("", "weir-simulate-")
	}
	m := &machine{root: root}
	m.disk = memdisk.New(m.before)
	return m, err
}

func (m *machine) close() { _ = os.RemoveAll(m.root) }

// before is called before each operation of the disk.
func (m *machine) before(op string) error {
	m.mu.Lock()
	delay, now := m.delay, time.Now()
	if now.After(m.slow) {
		delay = 0
	}
	broken := now.Before(m.broken)
	m.mu.Unlock()
	time.Sleep(delay)
	if broken && op != "list" && op != "open" && op != "read" {
		return errBroken
	}
	return nil
}

// storage is where a relay that starts now finds its data, and what its clock says. The trouble with the disk ends: it would not start.
func (m *machine) storage() (wal *memdisk.Disk, folder string, ahead time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.slow, m.broken = time.Time{}, time.Time{}
	m.full++
	m.disk.SetRoom(-1)
	return m.disk, m.folder(), m.ahead
}

// folder is where the database is. The caller holds mu.
func (m *machine) folder() string { return filepath.Join(m.root, strconv.Itoa(m.lives)) }

// cutPower takes the power away while nothing moves, and answers what removes what the old process still has. The
// database commits in one piece, so that it is found as it is now; what is found of the log the seed decides.
func (m *machine) cutPower(seed uint64) (tidy func(), err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.disk = m.disk.Crash(rand.New(rand.NewPCG(seed, 3)))
	old := m.folder()
	m.lives++
	tidy = func() { _ = os.RemoveAll(old) }
	if err := os.Mkdir(m.folder(), 0o700); err != nil {
		return tidy, err
	}
	b, err := os.ReadFile(filepath.Join(old, "weir.db"))
	if err != nil {
		return tidy, err
	}
	return tidy, os.WriteFile(filepath.Join(m.folder(), "weir.db"), b, 0o600) //nolint:gosec // both folders are its own
}

// slowDown makes each operation of the disk take a while, for some time.
func (m *machine) slowDown(each, lasts time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.delay, m.slow = each, time.Now().Add(lasts)
}

// fail makes writing fail for some time.
func (m *machine) fail(lasts time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.broken = time.Now().Add(lasts)
}

// fill leaves room for a few bytes more, for some time.
func (m *machine) fill(room int, lasts time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.full++
	number := m.full
	m.disk.SetRoom(int64(room))
	time.AfterFunc(lasts, func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		if m.full == number {
			m.disk.SetRoom(-1)
		}
	})
}

// setClock moves the wall clock.
func (m *machine) setClock(by time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ahead += by
}

// clock is the wall clock.
func (m *machine) clock() time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return time.Now().Add(m.ahead)
}
