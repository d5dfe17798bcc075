package disk

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"time"

	bolt "go.etcd.io/bbolt"

	"weir/broker"
)

const (
	logName  = "log"
	lockName = "lock"
)

// Open opens a data directory, makes it if it is missing, and puts what the log has into the database.
// The broker that it is given to closes it.
//
// Errors: ErrInUse, ErrFormat, ErrCorrupt, and those of the file system.
func Open(config Config) (*Journal, error) {
	config.fill()
	if config.Dir == "" {
		return nil, errors.New("open the data directory: it has no name")
	}
	if err := os.MkdirAll(filepath.Join(config.Dir, logName), 0o700); err != nil {
		return nil, fmt.Errorf("make the data directory: %w", err)
	}
	lock, err := lockFolder(config.Dir)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", config.Dir, err)
	}
	if config.FS == nil {
		config.FS = folder(filepath.Join(config.Dir, logName))
	}
	j := &Journal{
		config: config, opened: time.Now(), wall: config.Now().Round(0), lock: lock, marks: make(map[string]mark),
		wake: make(chan struct{}, 1), hand: make(chan struct{}, 1), relief: make(chan struct{}, 1),
		stop: make(chan struct{}), committed: make(chan struct{}),
	}
	if err := j.recover(); err != nil {
		if j.db != nil {
			_ = j.db.Close()
		}
		_ = lock.Close()
		return nil, fmt.Errorf("open %s: %w", config.Dir, err)
	}
	j.done.Add(2)
	go j.commit()     // stopped by Close, which waits
	go j.checkpoint() // ends after the committer; Close waits
	return j, nil
}

// keepAll is the policy of what is found in the log: later checkpoints know better.
func keepAll(string) broker.Policy {
	return broker.Policy{History: math.MaxInt / 4, HistoryTTL: -1, HistoryBytes: -1, Idempotency: math.MaxInt64, IdempotencyKeys: -1}
}

// recover opens the database and brings it up to date with the log.
func (j *Journal) recover() (err error) {
	if j.db, err = openDatabase(j.config.Dir, false); err != nil {
		return err
	}
	var found replayed
	var fresh bool
	err = guard(func() error {
		return j.db.Update(func(tx *bolt.Tx) error {
			var s state
			if s, fresh, err = readState(tx); err != nil {
				return err
			}
			d := make(deltas)
			found, err = replay(j.config.FS, s.stored, func(records []byte) error { return d.add(records, keepAll) })
			if err != nil {
				return err
			}
			if fresh && found.last > 0 {
				return fmt.Errorf("there is a log but no database: %w", ErrCorrupt)
			}
			if err := writeState(tx, s); err != nil {
				return err
			}
			if err := newWriter(tx, s.generation, j.now()).apply(d); err != nil {
				return err
			}
			if !s.clean {
				s.generation++
			}
			j.generation = s.generation
			return writeState(tx, state{stored: found.last, generation: s.generation})
		})
	})
	if err != nil {
		return err
	}
	if fresh { // the file itself must be there after a power cut, whatever the log then says
		if err := folder(j.config.Dir).Sync(); err != nil {
			return fmt.Errorf("sync the data directory: %w", err)
		}
	}
	for _, name := range found.files {
		if err := j.config.FS.Remove(name); err != nil {
			return fmt.Errorf("remove %s: %w", name, err)
		}
	}
	j.wal = wal{fs: j.config.FS, next: found.next}
	j.stats.stored.Store(found.last)
	j.pending = newBatch(found.last+1, 0)
	return nil
}
