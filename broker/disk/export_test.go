package disk

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"weir/broker"
	"weir/broker/record"
)

// fill stores some of everything.
func fill(t *testing.T, b *broker.Broker) {
	t.Helper()
	for n := range 30 {
		name := fmt.Sprint("room:", n%7)
		publish(t, b, name, broker.Publication{Group: "g", Key: fmt.Sprint("k", n%4), Data: fmt.Appendf(nil, `{"n":%d}`, n), TTL: time.Duration(n%3) * time.Hour})
		publish(t, b, name, broker.Publication{Op: broker.Send, Data: []byte(`"s"`), IdempotencyKey: fmt.Sprint("i", n)})
		publish(t, b, name, broker.Publication{Op: broker.Delete, Group: "g", Key: fmt.Sprint("k", (n+2)%4)})
	}
}

func exportOf(t *testing.T, dir string) string {
	t.Helper()
	v, err := OpenView(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = v.Close() }()
	var out bytes.Buffer
	if _, err := v.Export(&out, "", time.UnixMilli(0), func() {}, func(what string) { t.Error(what) }); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// killed copies a directory as a process that is killed leaves it: nothing was put into the database.
func killed(t *testing.T, dir string) string {
	t.Helper()
	to := t.TempDir()
	for _, pattern := range []string{databaseName, filepath.Join(logName, "*")} {
		files, _ := filepath.Glob(filepath.Join(dir, pattern))
		for _, file := range files {
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			rel, _ := filepath.Rel(dir, file)
			if err := os.MkdirAll(filepath.Join(to, filepath.Dir(rel)), 0o700); err != nil {
				t.Fatal(err)
			}
			write(t, filepath.Join(to, rel), b)
		}
	}
	return to
}

// What is exported and imported is exported again as the same lines, from a directory that was closed and from one
// that was not.
func TestExportImport(t *testing.T) {
	dir := t.TempDir()
	_, b := open(t, Config{Dir: dir, Interval: time.Hour})
	fill(t, b)
	crashed := killed(t, dir)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	first := exportOf(t, dir)
	if n := strings.Count(first, "\n"); n < 100 {
		t.Fatalf("%d lines", n)
	}
	if got := exportOf(t, crashed); got != first {
		t.Fatalf("the log alone says\n%s\nnot\n%s", got, first)
	}
	again := t.TempDir()
	if n, err := Import(again, strings.NewReader(first), func() {}); n != 7 || err != nil {
		t.Fatal(n, err)
	}
	if got := exportOf(t, again); got != first {
		t.Fatalf("imported\n%s\nnot\n%s", got, first)
	}
	if _, err := Import(again, strings.NewReader(first), func() {}); !errors.Is(err, errExists) {
		t.Fatalf("twice: %v", err)
	}
	if _, _, err := Compact(again, func(int64) {}); err != nil {
		t.Fatal(err)
	}
	if got := exportOf(t, again); got != first {
		t.Fatalf("compacted\n%s\nnot\n%s", got, first)
	}
}

// A reader who has seen more than a backup holds is told, and one who has not goes on.
func TestReadersOfABackup(t *testing.T) {
	for _, restore := range []string{"import", "copy"} {
		t.Run(restore, func(t *testing.T) {
			dir := t.TempDir()
			_, b := open(t, Config{Dir: dir})
			before := publish(t, b, "room:1", broker.Publication{Op: broker.Send, Data: []byte("1")})
			kept := publish(t, b, "room:1", broker.Publication{Op: broker.Send, Data: []byte("2")})
			if err := b.Close(); err != nil {
				t.Fatal(err)
			}
			backup, restored := exportOf(t, dir), killed(t, dir)
			_, b = open(t, Config{Dir: dir})
			later := publish(t, b, "room:1", broker.Publication{Op: broker.Send, Data: []byte("3")})
			if err := b.Close(); err != nil {
				t.Fatal(err)
			}
			if restore == "copy" {
				if _, _, err := Compact(restored, func(int64) {}); err != nil {
					t.Fatal(err)
				}
			} else {
				restored = t.TempDir()
				if _, err := Import(restored, strings.NewReader(backup), func() {}); err != nil {
					t.Fatal(err)
				}
			}
			_, b = open(t, Config{Dir: restored})
			publish(t, b, "room:1", broker.Publication{Op: broker.Send, Data: []byte("4")})
			if r := join(t, b, "room:1", &before); !r.Recovered || string(r.Changes) != `[{"seq":2,"op":"send","data":2},{"seq":3,"op":"send","data":4}]` {
				t.Fatalf("%+v", r)
			}
			if r := join(t, b, "room:1", &kept); !r.Recovered {
				t.Fatalf("%+v", r)
			}
			if r := join(t, b, "room:1", &later); r.Recovered || !r.Lost {
				t.Fatalf("read what was lost, and is not told: %+v", r)
			}
		})
	}
}

func TestVerifyFinds(t *testing.T) {
	dir := t.TempDir()
	_, b := open(t, Config{Dir: dir})
	fill(t, b)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	check := func() (found []string) {
		v, err := OpenView(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = v.Close() }()
		channels := 0
		if n := v.Verify(func(what string) { found = append(found, what) }, func() { channels++ }); n != len(found) || channels != 7 {
			t.Fatal(n, channels, found)
		}
		return found
	}
	if found := check(); found != nil {
		t.Fatal(found)
	}
	alter(t, dir, func(tx *bolt.Tx) error {
		k := []byte("gone:1\x00g\x00k")
		return tx.Bucket(bucketItems).Put(k, record.Seal(k, (&storedItem{1, 0, []byte("1")}).encode()))
	})
	alter(t, dir, func(tx *bolt.Tx) error {
		k, v := tx.Bucket(bucketHistory).Cursor().Seek([]byte("room:3"))
		spoilt := bytes.Clone(v)
		spoilt[len(spoilt)/2] ^= 4
		return tx.Bucket(bucketHistory).Put(bytes.Clone(k), spoilt)
	})
	found := strings.Join(check(), "\n")
	if !strings.Contains(found, "channel room:3: history at") || !strings.Contains(found, `items of channel "gone:1"`) {
		t.Fatal(found)
	}
}
