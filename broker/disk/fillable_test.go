package disk

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// A disk that is said to be full takes nothing, and everything again later; what is there can be read meanwhile.
func TestFillable(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, logName), 0o700); err != nil {
		t.Fatal(err)
	}
	f := NewFillable(dir)
	file, err := f.Create("one")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := file.WriteAt([]byte("a"), 0); err != nil {
		t.Fatal(err)
	}
	f.Fill(time.Hour)
	if _, err := file.WriteAt([]byte("b"), 1); !errors.Is(err, syscall.ENOSPC) {
		t.Error(err)
	}
	if _, err := f.Create("two"); !errors.Is(err, syscall.ENOSPC) {
		t.Error(err)
	}
	if names, err := f.List(); err != nil || len(names) != 1 {
		t.Error(names, err)
	}
	b := make([]byte, 1)
	if n, err := file.ReadAt(b, 0); n != 1 || string(b) != "a" {
		t.Error(n, err, b)
	}
	f.Fill(0)
	if _, err := file.WriteAt([]byte("b"), 1); err != nil {
		t.Error(err)
	}
}
