package disk

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	bolt "go.etcd.io/bbolt"

	"weir/broker"
	"weir/broker/record"
	"weir/internal/contain"
)

const (
	logName  = "log"
	lockName = "lock"
)

// serverName is what a NATS server has in its directory.
const serverName = "jetstream"

// Holds reports whether a directory is that of a Journal.
func Holds(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, databaseName))
	return err == nil
}

// Open opens a data directory, makes it if it is missing, and reads what the log has that the database has not: at
// most what came between two checkpoints, however much is stored. The broker that it is given to closes it.
//
// Errors: ErrInUse, ErrFormat, ErrCorrupt, and those of the file system.
func Open(config Config) (*Journal, error) {
	config.fill()
	if config.Dir == "" {
		return nil, errors.New("open the data directory: Config.Dir must not be empty")
	}
	if _, err := os.Stat(filepath.Join(config.Dir, serverName)); err == nil && !Holds(config.Dir) {
		return nil, fmt.Errorf("open %s: it has the durable channels of a cluster, which a single node does not read: name another directory, and take them over with \"weir cluster export\" and \"weir data import\": %w", config.Dir, ErrFormat)
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
		config: config, opened: time.Now(), wall: config.Now().Round(0), lock: lock, db: &database{dir: config.Dir, panicked: config.Panic},
		dirty: make(map[string]dirtyChannel), unreadable: make(map[string]error), swept: make(map[string]bool),
		wake: make(chan struct{}, 1), hand: make(chan struct{}, 1), relief: make(chan struct{}, 1),
		stop: make(chan struct{}), committed: make(chan struct{}),
	}
	err = j.recover()
	if err == nil && config.still {
		err = j.storeAll(nil)
	}
	if err == nil && j.mended != nil {
		err = j.setAside()
	}
	if err != nil {
		if j.wal.ledger != nil {
			_ = j.wal.ledger.file.Close()
		}
		_ = j.db.close()
		_ = lock.Close()
		return nil, fmt.Errorf("open %s: %w", config.Dir, err)
	}
	config.Panic.Loop(&j.done, "committer", contain.Closed(j.stop), j.commit, j.uncommitted)           // stopped by Close, which waits
	config.Panic.Loop(&j.done, "checkpointer", contain.Closed(j.committed), j.checkpoint, j.unwritten) // ends after the committer; Close waits
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
	log, err := replay(j.config.FS, &s)
	switch {
	case err != nil:
		return err
	case fresh && (log.last.number > 0 || log.proven > 0 || log.torn > 0):
		return fmt.Errorf("there is a log but no database: %w", ErrCorrupt)
	case log.damage != nil && !j.config.repair:
		return log.damage
	case len(log.batches) > 0:
		if j.recovered, err = gather(s.generation, log.batches); err != nil {
			return err
		}
		j.backlog = j.recovered.bytes
		s.clean = false // whatever the database has
	}
	if !s.clean || log.damage != nil {
		s.generation++
	}
	if j.mended = log.damage; j.mended != nil {
		s.severed = s.generation
	}
	if s.salt == 0 {
		s.salt = rand.Uint32()
	}
	s.clean, j.generation, j.severed = false, s.generation, s.severed
	if err := j.begin(&log, &s); err != nil {
		return err
	}
	if fresh { // the file itself must be there after a power cut
		if err := folder(j.config.Dir).Sync(); err != nil {
			return fmt.Errorf("sync the data directory: %w", err)
		}
	}
	j.stored.Store(s.stored)
	j.pending = newBatch(log.last.number+1, 0)
	return nil
}

// begin brings the log and the database into agreement, before anything is written.
func (j *Journal) begin(log *replayed, s *state) error {
	switch {
	case log.vague:
		j.config.Log.Warn("the end of the log is incomplete and is ignored: it was never acknowledged, or it is damaged; version 1 of the format cannot distinguish them",
			slog.Int("bytes", log.torn))
	case log.torn > 0 && log.damage == nil:
		j.config.Log.Info("the incomplete end of the log, left by a crash, is ignored: it was never acknowledged", slog.Int("bytes", log.torn))
	}
	l, err := newLedger(j.config.FS, log.next, log.last)
	if err != nil {
		return err
	}
	j.wal = wal{fs: j.config.FS, next: log.next, segments: log.segments, salt: s.salt, last: log.last, ledger: l, log: j.config.Log}
	if err := j.db.update(func(tx *bolt.Tx) error { return writeState(tx, s) }); err != nil {
		return err
	}
	for _, name := range log.ledgers {
		_ = j.config.FS.Remove(name) // one that stays has a smaller number
	}
	return nil
}

// gather reads the batches of the log into deltas.
func gather(generation uint64, batches []*batch) (*recovered, error) {
	f := &recovered{generation: generation, batches: batches, last: batches[len(batches)-1].number, deltas: make(record.Deltas)}
	for _, b := range batches {
		f.bytes += len(b.frame)
		if err := f.deltas.Add(b.records, keepAll); err != nil {
			return nil, fmt.Errorf("batch %d: %w", b.number, err)
		}
	}
	return f, nil
}
