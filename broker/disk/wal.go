package disk

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"slices"

	"weir/broker/record"
)

// segmentSize is the size at which the log goes on in another file.
const segmentSize = 16 << 20

// wal is the log. The committer owns it.
type wal struct {
	fs       FS
	segments []segment // those with frames in them, oldest first; the last one is written unless file is nil
	file     File      // nil: the next append makes one
	next     uint64    // number of the next file
	size     int64     // of frames in file
	salt     uint32
	last     entry // the last batch that is safe
	ledger   *ledger
	log      *slog.Logger
	mute     bool // the ledger could not be written, which was logged
}

// segment is a file of the log.
type segment struct {
	name string
	last uint64 // number of its last batch
}

const segmentSuffix = ".wal"

func segmentName(n uint64) string { return fmt.Sprintf("%016d%s", n, segmentSuffix) }

// append makes a frame safe, whose header it fills in. After an error it must be called with the same frame again.
func (w *wal) append(frame []byte, number uint64) error {
	seal := record.PutHeader(frame, number, w.last.seal, w.salt)
	if w.size >= segmentSize {
		w.leave()
	}
	if w.file == nil {
		name := segmentName(w.next)
		w.next++
		f, err := w.fs.Create(name)
		if err != nil {
			return fmt.Errorf("create %s: %w", name, err)
		}
		if err := w.fs.Sync(); err != nil {
			_ = f.Close()
			_ = w.fs.Remove(name)
			return fmt.Errorf("sync the folder of %s: %w", name, err)
		}
		w.file, w.size = f, 0
		w.segments = append(w.segments, segment{name: name})
	}
	s := &w.segments[len(w.segments)-1]
	if _, err := w.file.WriteAt(frame, w.size); err != nil {
		return fmt.Errorf("write %s: %w", s.name, err) // the next try writes over it
	}
	if err := w.file.Sync(); err != nil {
		// The system may believe that it wrote what it did not. What was safe before stays; the frame
		// goes to a file of its own.
		w.leave()
		return fmt.Errorf("sync %s: %w", s.name, err)
	}
	w.size += int64(len(frame))
	s.last = number
	w.last = entry{number, seal}
	return nil
}

// note writes what is safe into the ledger. Nothing waits for it: without it, damage to the last batch would pass for a
// torn tail, as it would if the machine lost power now.
func (w *wal) note() { w.told(w.ledger.note(w.last)) }

// settle syncs the ledger.
func (w *wal) settle() { w.told(w.ledger.settle()) }

func (w *wal) told(err error) {
	if err != nil && !w.mute {
		w.log.Warn("the end of the log cannot be recorded: damage to it could not be distinguished from a crash", slog.String("error", err.Error()))
	}
	w.mute = err != nil
}

// leave closes the file, if one is open: what is safe in it stays. A file without a safe frame is removed. The deferred
// calls are for a file that panics.
func (w *wal) leave() {
	if w.file == nil {
		return
	}
	defer func() { w.file = nil }()
	if i := len(w.segments) - 1; w.size == 0 && i >= 0 {
		name := w.segments[i].name
		w.segments = w.segments[:i]
		defer func() { _ = w.fs.Remove(name) }() // what is in it may only be the frame that is written again
	}
	_ = w.file.Close() // all that counts was synced
}

// trim removes files whose batches are all in the database.
func (w *wal) trim(stored uint64) {
	for len(w.segments) > 0 && w.segments[0].last <= stored && (w.file == nil || len(w.segments) > 1) {
		if w.fs.Remove(w.segments[0].name) != nil {
			return // next time
		}
		w.segments = w.segments[1:]
	}
}

func (w *wal) close() {
	w.leave()
	if !w.ledger.settled() {
		w.settle()
	}
	_ = w.ledger.file.Close()
}

// replayed is what was found in the log.
type replayed struct {
	// Set once by replay.
	salt    uint32
	old     bool     // the directory is of version 1
	ledgers []string // names of files

	segments []segment
	batches  []*batch // beyond the stored ones, in order and without a gap
	last     entry    // the last one, or the last stored
	next     uint64   // number of the next file
	torn     int      // bytes that are not whole, and that nothing proves to have been on disk
	vague    bool     // some of these are of version 1, of which the last batch proves nothing
	place    string   // where the first batch beyond last should stand, if something else stands there
	proven   uint64   // number of the last batch that is known to have been on disk
	damage   error    // what was on disk and is not there; nil: nothing
}

// replay reads all batches beyond the stored one, and makes them safe: those of a process that was killed may
// only be in the system's memory. What is damaged or missing is no error of replay but replayed.damage: what stands
// before it is there to be used. Errors: those of the FS.
func replay(fs FS, s *state) (replayed, error) {
	r := replayed{salt: s.salt, old: s.format == oldVersion, last: entry{s.stored, s.seal}, next: 1, proven: s.stored}
	names, err := fs.List()
	if err != nil {
		return r, fmt.Errorf("list the log: %w", err)
	}
	slices.Sort(names)
	var segments []string
	for _, name := range names {
		n, isSegment := numbered(name, segmentSuffix)
		if isSegment {
			segments = append(segments, name)
		}
		m, isLedger := numbered(name, ledgerSuffix)
		if isLedger {
			r.ledgers = append(r.ledgers, name)
		}
		r.next = max(r.next, n+1, m+1)
	}
	ledger, found, err := readLedgers(fs, r.ledgers)
	if err != nil {
		return r, err
	}
	for _, name := range segments {
		b, err := readSafe(fs, name)
		if err != nil {
			return r, fmt.Errorf("read %s: %w", name, err)
		}
		r.read(name, b, ledger)
	}
	r.judge(s, ledger, found)
	if len(r.batches) > 0 {
		if err := fs.Sync(); err != nil {
			return r, fmt.Errorf("sync the log: %w", err)
		}
	}
	return r, nil
}

// read is replay for one file.
func (r *replayed) read(name string, b []byte, ledger entry) {
	file := segment{name: name}
	size, old := len(b), r.old || bytes.HasPrefix(b, []byte(record.OldMagic))
	for len(b) > 0 {
		f, rest, ok := record.CutFrame(b, r.salt)
		at := size - len(b)
		if !ok {
			r.proven = max(r.proven, record.Proven(b, r.salt, old))
			r.torn += len(b)
			r.vague = r.vague || old
			r.place = fmt.Sprintf("%s at byte %d: batch %d cannot be read", name, at, r.last.number+1)
			break
		}
		r.proven = max(r.proven, f.Number-1)
		switch {
		case f.Number > r.last.number+1:
			if r.place == "" {
				r.place = fmt.Sprintf("%s at byte %d: batch %d follows %d", name, at, f.Number, r.last.number)
			}
			r.spoil("%s", r.place)
		case f.Number == r.last.number && f.Seal != r.last.seal && r.last.seal != 0:
			r.spoil("%s at byte %d: there are two batches %d", name, at, f.Number)
		case f.Number <= r.last.number: // it is known: stored, or written twice
		case !f.Old && f.Before != r.last.seal:
			r.spoil("%s at byte %d: batch %d does not continue the one before", name, at, f.Number)
		case r.damage == nil:
			r.batches = append(r.batches, &batch{number: f.Number, frame: f.Bytes, records: f.Records, seal: f.Seal})
			r.last, r.place = entry{f.Number, f.Seal}, "" // it was written again, elsewhere
			if ledger.number == f.Number && ledger.seal != f.Seal {
				r.spoil("%s at byte %d: batch %d is not the one that was written", name, at, f.Number)
			}
		}
		file.last = max(file.last, f.Number)
		b = rest
	}
	r.segments = append(r.segments, file)
}

// spoil notes damage. The first one counts.
func (r *replayed) spoil(format string, args ...any) {
	if r.damage == nil {
		r.damage = fmt.Errorf(format, args...)
	}
}

// judge sets the damage if something is missing that was on disk.
func (r *replayed) judge(s *state, ledger entry, found bool) {
	r.proven = max(r.proven, ledger.number)
	switch {
	case s.format != oldVersion && !found && !s.clean:
		r.spoil("%s is missing, which records up to where the log was on disk", ledgerName(0))
	case found && s.format != oldVersion && ledger.number == s.stored && ledger.seal != s.seal:
		r.spoil("%s and the log are not of one directory: batch %d is not the same", databaseName, s.stored)
	case r.last.number < r.proven && r.place != "":
		r.spoil("%s", r.place)
	case r.last.number < r.proven:
		r.spoil("the log ends at batch %d", r.last.number)
	}
	if r.damage == nil {
		return
	}
	if r.last.number < r.proven {
		r.damage = fmt.Errorf("%w; batches %d to %d were on disk", r.damage, r.last.number+1, r.proven)
	}
	r.damage = fmt.Errorf("log: %w: %w", r.damage, ErrLost)
}

// readSafe reads a file that holds what it does also after a power cut.
func readSafe(fs FS, name string) ([]byte, error) {
	f, err := fs.Open(name)
	if err != nil {
		return nil, err
	}
	if err := f.Sync(); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	b, err := io.ReadAll(io.NewSectionReader(f, 0, math.MaxInt64))
	return b, errors.Join(err, f.Close())
}
