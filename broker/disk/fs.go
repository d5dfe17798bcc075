package disk

import (
	"errors"
	"io"
	"os"
	"path/filepath"
)

// FS is the folder of the log's files. Its methods are called by one goroutine at a time, its files' too.
type FS interface {
	// Create makes an empty file; it fails if there is one of that name.
	Create(name string) (File, error)
	// Open opens a file for reading.
	Open(name string) (File, error)
	// List returns the names of all files.
	List() ([]string, error)
	// Remove deletes a file.
	Remove(name string) error
	// Sync makes safe which files there are.
	Sync() error
}

// File is a file of the log. What was written before a failed Sync and after the last good one is not relied on.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	Sync() error
}

// folder is an FS of the operating system.
type folder string

func (d folder) Create(name string) (File, error) {
	return os.OpenFile(filepath.Join(string(d), name), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
}

func (d folder) Open(name string) (File, error) { return os.Open(filepath.Join(string(d), name)) }

func (d folder) List() ([]string, error) {
	entries, err := os.ReadDir(string(d))
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names, err
}

func (d folder) Remove(name string) error { return os.Remove(filepath.Join(string(d), name)) }

func (d folder) Sync() error {
	f, err := os.Open(string(d))
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
