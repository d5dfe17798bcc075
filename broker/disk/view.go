package disk

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	bolt "go.etcd.io/bbolt"

	"weir/broker"
)

// View is a data directory that is read and not changed. While it is open no server can use the directory. It
// belongs to one goroutine.
type View struct {
	dir       string
	db        database
	lock      io.Closer
	state     state
	log       replayed
	recovered *recovered // what the log has that the database has not; nil: nothing
}

// OpenView opens a data directory for reading, with what a crash has left in the log. Damage of the log is no error
// here: Verify, Export and Summary report it.
//
// Errors: ErrInUse, ErrFormat, ErrCorrupt, and those of the file system.
func OpenView(dir string) (v *View, err error) {
	if !Holds(dir) {
		return nil, fmt.Errorf("%s is not a data directory: it has no %s", dir, databaseName)
	}
	v = &View{dir: dir, db: database{dir: dir}}
	defer func() {
		if err != nil {
			_ = v.Close()
			v, err = nil, fmt.Errorf("open %s: %w", dir, err)
		}
	}()
	if v.lock, err = lockFolder(dir); err != nil {
		return v, err
	}
	if v.db.bolt, err = openDatabase(dir, true, nil); err != nil {
		return v, err
	}
	fresh := false
	err = v.db.view(func(tx *bolt.Tx) (err error) {
		v.state, fresh, err = readState(tx)
		return err
	})
	if err != nil {
		return v, err
	}
	if fresh {
		return v, fmt.Errorf("nothing was ever stored in %s: %w", databaseName, ErrFormat)
	}
	v.log, err = replay(folder(filepath.Join(dir, logName)), &v.state)
	if err == nil && len(v.log.batches) > 0 {
		v.recovered, err = gather(v.state.generation, v.log.batches)
	}
	return v, err
}

// Close releases the directory.
func (v *View) Close() error {
	err := v.db.close()
	if v.lock != nil {
		err = errors.Join(err, v.lock.Close())
	}
	return err
}

// Each calls visit with every channel whose name begins with prefix, sorted by name; err is why the channel cannot be
// read. An error of visit ends it.
func (v *View) Each(prefix string, visit func(name string, kept broker.Kept, err error) error) error {
	return v.db.view(func(tx *bolt.Tx) (err error) {
		extra := v.extra(tx, prefix)
		some := func(names ...string) error {
			for _, name := range names {
				var kept broker.Kept
				var ok bool
				err := guard(nil, func() (err error) {
					kept, _, ok, err = loadWith(tx, name, v.recovered)
					return err
				})
				if ok || err != nil {
					err = visit(name, kept, err)
				}
				if err != nil {
					return err
				}
			}
			return nil
		}
		for k := range entries(tx.Bucket(bucketChannels), []byte(prefix), []byte(prefix), &err) {
			before, _ := slices.BinarySearch(extra, string(k))
			if err := some(append(extra[:before:before], string(k))...); err != nil {
				return err
			}
			extra = extra[before:]
		}
		if err != nil {
			return err
		}
		return some(extra...)
	})
}

// extra is the channels that only the log has.
func (v *View) extra(tx *bolt.Tx, prefix string) (names []string) {
	if v.recovered == nil {
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(v.recovered.deltas)) {
		if strings.HasPrefix(name, prefix) && tx.Bucket(bucketChannels).Get([]byte(name)) == nil {
			names = append(names, name)
		}
	}
	return names
}

// Count is how many channels there are, about.
func (v *View) Count() (n int) {
	_ = v.db.view(func(tx *bolt.Tx) error {
		n = tx.Bucket(bucketChannels).Stats().KeyN
		return nil
	})
	return n
}

// Summary is the state of a data directory.
type Summary struct {
	Format     string
	Generation uint64
	Clean      bool   // it was closed in order
	Batches    uint64 // ever written
	Database   int64  // bytes of the file
	Free       int64  // of these, bytes that nothing uses
	Log        int64  // bytes that only the log has
	Torn       int    // bytes at the log's end that a crash has torn off and that were never acknowledged
	Vague      bool   // these may as well be damage: the log is of version 1
	Damage     error  // what the log has lost; nil: nothing
}

// Summary returns the state of the directory.
func (v *View) Summary() Summary {
	s := Summary{Format: v.state.format, Generation: v.state.generation, Clean: v.state.clean && v.recovered == nil, Batches: v.log.last.number, Torn: v.log.torn, Vague: v.log.vague, Damage: v.log.damage}
	if v.recovered != nil {
		s.Log = int64(v.recovered.bytes)
	}
	s.Database = sizeOf(filepath.Join(v.dir, databaseName))
	_ = v.db.view(func(tx *bolt.Tx) error {
		stats := tx.DB().Stats()
		s.Free = int64(stats.FreePageN+stats.PendingPageN)*int64(tx.DB().Info().PageSize) + max(0, s.Database-tx.Size())
		return nil
	})
	return s
}
