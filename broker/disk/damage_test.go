package disk

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"weir/broker"
	"weir/broker/record"
)

// files is an FS of what is found. It belongs to one goroutine.
type files map[string][]byte

func (f files) Create(name string) (File, error) {
	f[name] = nil
	return &oneFile{f, name}, nil
}
func (f files) Open(name string) (File, error) { return &oneFile{f, name}, nil }
func (f files) List() ([]string, error)        { return slices.Collect(maps.Keys(f)), nil }
func (f files) Sync() error                    { return nil }
func (f files) Remove(name string) error {
	if _, ok := f[name]; !ok {
		return fs.ErrNotExist
	}
	delete(f, name)
	return nil
}

func (f files) with(name string, b []byte) files {
	other := maps.Clone(f)
	if other[name] = b; b == nil {
		delete(other, name)
	}
	return other
}

type oneFile struct {
	files files
	name  string
}

func (f *oneFile) ReadAt(p []byte, at int64) (int, error) {
	n := copy(p, f.files[f.name][at:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (f *oneFile) WriteAt(p []byte, at int64) (int, error) {
	b := f.files[f.name]
	if end := int(at) + len(p); end > len(b) {
		b = append(b, make([]byte, end-len(b))...)
	}
	copy(b[at:], p)
	f.files[f.name] = b
	return len(p), nil
}
func (f *oneFile) Close() error         { return nil }
func (f *oneFile) Sync() error          { return nil }
func (f *oneFile) Size() (int64, error) { return int64(len(f.files[f.name])), nil }

// written is a log of two files with batches that were acknowledged, and the next batch, which was not.
func written(t *testing.T, batches int, data string) (f files, s *state, next []byte) {
	t.Helper()
	f, s = make(files), &state{salt: 7, generation: 1, format: formatVersion}
	l, err := newLedger(f, 1, entry{})
	if err != nil {
		t.Fatal(err)
	}
	w := wal{fs: f, next: 1, salt: s.salt, ledger: l, log: slog.New(slog.DiscardHandler)}
	batch := func(n uint64) []byte {
		return record.AppendChange(make([]byte, record.FrameHeader), "room:1", broker.Position{Epoch: "e", Seq: n}, &broker.Entry{Op: broker.Send, Data: []byte(data)}, time.UnixMilli(1))
	}
	for n := range uint64(batches) {
		if int(n) == batches/2 {
			w.leave()
		}
		if err := w.append(batch(n+1), n+1); err != nil {
			t.Fatal(err)
		}
		w.note()
	}
	next = batch(uint64(batches) + 1)
	record.PutHeader(next, uint64(batches)+1, w.last.seal, s.salt)
	return f, s, next
}

// judge replays a log of which batches up to acked were acknowledged: all of them are there, or the loss is told.
func judge(t *testing.T, what string, f files, s *state, acked uint64) (told bool) {
	t.Helper()
	r, err := replay(maps.Clone(f), s)
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	if r.damage == nil && r.last.number < acked {
		t.Errorf("%s: batches %d to %d are lost and nobody is told; %d bytes were taken for torn", what, r.last.number+1, acked, r.torn)
	}
	if r.damage != nil && !errors.Is(r.damage, ErrLost) {
		t.Errorf("%s: %v", what, r.damage)
	}
	for i, b := range r.batches {
		if b.number != uint64(i)+1 {
			t.Fatalf("%s: batch %d at %d", what, b.number, i)
		}
		if c := make(record.Deltas); c.Add(b.records, keepAll) != nil || c["room:1"].Seq != b.number {
			t.Errorf("%s: batch %d has other records", what, b.number)
		}
	}
	return r.damage != nil
}

// Whatever single fault there is in the files of a log, each acknowledged batch is there, or its loss is told.
func TestNoFaultOfTheLogIsSilent(t *testing.T) {
	const n = 6
	f, s, next := written(t, n, "1")
	names := slices.Sorted(maps.Keys(f))
	if judge(t, "whole", f, s, n) {
		t.Fatal("a whole log is damaged")
	}
	last := segmentName(2)
	for _, name := range names {
		b := f[name]
		for at := range b {
			for bit := range 8 {
				other := bytes.Clone(b)
				other[at] ^= 1 << bit
				told := judge(t, fmt.Sprintf("bit %d of byte %d of %s flipped", bit, at, name), f.with(name, other), s, n)
				if strings.HasSuffix(name, segmentSuffix) && !told {
					t.Errorf("bit %d of byte %d of %s: nobody was told", bit, at, name)
				}
			}
			judge(t, fmt.Sprintf("%s cut to %d bytes", name, at), f.with(name, b[:at:at]), s, n)
			for _, size := range []int{1, 16, 512} {
				other := bytes.Clone(b)
				clear(other[at:min(len(b), at+size)])
				judge(t, fmt.Sprintf("%d bytes at %d of %s are zero", size, at, name), f.with(name, other), s, n)
			}
		}
		judge(t, name+" is missing", f.with(name, nil), s, n)
		for _, other := range names {
			judge(t, name+" is a copy of "+other, f.with(name, f[other]), s, n)
			judge(t, name+" and "+other+" are swapped", f.with(name, f[other]).with(other, f[name]), s, n)
		}
	}
	for _, gone := range []files{{}, {names[0]: f[names[0]]}, {ledgerName(1): f[ledgerName(1)]}, f.with(segmentName(1), nil).with(ledgerName(1), nil)} {
		if !judge(t, fmt.Sprintf("only %v is left", slices.Collect(maps.Keys(gone))), gone, s, n) {
			t.Errorf("only %v is left: nobody was told", slices.Collect(maps.Keys(gone)))
		}
	}

	// Files of another time of the same directory.
	other, _, _ := written(t, n, "2")
	for _, name := range names {
		if strings.HasSuffix(name, segmentSuffix) && !judge(t, name+" of another time", f.with(name, other[name]), s, n) {
			t.Errorf("%s of another time: nobody was told", name)
		}
	}
	if !judge(t, "files of another time without a ledger's word", other.with(segmentName(1), f[segmentName(1)]).with(ledgerName(1), f[ledgerName(1)][:ledgerVolatile*ledgerSlot]), s, n) {
		t.Error("files of another time without a ledger's word: nobody was told")
	}

	// A database that is older, or of another directory, beside this log.
	older := *s
	if !judge(t, "a log of another directory", f, &state{salt: 8, generation: 1, format: formatVersion}, n) {
		t.Error("a log of another directory: nobody was told")
	}
	older.stored, older.seal = n, 1
	if !judge(t, "a database in which the last batch is another", f, &older, n) {
		t.Error("a database in which the last batch is another: nobody was told")
	}
	without := f.with(segmentName(1), nil)
	if !judge(t, "a database from before the files that were removed", without, s, n) {
		t.Error("a database from before the files that were removed: nobody was told")
	}

	// What was not acknowledged may be torn anywhere, or be missing, or be there, or be there twice.
	for cut := range len(next) + 1 {
		for _, rest := range [][]byte{nil, make([]byte, len(next)-cut), make([]byte, 4096)} {
			torn := slices.Concat(f[last], next[:cut], rest)
			if judge(t, "torn", f.with(last, torn), s, n) {
				t.Errorf("%d of %d bytes of the next batch and %d zeros: that is no damage", cut, len(next), len(rest))
			}
			again := f.with(last, torn).with(segmentName(3), next)
			if judge(t, "written again", again, s, n+1) {
				t.Errorf("%d of %d bytes, and all in the next file: that is no damage", cut, len(next))
			}
		}
	}
	if judge(t, "twice", f.with(segmentName(3), slices.Concat(next, next)), s, n+1) || judge(t, "a file twice", f.with(segmentName(3), f[last]), s, n) {
		t.Error("batches that are there twice are no damage")
	}
}

// What cannot be covered: a machine that loses power before the ledger is settled, and damage to the very last batch. The
// header of a next batch, of which nothing else need be there, is enough to tell.
func TestWhatTheLedgerCannotTell(t *testing.T) {
	const n = 6
	f, s, next := written(t, n, "1")
	stale := f[ledgerName(1)][:ledgerVolatile*ledgerSlot] // as of the start
	last, b := segmentName(2), bytes.Clone(f[segmentName(2)])
	b[len(b)-1] ^= 1
	r, err := replay(f.with(last, b).with(ledgerName(1), stale), s)
	if err != nil || r.damage != nil || r.last.number != n-1 {
		t.Fatalf("%v, %v, up to %d", err, r.damage, r.last.number)
	}
	torn := append(b, next[:record.FrameHeader]...)
	if !judge(t, "with a header behind it", f.with(last, torn).with(ledgerName(1), stale), s, n) {
		t.Error("with a header behind it: nobody was told")
	}
}

// A publisher cannot make the end of a log look like damage by what they publish.
func TestForgedHeader(t *testing.T) {
	f, s, _ := written(t, 6, "1")
	forged := frames(s.salt+1, entry{99, 5}, 100)
	b := record.AppendChange(make([]byte, record.FrameHeader), "room:1", broker.Position{Epoch: "e", Seq: 7}, &broker.Entry{Op: broker.Send, Data: forged}, time.UnixMilli(1))
	record.PutHeader(b, 7, 0, s.salt)
	if judge(t, "forged", f.with(segmentName(2), append(bytes.Clone(f[segmentName(2)]), b[:len(b)-1]...)), s, 6) {
		t.Error("a payload passes for a header")
	}
}

// acked is a directory as a process leaves it that was killed after n publications to room:1 and room:2 were acknowledged.
func acked(t *testing.T, n int) (dir string, at [2]broker.Position) {
	t.Helper()
	j, b := open(t, Config{Dir: t.TempDir(), Interval: time.Hour})
	for i := range n {
		at[i%2] = publish(t, b, fmt.Sprint("room:", i%2+1), broker.Publication{Key: "k", Data: fmt.Append(nil, i)})
	}
	dir = crash(t, j)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	return dir, at
}

// crash is what is found of a journal's directory if the process is killed now.
func crash(t *testing.T, j *Journal) string {
	t.Helper()
	for {
		// A segment that the database has by now is removed. One that is missing from the copy may be needed by the database's copy.
		before := segments(t, j)
		if dir := tryCrash(t, j); dir != "" && !slices.ContainsFunc(before, func(path string) bool { return !slices.Contains(segments(t, j), path) }) {
			return dir
		}
	}
}

// segments are the paths of a journal's log.
func segments(t *testing.T, j *Journal) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(j.config.Dir, logName, "*"+segmentSuffix))
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// tryCrash copies a journal's directory; "" says that a file was removed meanwhile.
func tryCrash(t *testing.T, j *Journal) (dir string) {
	t.Helper()
	dir = t.TempDir()
	err := j.db.view(func(tx *bolt.Tx) error { return tx.CopyFile(filepath.Join(dir, databaseName), 0o600) })
	if err != nil {
		t.Fatal(err)
	}
	// The log goes on meanwhile. What says that a batch is safe is copied first, as it is written last.
	from, to := filepath.Join(j.config.Dir, logName), filepath.Join(dir, logName)
	ledgers, err := filepath.Glob(filepath.Join(from, "*"+ledgerSuffix))
	if err != nil {
		t.Fatal(err)
	}
	kept := make(map[string][]byte)
	for _, path := range ledgers {
		if kept[filepath.Base(path)], err = os.ReadFile(path); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.CopyFS(to, os.DirFS(from)); errors.Is(err, os.ErrNotExist) {
		return ""
	} else if err != nil {
		t.Fatal(err)
	}
	for name, b := range kept {
		write(t, filepath.Join(to, name), b)
	}
	return dir
}

func copyTree(t *testing.T, from, to string) {
	t.Helper()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
}

// spoilLast flips a bit of the last batch of a directory's log.
func spoilLast(t *testing.T, dir string) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, logName, "*"+segmentSuffix))
	if err != nil || len(names) == 0 {
		t.Fatal(names, err)
	}
	path := names[len(names)-1]
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)-1] ^= 4
	write(t, path, b)
}

// A damaged log keeps a server from starting, verify and export tell of it, and repair goes on: with what is whole, and
// with all readers told.
func TestRepair(t *testing.T) {
	dir, at := acked(t, 8)
	spoilLast(t, dir)
	logged := new(bytes.Buffer)
	if _, err := Open(Config{Dir: dir, Log: slog.New(slog.NewTextHandler(logged, nil))}); !errors.Is(err, ErrLost) || !strings.Contains(err.Error(), "batch 8 cannot be read; batches 8 to 8 were on disk") {
		t.Fatalf("%v", err)
	}
	if strings.Contains(logged.String(), "left by a crash") {
		t.Fatal(logged)
	}
	v, err := OpenView(dir)
	if err != nil {
		t.Fatal(err)
	}
	var said []string
	say := func(what string) { said = append(said, what) }
	if n := v.Verify(say, func() {}); n != 1 || !strings.Contains(said[0], "batch 8 cannot be read") {
		t.Fatalf("verify: %d, %q", n, said)
	}
	said = nil
	var exported bytes.Buffer
	if n, err := v.Export(&exported, "", time.UnixMilli(1), func() {}, say); n != 2 || err != nil || len(said) != 1 {
		t.Fatalf("export: %d, %v, %q", n, err, said)
	}
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}

	lost, err := Repair(dir)
	if !errors.Is(lost, ErrLost) || err != nil {
		t.Fatalf("%v, %v", lost, err)
	}
	if aside, _ := filepath.Glob(filepath.Join(dir, logName, "*"+damagedSuffix)); len(aside) != 1 {
		t.Fatalf("set aside: %v", aside)
	}
	for range 3 { // also after other starts, and a crash
		j, b := open(t, Config{Dir: dir})
		for i, from := range at {
			r := join(t, b, fmt.Sprint("room:", i+1), &broker.Position{Epoch: from.Epoch, Seq: 1})
			if want := fmt.Sprintf(`{"items":{"k":%d}}`, 6-i); r.Recovered || !r.Lost || string(r.State) != want || i == 0 && string(r.State) != `{"items":{"k":6}}` {
				t.Fatalf("room:%d: %+v, want %s", i+1, r, want)
			}
		}
		crashed := crash(t, j)
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		dir = crashed
	}
	if lost, err := Repair(dir); lost != nil || err != nil {
		t.Fatalf("again: %v, %v", lost, err)
	}

	// From here on it is as ever: who comes back after a restart resumes.
	_, b := open(t, Config{Dir: dir})
	here := publish(t, b, "room:2", broker.Publication{Key: "k", Data: []byte("9")})
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	_, b = open(t, Config{Dir: dir})
	if r := join(t, b, "room:2", &here); !r.Recovered {
		t.Fatalf("%+v", r)
	}
}

// A torn batch that nobody was told of is no damage, for nobody, and the line of the log says so.
func TestTornTailIsQuiet(t *testing.T) {
	dir, at := acked(t, 8)
	s := stateOf(t, dir)
	path := filepath.Join(dir, logName, segmentName(1))
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	next := frames(s.salt, entry{}, 9)
	write(t, path, append(b, next[:len(next)-3]...))
	v, err := OpenView(dir)
	if err != nil {
		t.Fatal(err)
	}
	if n := v.Verify(func(what string) { t.Error(what) }, func() {}); n > 0 || v.Summary().Torn != len(next)-3 {
		t.Fatalf("%d wrong, %+v", n, v.Summary())
	}
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	logged := new(bytes.Buffer)
	_, br := open(t, Config{Dir: dir, Log: slog.New(slog.NewTextHandler(logged, nil))})
	if r := join(t, br, "room:1", &at[0]); !r.Recovered || r.Position.Seq != at[0].Seq {
		t.Fatalf("%+v", r)
	}
	if !strings.Contains(logged.String(), "left by a crash") {
		t.Fatal(logged)
	}
}

// Nothing that is acknowledged is missing in silence after a restored part of a directory.
func TestPartOfADirectoryRestored(t *testing.T) {
	backup := t.TempDir()
	_, b := open(t, Config{Dir: backup})
	publish(t, b, "room:1", broker.Publication{Key: "k", Data: []byte("1")})
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	copyTree(t, backup, dir)
	_, b = open(t, Config{Dir: dir})
	publish(t, b, "room:1", broker.Publication{Key: "k", Data: []byte("2")})
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	db, err := os.ReadFile(filepath.Join(backup, databaseName))
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, databaseName), db)
	if _, err := Open(Config{Dir: dir}); !errors.Is(err, ErrLost) {
		t.Errorf("the database alone was restored: %v", err)
	}
	if err := os.Remove(filepath.Join(dir, databaseName)); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Config{Dir: dir}); !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), "no database") {
		t.Errorf("the database is gone: %v", err)
	}
	dir, _ = acked(t, 4)
	if err := os.RemoveAll(filepath.Join(dir, logName)); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Config{Dir: dir}); !errors.Is(err, ErrLost) {
		t.Errorf("the log is gone: %v", err)
	}
}
