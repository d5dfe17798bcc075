package disk

import (
	"fmt"
	"os"
	"path/filepath"
)

// damagedSuffix is behind the names of files of the log that Repair has set aside.
const damagedSuffix = ".damaged"

// Repair goes on without what is damaged or missing in a directory's log, and returns what that is; nil if nothing is.
// What stands before the damage is kept. A new generation begins in which no reader of a durable channel resumes from a
// position before it: it gets a snapshot with the note that changes may be lost. The files of the log stay beside it,
// with the suffix .damaged.
//
// A database that is damaged is not repaired. Errors: those of Open but ErrLost.
func Repair(dir string) (lost, err error) {
	if !Holds(dir) {
		return nil, fmt.Errorf("%s is not a data directory: it has no %s", dir, databaseName)
	}
	j, err := openStill(dir, true)
	if err != nil {
		return nil, err
	}
	return j.mended, j.Close()
}

// setAside keeps the files of a damaged log, of which the database has what is whole, under other names.
func (j *Journal) setAside() error {
	for _, s := range j.wal.segments {
		path := filepath.Join(j.config.Dir, logName, s.name)
		if err := os.Rename(path, path+damagedSuffix); err != nil {
			return err
		}
	}
	j.wal.segments = nil
	return j.config.FS.Sync()
}
