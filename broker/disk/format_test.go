package disk

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"weir/broker"
)

// oldDirectory is what a server of format version 1 left when it was killed, with some changes in the database and later
// ones in the log.
func oldDirectory(t *testing.T) (dir string) { return directoryOf(t, oldVersion) }

func directoryOf(t *testing.T, version string) (dir string) {
	t.Helper()
	packed, err := os.Open(filepath.Join("testdata", "format-"+version+".tar.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = packed.Close() }()
	unpacked, err := gzip.NewReader(packed)
	if err != nil {
		t.Fatal(err)
	}
	dir = t.TempDir()
	for r := tar.NewReader(unpacked); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return dir
		}
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, filepath.Clean("/"+h.Name))
		if h.Typeflag == tar.TypeDir {
			if err := os.MkdirAll(path, 0o700); err != nil {
				t.Fatal(err)
			}
			continue
		}
		b, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		write(t, path, b)
	}
}

// A directory of version 1 is taken over: what it has is there, at the positions that its readers know, and what comes
// then continues it, also after further crashes.
func TestTakesOverVersion1(t *testing.T) {
	dir := oldDirectory(t)
	now := time.Date(2026, 11, 28, 20, 59, 30, 0, time.UTC)
	config := Config{Now: func() time.Time { return now }, Interval: time.Hour}
	v, err := OpenView(dir)
	if err != nil || v.Summary().Format != oldVersion {
		t.Fatal(err)
	}
	if n := v.Verify(func(what string) { t.Error(what) }, func() {}); n > 0 {
		t.Fatal(n)
	}
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	extra := uint64(0)
	for range 3 {
		config.Dir = dir
		j, b := open(t, config)
		for _, test := range []struct {
			channel string
			at      broker.Position
			head    uint64
			state   string
			changes string
		}{
			{"kept:a", broker.Position{Epoch: "inu3fhtsednmj", Seq: 1}, 3, `{"items":{"k":3}}`, `[{"seq":2,"op":"send","data":2},{"seq":3,"op":"set","group":"items","key":"k","data":3}]`},
			{"kept:b", broker.Position{Epoch: "inu3fhtsednml", Seq: 2}, 3, `{"g":{"y":{"n":2}}}`, `[{"seq":3,"op":"delete","group":"g","key":"x"}]`},
			{"kept:c", broker.Position{Epoch: "inu3fhtsednmn", Seq: 1}, 1 + extra, `{}`, `[]`},
		} {
			r := join(t, b, test.channel, &test.at)
			if !r.Recovered || r.Position.Seq != test.head || extra == 0 && string(r.Changes) != test.changes {
				t.Fatalf("%s: %+v %s", test.channel, r, r.Changes)
			}
			if r := join(t, b, test.channel, nil); string(r.State) != test.state {
				t.Fatalf("%s: %s", test.channel, r.State)
			}
		}
		if at := publish(t, b, "kept:a", broker.Publication{Op: broker.Send, Data: []byte("9"), IdempotencyKey: "once"}); at.Seq != 1 {
			t.Fatalf("the idempotency key is not known: %v", at)
		}
		publish(t, b, "kept:c", broker.Publication{Op: broker.Send, Data: []byte("1")})
		extra++
		dir = crash(t, j)
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		if s := stateOf(t, dir); s.format != formatVersion || s.salt == 0 {
			t.Fatalf("%+v", s)
		}
	}
}

// A directory of version 2 is one of this version that has no appends, and gets the number that keeps older programs from those.
func TestOpensVersion2(t *testing.T) {
	dir := directoryOf(t, withoutAppends)
	v, err := OpenView(dir)
	if err != nil || v.Summary().Format != withoutAppends {
		t.Fatal(err)
	}
	if n := v.Verify(func(what string) { t.Error(what) }, func() {}); n > 0 {
		t.Fatal(n)
	}
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 11, 29, 18, 51, 0, 0, time.UTC)
	text := "text"
	for range 3 {
		j, b := open(t, Config{Dir: dir, Now: func() time.Time { return now }, Interval: time.Hour})
		at := &broker.Position{Epoch: "v4ibncagzb6t1", Seq: 1}
		if r := join(t, b, "kept:a", at); !r.Recovered || string(r.Changes) != `[{"seq":2,"op":"send","data":2},{"seq":3,"op":"set","group":"items","key":"k","data":3}]` {
			t.Fatalf("%+v %s", r, r.Changes)
		}
		if r := join(t, b, "kept:b", &broker.Position{Epoch: "v4ibncagzb6t2", Seq: 2}); !r.Recovered {
			t.Fatalf("%+v", r)
		}
		if r := join(t, b, "kept:b", nil); string(r.State) != `{"g":{"x":"`+text+`","y":{"n":2}}}` {
			t.Fatalf("%+v %s", r, r.State)
		}
		publish(t, b, "kept:b", broker.Publication{Op: broker.Append, Group: "g", Key: "x", Data: []byte(`" more"`)})
		text += " more"
		dir = crash(t, j)
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		alter(t, dir, func(tx *bolt.Tx) error {
			if got := string(tx.Bucket(bucketMeta).Get(keyFormat)); got != formatVersion {
				t.Error(got)
			}
			return nil
		})
	}
}

// Of what an older program left at the end of a log nobody can tell whether it was torn off or damaged, and the log says that.
func TestEndOfAVersion1Log(t *testing.T) {
	dir := oldDirectory(t)
	spoilLast(t, dir)
	logged := new(bytes.Buffer)
	_, b := open(t, Config{Dir: dir, Log: slog.New(slog.NewTextHandler(logged, nil))})
	if s := logged.String(); strings.Contains(s, "left by a crash") || !strings.Contains(s, "version 1 of the format cannot distinguish them") {
		t.Fatal(s)
	}
	if r := join(t, b, "kept:c", nil); r.Position.Seq != 0 {
		t.Fatalf("%+v", r)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}

	// What is not at the end is damage as ever.
	dir = oldDirectory(t)
	path := filepath.Join(dir, logName, segmentName(1))
	log, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	log[len(log)-100] ^= 1
	write(t, path, log)
	if _, err := Open(Config{Dir: dir}); !errors.Is(err, ErrLost) {
		t.Fatal(err)
	}
}

// A start that is cut off while it takes a directory over leaves one that the next start takes over.
func TestTakeOverIsCutOff(t *testing.T) {
	dir := oldDirectory(t)
	log, old := folder(filepath.Join(dir, logName)), stateOf(t, dir)
	r, err := replay(log, &old)
	if err != nil || old.format != oldVersion || r.last.number != 7 {
		t.Fatalf("%+v, %+v, %v", old, r, err)
	}
	l, err := newLedger(log, 2, r.last) // and no word of it in the database
	if err != nil {
		t.Fatal(err)
	}
	if err := l.file.Close(); err != nil {
		t.Fatal(err)
	}
	_, b := open(t, Config{Dir: dir})
	if r := join(t, b, "kept:c", nil); r.Position.Seq != 1 {
		t.Fatalf("%+v", r)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	alter(t, dir, func(tx *bolt.Tx) error {
		if got := string(tx.Bucket(bucketMeta).Get(keyFormat)); got != formatVersion {
			t.Error(got)
		}
		return nil
	})
}
