package disk

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
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
}

// segment is a file of the log.
type segment struct {
	name string
	last uint64 // number of its last batch
}

func segmentName(n uint64) string { return fmt.Sprintf("%016d.wal", n) }

// append makes a frame safe. After an error it is to be called with the same frame again.
func (w *wal) append(frame []byte, number uint64) error {
	if w.file != nil && w.size >= segmentSize {
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
	return nil
}

// leave closes the file. One without a safe frame is of no use.
func (w *wal) leave() {
	_ = w.file.Close() // all that counts was synced
	w.file = nil
	if i := len(w.segments) - 1; w.size == 0 {
		_ = w.fs.Remove(w.segments[i].name) // what is in it may only be the frame that is written again
		w.segments = w.segments[:i]
	}
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

// clear removes all files. One that stays does no harm: its batches are known.
func (w *wal) clear() {
	for _, s := range w.segments {
		_ = w.fs.Remove(s.name)
	}
	w.segments = nil
}

func (w *wal) close() {
	if w.file != nil {
		w.leave()
	}
}

// replayed is what was found in the log.
type replayed struct {
	segments []segment
	batches  []*batch // beyond the stored ones, in order
	last     uint64   // number of the last one, or of the last stored
	next     uint64   // number of the next file
	torn     int      // bytes that were cut
}

// replay reads all batches beyond the stored one, and makes them safe: those of a process that was killed may
// only be in the system's memory. Errors: ErrCorrupt and those of the FS.
func replay(fs FS, stored uint64) (replayed, error) {
	r := replayed{last: stored, next: 1}
	names, err := fs.List()
	if err != nil {
		return r, fmt.Errorf("list the log: %w", err)
	}
	slices.Sort(names)
	for _, name := range names {
		number, isSegment := strings.CutSuffix(name, ".wal")
		n, err := strconv.ParseUint(number, 10, 64)
		if !isSegment || err != nil {
			continue
		}
		r.next = n + 1
		b, err := readSafe(fs, name)
		if err != nil {
			return r, fmt.Errorf("read %s: %w", name, err)
		}
		if err := r.read(name, b); err != nil {
			return r, err
		}
	}
	if len(r.batches) > 0 {
		if err := fs.Sync(); err != nil {
			return r, fmt.Errorf("sync the log: %w", err)
		}
	}
	return r, nil
}

// read is replay for one file.
func (r *replayed) read(name string, b []byte) error {
	file := segment{name: name}
	for len(b) > 0 {
		number, records, rest, ok := cutFrame(b)
		switch {
		case !ok && holdsFrame(b[1:], r.last):
			return fmt.Errorf("%s after batch %d: %w", name, r.last, ErrCorrupt)
		case !ok:
			r.torn += len(b)
			r.segments = append(r.segments, file)
			return nil
		case number > r.last+1:
			return fmt.Errorf("%s: batch %d follows %d: %w", name, number, r.last, ErrCorrupt)
		case number == r.last+1: // others are known: stored, or written twice
			r.batches = append(r.batches, whole(number, b[:frameHeader+len(records):frameHeader+len(records)]))
			r.last = number
		}
		file.last = max(file.last, number)
		b = rest
	}
	r.segments = append(r.segments, file)
	return nil
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
	size, err := f.Size()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	b := make([]byte, size)
	n, err := f.ReadAt(b, 0)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return b[:n], errors.Join(err, f.Close())
}
