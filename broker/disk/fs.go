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
	// Open opens a file to be read.
	Open(name string) (File, error)
	// List answers the names of all files.
	List() ([]string, error)
	// Remove deletes a file.
	Remove(name string) error
	// Sync makes safe which files there are.
	Sync() error
}

// File is a file of the log. After a failed Sync, what was written since the last one that worked may or
// may not be there, and nothing is believed of it.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	Size() (int64, error)
	Sync() error
}

// folder is an FS of the operating system.
type folder string

func (d folder) Create(name string) (File, error) {
	f, err := os.OpenFile(filepath.Join(string(d), name), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

func (d folder) Open(name string) (File, error) {
	f, err := os.Open(filepath.Join(string(d), name))
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

func (d folder) List() ([]string, error) {
	entries, err := os.ReadDir(string(d))
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names, nil
}

func (d folder) Remove(name string) error { return os.Remove(filepath.Join(string(d), name)) }

func (d folder) Sync() error {
	f, err := os.Open(string(d))
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

type osFile struct{ *os.File }

func (f osFile) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}
