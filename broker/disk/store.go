package disk

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"weir/internal/contain"
)

// renewAfter is how many pages are written before the database is opened anew. Of each page that it gives out again the
// library remembers to whom, some 40 bytes, for as long as the page is used: it would grow with what is stored.
const renewAfter = 1 << 17

// database is the database of a journal. It is opened anew now and then, see renew; readers wait meanwhile.
type database struct {
	// Set once.
	dir      string
	panicked contain.Hook // called with panics while it is used; may be nil

	mu     sync.RWMutex
	bolt   *bolt.DB // nil: it is closed, or could not be opened again; guarded by mu
	closed bool     // by close; guarded by mu
}

// use calls f with the database as it is now. It must not be called from within f. Errors: ErrClosed, ErrFailing,
// ErrCorrupt, those of f.
func (d *database) use(f func(db *bolt.DB) error) error {
	d.mu.RLock()
	defer d.mu.RUnlock()
	switch {
	case d.closed:
		return ErrClosed
	case d.bolt == nil:
		return fmt.Errorf("%w: %w", ErrFailing, bolterrors.ErrDatabaseNotOpen)
	}
	return guard(d.panicked, func() error { return f(d.bolt) })
}

func (d *database) view(f func(tx *bolt.Tx) error) error {
	return d.use(func(db *bolt.DB) error { return db.View(f) })
}

func (d *database) update(f func(tx *bolt.Tx) error) error {
	return d.use(func(db *bolt.DB) error { return db.Update(f) })
}

// written is how many pages have been written since the database was opened; over is whether it is closed for good.
func (d *database) written() (pages int64, open, over bool) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if d.bolt == nil {
		return 0, false, d.closed
	}
	s := d.bolt.Stats().TxStats
	return s.GetPageCount(), true, false
}

// renew opens the database anew once that many pages have been written, or if that failed before. An error means that it
// is not open.
func (d *database) renew(after int64) error {
	if pages, open, over := d.written(); over || open && pages < after {
		return nil
	}
	// The file is opened before the old one is closed: a process that is out of descriptors keeps that.
	file, err := os.OpenFile(filepath.Join(d.dir, databaseName), os.O_RDWR, 0o600)
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case err != nil && d.bolt != nil:
		return nil // another time
	case err != nil:
		return err
	case d.bolt != nil:
		_ = d.bolt.Close() // everything was synced; the lock goes with it
		d.bolt = nil
	}
	d.bolt, err = openDatabase(d.dir, false, file)
	return err
}

// close closes the database for good. Called by the goroutine that writes.
func (d *database) close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	if d.bolt == nil {
		return nil
	}
	db := d.bolt
	d.bolt = nil
	return db.Close()
}
