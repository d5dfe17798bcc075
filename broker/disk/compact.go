package disk

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"time"

	bolt "go.etcd.io/bbolt"
)

// Compact writes the database of a directory anew, without what is not used, and puts the log into it. Nothing that
// is stored changes, but that a new generation begins: a directory that was copied back can be served after it.
// progress is called now and then with the bytes written. It returns the sizes before and after.
//
// Errors: those of Open.
func Compact(dir string, progress func(written int64)) (before, after int64, err error) {
	if _, err := os.Stat(filepath.Join(dir, databaseName)); err != nil {
		return 0, 0, fmt.Errorf("%s is not a data directory: %w", dir, err)
	}
	j, err := openStill(dir, false)
	if err != nil {
		return 0, 0, err
	}
	path, fresh := filepath.Join(dir, databaseName), filepath.Join(dir, databaseName+".new")
	if err = os.RemoveAll(fresh); err == nil { // of an earlier attempt
		err = j.copyTo(fresh, progress)
	}
	before = sizeOf(path)
	if err == nil {
		after = sizeOf(fresh)
		err = errors.Join(os.Rename(fresh, path), folder(dir).Sync())
	} else {
		_ = os.Remove(fresh)
	}
	// The old database is closed with a mark that goes into the replaced file: the new file still asks for a new
	// generation.
	if err = errors.Join(err, j.Close()); err != nil {
		return 0, 0, fmt.Errorf("compact %s: %w", dir, err)
	}
	return before, after, nil
}

// openStill opens a directory without a policy of its own: nothing is trimmed, and the log is in the database.
func openStill(dir string, repair bool) (*Journal, error) {
	return Open(Config{Dir: dir, Policy: keepAll, Sweep: math.MaxInt64, still: true, repair: repair})
}

// copyTo writes what the database has into a new one.
func (j *Journal) copyTo(path string, progress func(written int64)) error {
	to, err := bolt.Open(path, 0o600, &bolt.Options{Timeout: time.Second, FreelistType: bolt.FreelistMapType, NoSync: true})
	if err != nil {
		return err
	}
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() { // ended below
		defer close(stopped)
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				progress(sizeOf(path))
			case <-stop:
				return
			}
		}
	}()
	err = j.db.use(func(db *bolt.DB) error { return bolt.Compact(to, db, 16<<20) })
	close(stop)
	<-stopped
	if err == nil {
		err = to.Sync()
	}
	return errors.Join(err, to.Close())
}

func sizeOf(path string) int64 {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return info.Size()
}
