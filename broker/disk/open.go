package disk

import (
	"errors"
	"fmt"
	"log/slog"
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

// Open opens a data directory, makes it if it is missing, and reads what the log has that the database has not: at
// most what came between two checkpoints, however much is stored. The broker that it is given to closes it.
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
		config: config, opened: time.Now(), wall: config.Now().Round(0), lock: lock, db: &database{dir: config.Dir}, marks: make(map[string]mark), disowned: make(map[string]error),
		wake: make(chan struct{}, 1), hand: make(chan struct{}, 1), relief: make(chan struct{}, 1),
		stop: make(chan struct{}), committed: make(chan struct{}),
	}
	err = j.recover()
	if err == nil && config.still {
		err = j.storeAll(nil)
	}
	if err != nil {
		_ = j.db.close()
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

// recover opens the database and reads what the log has beyond it.
func (j *Journal) recover() (err error) {
	if j.db.bolt, err = openDatabase(j.config.Dir, false, nil); err != nil {
		return err
	}
	var s state
	var fresh bool
	err = j.db.view(func(tx *bolt.Tx) (err error) {
		s, fresh, err = readState(tx)
		return err
	})
	if err != nil {
		return err
	}
	log, err := replay(j.config.FS, s.stored)
	switch {
	case err != nil:
		return err
	case fresh && log.last > 0:
		return fmt.Errorf("there is a log but no database: %w", ErrCorrupt)
	case len(log.batches) > 0:
		if err := j.find(s.generation, log.batches); err != nil {
			return err
		}
		s.clean = false // whatever it says
	}
	if !s.clean {
		s.generation++
	}
	s.clean, j.generation = false, s.generation
	if err := j.db.update(func(tx *bolt.Tx) error { return writeState(tx, s) }); err != nil {
		return err
	}
	if fresh { // the file itself must be there after a power cut, whatever the log then says
		if err := folder(j.config.Dir).Sync(); err != nil {
			return fmt.Errorf("sync the data directory: %w", err)
		}
	}
	if log.torn > 0 {
		j.config.Log.Info("what a crash has torn off the end of the log was told to nobody and is ignored", slog.Int("bytes", log.torn))
	}
	j.wal = wal{fs: j.config.FS, next: log.next, segments: log.segments}
	j.stats.stored.Store(s.stored)
	j.pending = newBatch(log.last+1, 0)
	return nil
}

// find keeps what the log had until it is in the database.
func (j *Journal) find(generation uint64, batches []*batch) (err error) {
	if j.found, err = gather(generation, batches); err != nil {
		return err
	}
	for _, b := range batches {
		j.backlog += len(b.frame)
	}
	return nil
}

func gather(generation uint64, batches []*batch) (*found, error) {
	f := &found{generation: generation, batches: batches, last: batches[len(batches)-1].number, deltas: make(deltas)}
	for _, b := range batches {
		if err := f.deltas.add(b.frame[frameHeader:], keepAll); err != nil {
			return nil, fmt.Errorf("batch %d: %w", b.number, err)
		}
	}
	return f, nil
}
