package disk

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"

	bolt "go.etcd.io/bbolt"

	"weir/broker"
	"weir/broker/record"
)

// errImport is returned for input that is no export, or a part of one.
var errImport = errors.New("not an export")

// importStep is how many bytes of lines are put in with one transaction, at least.
const importStep = 8 << 20

// longestLine bounds a line: the data of an item, encoded.
const longestLine = 256 << 20

// Import puts channels that Export has written into a data directory, which is made if it is missing, and calls
// progress after each. A channel that exists already is an error and stays as it is. Readers resume where the export
// was; those that have seen more get a snapshot. It returns how many channels were stored, also with an error.
//
// Errors: errExists, errImport, and those of Open.
func Import(dir string, from io.Reader, progress func()) (channels int, err error) {
	j, err := openStill(dir, false)
	if err != nil {
		return 0, err
	}
	m := newImporter(from, progress)
	err = m.run(func() error { return m.put(j) })
	if err = errors.Join(err, j.Close()); err != nil {
		return m.done, fmt.Errorf("import: %w", err)
	}
	return m.done, nil
}

// ReadExport calls each with the channels that Export has written, and returns how many there were. Errors: errImport, errExists for a channel that comes twice, those of each.
func ReadExport(from io.Reader, each func(channel string, kept *broker.Kept) error) (channels int, err error) {
	m := newImporter(from, func() {})
	err = m.run(func() error {
		for _, name := range slices.Sorted(maps.Keys(m.ready)) {
			var kept broker.Kept
			if _, err := m.ready[name].Fold(&kept); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			if err := each(name, &kept); err != nil {
				return err
			}
			m.done++
		}
		m.ready, m.bytes = make(record.Deltas), 0
		return nil
	})
	return m.done, err
}

// importer belongs to one goroutine.
type importer struct {
	progress func()
	lines    *bufio.Scanner
	number   int           // of the line
	ready    record.Deltas // read, to be put in
	bytes    int
	name     string // the channel being read; "": none
	delta    *record.Delta
	done     int
	ended    bool
}

func newImporter(from io.Reader, progress func()) *importer {
	m := &importer{progress: progress, lines: bufio.NewScanner(from), ready: make(record.Deltas)}
	m.lines.Buffer(make([]byte, 64<<10), longestLine)
	return m
}

// run reads all lines, and calls put when enough of them are ready.
func (m *importer) run(put func() error) error {
	for m.lines.Scan() {
		m.number++
		b := m.lines.Bytes()
		if len(bytes.TrimSpace(b)) == 0 {
			continue
		}
		if err := m.line(b); err != nil {
			return fmt.Errorf("line %d: %w", m.number, err)
		}
		if m.bytes += len(b); m.bytes >= importStep {
			if err := put(); err != nil {
				return err
			}
		}
	}
	if err := m.lines.Err(); err != nil {
		return fmt.Errorf("line %d: %w", m.number+1, err)
	}
	if !m.ended {
		return fmt.Errorf("the export ends after line %d, without its last line: %w", m.number, errImport)
	}
	return put()
}

func (m *importer) line(b []byte) error {
	var l line
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&l); err != nil {
		return fmt.Errorf("%w: %w", errImport, err)
	}
	switch {
	case m.number == 1 && l.Type != lineHead, m.number > 1 && l.Type == lineHead:
		return fmt.Errorf("line of type %q: the first line, and no other, must be of type %q: %w", l.Type, lineHead, errImport)
	case l.Type == lineHead && l.Version != exportVersion:
		return fmt.Errorf("version %d, this program knows %d: %w", l.Version, exportVersion, errImport)
	case l.Type == lineHead:
		return nil
	case m.ended:
		return fmt.Errorf("line of type %q after the last line: %w", l.Type, errImport)
	case l.Type == lineChannel:
		return m.begin(&l)
	case l.Type == lineEnd:
		m.finish()
		m.ended = true
		if n := m.done + len(m.ready); l.Count != n {
			return fmt.Errorf("there are %d channels, but the last line counts %d: %w", n, l.Count, errImport)
		}
		return nil
	case m.delta == nil:
		return fmt.Errorf("line of type %q before any channel: %w", l.Type, errImport)
	case bytes.IndexByte(append([]byte(l.Group), l.Key...), 0) >= 0:
		return errName
	}
	return m.part(&l)
}

// begin takes the first line of a channel.
func (m *importer) begin(l *line) error {
	m.finish()
	switch {
	case l.Channel == "" || l.Epoch == "":
		return fmt.Errorf("a channel needs a name and an epoch: %w", errImport)
	case bytes.IndexByte([]byte(l.Channel), 0) >= 0 || len(l.Channel) > 4096:
		return errName
	case m.ready[l.Channel] != nil:
		return fmt.Errorf("%s: %w", l.Channel, errExists)
	}
	m.name = l.Channel
	m.delta = &record.Delta{Policy: keepAll("").Resolved(), Epoch: l.Epoch, Seq: l.Seq, Forks: l.Forks, Items: make(map[string]*record.ItemDelta)}
	return nil
}

// finish has the channel that was read put in next.
func (m *importer) finish() {
	if m.delta != nil {
		m.ready[m.name] = m.delta
		m.name, m.delta = "", nil
	}
}

// part takes a line of a channel.
func (m *importer) part(l *line) error {
	d := m.delta
	switch l.Type {
	case lineChange:
		op, ok := broker.ParseOp(l.Op)
		if !ok || l.At == nil || uint64(len(d.Log)) >= d.Seq {
			return fmt.Errorf("a change must have an op, a time and a place in the history: %w", errImport)
		}
		if op == broker.Append && (len(l.Data) < 2 || l.Data[0] != '"') {
			return fmt.Errorf("an append must have text as data: %w", errImport)
		}
		e := broker.Entry{Op: op, Expired: l.Cause == "expired", Group: l.Group, Key: l.Key, Data: l.Data}
		s := record.Scanner{Rest: record.AppendBody(nil, &e, *l.At)}
		d.Log = append(d.Log, s.Body())
	case lineItem:
		id := l.Group + "\x00" + l.Key
		if l.Group == "" || l.Key == "" || d.Items[id] != nil || uint64(len(d.Items)) >= d.Seq {
			return fmt.Errorf("an item must have a group and a key that no other item of the channel has: %w", errImport)
		}
		var ends int64
		if l.Ends != nil {
			ends = max(1, l.Ends.UnixMilli())
		}
		d.Items[id] = record.NewItem(uint64(len(d.Items))+1, ends, l.Data)
	case lineKey:
		if l.Key == "" || l.At == nil || l.Seq > d.Seq {
			return fmt.Errorf("an idempotency key must have a key, a time and a seq up to that of the channel: %w", errImport)
		}
		d.Note(l.Seq, l.At.UnixMilli(), []byte(l.Key))
	default:
		return fmt.Errorf("unknown type %q of a line: %w", l.Type, errImport)
	}
	return nil
}

// put puts in the channels that were read.
func (m *importer) put(j *Journal) error {
	err := j.db.update(func(tx *bolt.Tx) error {
		w := newWriter(tx, math.MaxUint64, j.now()) // of no generation of this directory: each goes on in an epoch of its own
		for _, name := range slices.Sorted(maps.Keys(m.ready)) {
			if w.channels.Get([]byte(name)) != nil {
				return fmt.Errorf("%s: %w", name, errExists)
			}
		}
		if err := w.apply(m.ready); err != nil {
			return err
		}
		for name, err := range w.damaged {
			return fmt.Errorf("%s: %w", name, err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for range m.ready {
		m.done++
		m.progress()
	}
	m.ready, m.bytes = make(record.Deltas), 0
	return nil
}
