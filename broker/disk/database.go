package disk

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"weir/internal/contain"

	"weir/broker/record"
)

// formatVersion is the version of everything in the data directory.
const (
	formatVersion  = "3"
	withoutAppends = "2" // is the same but for what it does not have: Open writes another number
	oldVersion     = "1" // is taken over by Open
)

// The names of the database.
const databaseName = "weir.db"

var (
	bucketMeta     = []byte("meta")
	bucketChannels = []byte("channels") // channel: header
	bucketHistory  = []byte("history")  // channel, NUL, seq: page
	bucketItems    = []byte("items")    // channel, NUL, group, NUL, key: item
	bucketKeys     = []byte("keys")     // channel, NUL, seq, idempotency key: when it came

	keyFormat = []byte("format")
	keyState  = []byte("state")
)

// state is what the database has of the directory as a whole.
type state struct {
	stored     uint64 // number of the last batch in the database
	generation uint64
	clean      bool   // the last process closed it in order
	seal       uint32 // of the last batch in the database
	salt       uint32 // what the headers of the log are sealed with; random
	severed    uint64 // what was last written before this generation may lack what was acknowledged

	format string // version that it was read of; not encoded
}

func (s *state) encode() []byte {
	b := binary.BigEndian.AppendUint64(nil, s.stored)
	b = binary.BigEndian.AppendUint64(b, s.generation)
	clean := byte(0)
	if s.clean {
		clean = 1
	}
	b = append(b, clean)
	b = binary.BigEndian.AppendUint32(b, s.seal)
	b = binary.BigEndian.AppendUint32(b, s.salt)
	return binary.BigEndian.AppendUint64(b, s.severed)
}

// decodeState reads a state of a version. Version 1 ended behind clean.
func decodeState(b []byte, version string) (s state, ok bool) {
	size := 33
	if version == oldVersion {
		size = 17
	}
	if len(b) != size {
		return s, false
	}
	s = state{stored: binary.BigEndian.Uint64(b), generation: binary.BigEndian.Uint64(b[8:]), clean: b[16] == 1, format: version}
	if version != oldVersion {
		s.seal, s.salt, s.severed = binary.BigEndian.Uint32(b[17:]), binary.BigEndian.Uint32(b[21:]), binary.BigEndian.Uint64(b[25:])
	}
	return s, true
}

// guard calls f, which reads the database, and returns ErrCorrupt for the panics of a damaged file: the library panics
// over impossible pages, and a page that cannot be read is a fault of memory. told is called with the panic; nil:
// nothing is.
func guard(told contain.Hook, f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: %v", ErrCorrupt, r)
			if told != nil {
				told.Tell("the database", r)
			}
		}
	}()
	return f()
}

// mapping is how much address space the database has from the start: as long as it fits, it grows without
// being mapped again, which would wait for all readers.
const mapping = 1 << 30

// openDatabase opens the database of a data directory, which is locked. file is its open file, which belongs to the
// database then; nil: openDatabase opens it.
func openDatabase(dir string, readOnly bool, file *os.File) (db *bolt.DB, err error) {
	path := filepath.Join(dir, databaseName)
	options := bolt.Options{Timeout: time.Second, FreelistType: bolt.FreelistMapType, ReadOnly: readOnly, PreLoadFreelist: !readOnly}
	if !readOnly && math.MaxInt > math.MaxInt32 {
		options.InitialMmapSize = mapping
	}
	if file != nil {
		options.OpenFile = func(string, int, os.FileMode) (*os.File, error) { return file, nil }
	}
	err = guard(nil, func() (err error) {
		db, err = bolt.Open(path, 0o600, &options)
		if err == nil && file == nil { // it was not open until now
			if err = checkFile(db, path); err != nil {
				err, db = errors.Join(err, db.Close()), nil
			}
		}
		return err
	})
	switch {
	case errors.Is(err, bolterrors.ErrTimeout):
		return nil, fmt.Errorf("open %s: %w", path, ErrInUse)
	case errors.Is(err, bolterrors.ErrInvalid), errors.Is(err, bolterrors.ErrChecksum), errors.Is(err, bolterrors.ErrVersionMismatch):
		return nil, fmt.Errorf("open %s: %w: %w", path, ErrCorrupt, err)
	case err != nil && !errors.Is(err, os.ErrNotExist) && !errors.Is(err, os.ErrPermission):
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	return db, err
}

// checkFile is checkTrees for a file.
func checkFile(db *bolt.DB, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // read only
	return db.View(func(tx *bolt.Tx) error { return checkTrees(tx, f) })
}

// readState reads the state of a database; fresh: there is nothing in it yet. Errors: ErrFormat, ErrCorrupt.
func readState(tx *bolt.Tx) (s state, fresh bool, err error) {
	meta := tx.Bucket(bucketMeta)
	if meta == nil {
		if k, _ := tx.Cursor().First(); k != nil {
			return s, false, fmt.Errorf("%s is not a database of weir: %w", databaseName, ErrFormat)
		}
		return state{generation: 1, clean: true}, true, nil
	}
	version := string(meta.Get(keyFormat))
	switch version {
	case formatVersion, withoutAppends, oldVersion:
	default:
		return s, false, fmt.Errorf("version %q, this program knows %q and takes over %q and %q: %w", version, formatVersion, withoutAppends, oldVersion, ErrFormat)
	}
	s, ok := record.Opened(keyState, meta.Get(keyState), func(b []byte) (state, bool) { return decodeState(b, version) })
	if !ok {
		return s, false, fmt.Errorf("state of %s: %w", databaseName, ErrCorrupt)
	}
	return s, false, nil
}

// writeState writes the state, and makes what a new database lacks.
func writeState(tx *bolt.Tx, s *state) error {
	for _, name := range [][]byte{bucketMeta, bucketChannels, bucketHistory, bucketItems, bucketKeys} {
		if _, err := tx.CreateBucketIfNotExists(name); err != nil {
			return err
		}
	}
	meta := tx.Bucket(bucketMeta)
	if err := meta.Put(keyFormat, []byte(formatVersion)); err != nil {
		return err
	}
	return meta.Put(keyState, record.Seal(keyState, s.encode()))
}
