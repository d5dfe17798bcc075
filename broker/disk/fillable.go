package disk

import (
	"fmt"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"time"
)

// Fillable is the folder of a log on a disk that can be full when somebody says so: development mode shows what comes of it.
type Fillable struct {
	FS
	full atomic.Int64 // until then, in ns of Unix time
}

// NewFillable returns the log's folder in a data directory.
func NewFillable(dir string) *Fillable { return &Fillable{FS: folder(filepath.Join(dir, logName))} }

// Fill makes the disk full for so long: no file is made, and nothing is written.
func (f *Fillable) Fill(d time.Duration) { f.full.Store(time.Now().Add(d).UnixNano()) }

// check is what the disk answers to what needs room.
func (f *Fillable) check() error {
	if time.Now().UnixNano() < f.full.Load() {
		return fmt.Errorf("the demo simulates a full disk: %w", syscall.ENOSPC)
	}
	return nil
}

// Create implements FS.
func (f *Fillable) Create(name string) (File, error) {
	if err := f.check(); err != nil {
		return nil, err
	}
	file, err := f.FS.Create(name)
	if err != nil {
		return nil, err
	}
	return &fillableFile{file, f}, nil
}

// fillableFile is a file of a Fillable.
type fillableFile struct {
	File
	disk *Fillable
}

// WriteAt implements File.
func (f *fillableFile) WriteAt(p []byte, at int64) (int, error) {
	if err := f.disk.check(); err != nil {
		return 0, err
	}
	return f.File.WriteAt(p, at)
}
