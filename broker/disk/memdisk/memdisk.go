package memdisk

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"

	"weir/broker/disk"
)

// The errors of a disk that fails.
var (
	ErrFull    = errors.New("no space left on device")
	errCrashed = errors.New("the machine has lost power")
)

// Disk is a disk.FS in memory.
type Disk struct {
	// Set once by New.
	before func(op string) error

	// Guarded by mu.
	mu      sync.Mutex
	files   map[string]*data
	synced  map[string]*data // the files that there are for sure
	room    int64            // bytes that may still be written; negative: no limit
	crashed bool
}

// data is the contents of a file. Guarded by the disk's mu.
type data struct {
	bytes  []byte
	safe   []byte // as of the last sync
	writes []span // since then
}

type span struct {
	at    int64
	bytes []byte
}

// New makes an empty disk. Before each operation it calls before with its name (create, open, list,
// remove, write, sync, syncdir), which may sleep and may return an error to fail with; nil: no calls. A
// write that fails this way has written half of what it was given, a sync nothing.
func New(before func(op string) error) *Disk {
	return &Disk{before: before, files: make(map[string]*data), synced: make(map[string]*data), room: -1}
}

// SetRoom sets how many more bytes may be written before the disk is full; negative: no limit.
func (d *Disk) SetRoom(bytes int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.room = bytes
}

// Crash takes the power away and returns what is found afterwards. r decides how much of what was not
// synced is there.
func (d *Disk) Crash(r *rand.Rand) *Disk {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.crashed = true
	after := New(d.before)
	for _, name := range slices.Sorted(maps.Keys(d.files)) {
		f := d.files[name]
		if d.synced[name] != f && r.IntN(2) == 0 {
			continue
		}
		kept := slices.Clone(f.safe)
		for _, w := range f.writes {
			switch r.IntN(3) {
			case 0: // lost, and the place it was to fill may be there
				if r.IntN(2) == 0 {
					kept = put(kept, span{w.at, make([]byte, len(w.bytes))})
				}
			case 1:
				kept = put(kept, span{w.at, w.bytes[:r.IntN(len(w.bytes)+1)]})
			case 2:
				kept = put(kept, w)
			}
		}
		after.files[name] = &data{bytes: kept, safe: slices.Clone(kept)}
	}
	for name, f := range d.synced { // removed, without a sync of that
		if d.files[name] == nil && r.IntN(2) == 0 {
			after.files[name] = &data{bytes: slices.Clone(f.safe), safe: slices.Clone(f.safe)}
		}
	}
	after.synced = maps.Clone(after.files)
	return after
}

func put(b []byte, w span) []byte {
	if end := int(w.at) + len(w.bytes); end > len(b) {
		b = append(b, make([]byte, end-len(b))...)
	}
	copy(b[w.at:], w.bytes)
	return b
}

// enter begins an operation. Without an error the lock is held afterwards.
func (d *Disk) enter(op string) error {
	var err error
	if d.before != nil {
		err = d.before(op)
	}
	d.mu.Lock()
	if d.crashed {
		err = errCrashed
	}
	if err != nil {
		d.mu.Unlock()
	}
	return err
}

// do carries out an operation under the lock, unless it is to fail.
func do[T any](d *Disk, op string, f func() (T, error)) (v T, err error) {
	if err := d.enter(op); err != nil {
		return v, err
	}
	defer d.mu.Unlock()
	return f()
}

// Create implements disk.FS.
func (d *Disk) Create(name string) (disk.File, error) {
	return do(d, "create", func() (disk.File, error) {
		if d.files[name] != nil {
			return nil, fmt.Errorf("create %s: %w", name, fs.ErrExist)
		}
		d.files[name] = new(data)
		return &file{d, d.files[name]}, nil
	})
}

// Open implements disk.FS.
func (d *Disk) Open(name string) (disk.File, error) {
	return do(d, "open", func() (disk.File, error) {
		if d.files[name] == nil {
			return nil, fmt.Errorf("open %s: %w", name, fs.ErrNotExist)
		}
		return &file{d, d.files[name]}, nil
	})
}

// List implements disk.FS.
func (d *Disk) List() ([]string, error) {
	return do(d, "list", func() ([]string, error) { return slices.Sorted(maps.Keys(d.files)), nil })
}

// Remove implements disk.FS.
func (d *Disk) Remove(name string) error {
	_, err := do(d, "remove", func() (any, error) {
		delete(d.files, name)
		return nil, nil
	})
	return err
}

// Sync implements disk.FS.
func (d *Disk) Sync() error {
	_, err := do(d, "syncdir", func() (any, error) {
		d.synced = maps.Clone(d.files)
		return nil, nil
	})
	return err
}

// file is an open file.
type file struct {
	disk *Disk
	data *data
}

func (f *file) ReadAt(p []byte, at int64) (int, error) {
	return do(f.disk, "read", func() (int, error) { return bytes.NewReader(f.data.bytes).ReadAt(p, at) })
}

func (f *file) WriteAt(p []byte, at int64) (int, error) {
	d, n := f.disk, len(p)
	err := d.enter("write")
	if err != nil {
		n /= 2
		d.mu.Lock()
	}
	defer d.mu.Unlock()
	if d.crashed {
		return 0, errCrashed
	}
	if grown := at + int64(n) - int64(len(f.data.bytes)); d.room >= 0 && grown > d.room {
		n -= int(min(grown-d.room, int64(n)))
		d.room, err = 0, ErrFull
	} else if d.room >= 0 {
		d.room -= max(0, grown)
	}
	w := span{at, slices.Clone(p[:n])}
	f.data.bytes = put(f.data.bytes, w)
	f.data.writes = append(f.data.writes, w)
	return n, err
}

func (f *file) Sync() error {
	_, err := do(f.disk, "sync", func() (any, error) {
		for _, w := range f.data.writes {
			f.data.safe = put(f.data.safe, w)
		}
		f.data.writes = nil
		return nil, nil
	})
	return err
}

func (f *file) Close() error { return nil }
