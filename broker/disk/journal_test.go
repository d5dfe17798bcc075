package disk

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	bolt "go.etcd.io/bbolt"

	"weir/broker"
	"weir/broker/record"
)

func TestReopen(t *testing.T) {
	dir := t.TempDir()
	_, b := open(t, Config{Dir: dir})
	publish(t, b, "room:1", broker.Publication{Group: "g", Key: "a", Data: []byte("1")})
	publish(t, b, "room:1", broker.Publication{Group: "g", Key: "b", Data: []byte("2")})
	seen := publish(t, b, "room:1", broker.Publication{Op: broker.Send, Data: []byte(`"x"`), IdempotencyKey: "k"})
	publish(t, b, "room:1", broker.Publication{Op: broker.Delete, Group: "g", Key: "a"})
	last := publish(t, b, "room:1", broker.Publication{Group: "g", Key: "b", Data: []byte("3")})
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if files, _ := os.ReadDir(filepath.Join(dir, logName)); len(files) != 1 || !strings.HasSuffix(files[0].Name(), ledgerSuffix) {
		t.Fatalf("an orderly end leaves %v", files)
	}

	_, b = open(t, Config{Dir: dir})
	r := join(t, b, "room:1", nil)
	if r.Position != last || string(r.State) != `{"g":{"b":3}}` {
		t.Fatalf("%v %s", r.Position, r.State)
	}
	r = join(t, b, "room:1", &broker.Position{Epoch: last.Epoch, Seq: 3})
	if want := `[{"seq":4,"op":"delete","group":"g","key":"a"},{"seq":5,"op":"set","group":"g","key":"b","data":3}]`; !r.Recovered || string(r.Changes) != want {
		t.Fatalf("%s", r.Changes)
	}
	if at := publish(t, b, "room:1", broker.Publication{Op: broker.Send, Data: []byte(`"x"`), IdempotencyKey: "k"}); at != seen {
		t.Fatalf("the key answers %v, not %v", at, seen)
	}
}

// What changes nothing has a key too.
func TestKeyOfNothing(t *testing.T) {
	dir := t.TempDir()
	_, b := open(t, Config{Dir: dir})
	at := publish(t, b, "room:1", broker.Publication{Op: broker.Delete, Group: "g", Key: "a", IdempotencyKey: "k"})
	publish(t, b, "room:1", broker.Publication{Group: "g", Key: "a", Data: []byte("1")})
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	_, b = open(t, Config{Dir: dir})
	if again := publish(t, b, "room:1", broker.Publication{Op: broker.Delete, Group: "g", Key: "a", IdempotencyKey: "k"}); again != at {
		t.Fatalf("the repeated delete answers %v, not %v", again, at)
	}
	if data, _, ok := b.Item("room:1", "g", "a"); !ok || string(data) != "1" {
		t.Fatalf("the repeated delete deleted what came after it: %q", data)
	}
}

func TestKeysAreBounded(t *testing.T) {
	dir := t.TempDir()
	policy := durably(broker.Policy{IdempotencyKeys: 5})
	for range 3 {
		_, b := open(t, Config{Dir: dir, Policy: policy})
		for n := range 40 {
			publish(t, b, "room:1", broker.Publication{Op: broker.Send, Data: []byte("1"), IdempotencyKey: fmt.Sprint(time.Now().UnixNano(), n)})
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
	}
	look(t, dir, func(tx *bolt.Tx) {
		keys, err := loadKeys(tx.Bucket(bucketKeys), "room:1")
		if err != nil || len(keys) != 5 {
			t.Fatalf("%d keys are kept, %v", len(keys), err)
		}
	})
}

// look opens the database of a directory that nobody uses.
func look(t *testing.T, dir string, f func(tx *bolt.Tx)) {
	t.Helper()
	db, err := openDatabase(dir, true, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	_ = db.View(func(tx *bolt.Tx) error { f(tx); return nil })
}

func TestExpiryOverRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		wall := time.Now()
		clock := func() time.Time { return wall }
		_, b := open(t, Config{Dir: dir, Now: clock})
		publish(t, b, "room:1", broker.Publication{Key: "short", Data: []byte("1"), TTL: time.Minute})
		publish(t, b, "room:1", broker.Publication{Key: "long", Data: []byte("2"), TTL: time.Hour})
		publish(t, b, "room:1", broker.Publication{Key: "ever", Data: []byte("3")})
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		wall = wall.Add(time.Minute) // the machine was off meanwhile
		_, b = open(t, Config{Dir: dir, Now: clock})
		r := join(t, b, "room:1", nil)
		if string(r.State) != `{"items":{"long":2,"ever":3}}` || r.Position.Seq != 4 {
			t.Fatalf("%v %s", r.Position, r.State)
		}
		if history, _, _, _ := b.History("room:1", 0, 1); string(history) != `[{"seq":4,"op":"delete","group":"items","key":"short","cause":"expired"}]` {
			t.Fatalf("%s", history)
		}
		time.Sleep(59*time.Minute - time.Second)
		if r := join(t, b, "room:1", nil); string(r.State) != `{"items":{"long":2,"ever":3}}` {
			t.Fatalf("before its time: %s", r.State)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if r := join(t, b, "room:1", nil); string(r.State) != `{"items":{"ever":3}}` {
			t.Fatalf("after its time: %s", r.State)
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

// Channels that nobody uses leave memory, and come back as they were.
func TestIdleChannelsLeaveMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j, b := open(t, Config{Dir: t.TempDir()})
		var last broker.Position
		for n := range 200 {
			last = publish(t, b, fmt.Sprint("room:", n), broker.Publication{Key: "a", Data: []byte("1")})
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if s := b.Stats(); s.Channels != 0 || s.Items != 0 || s.Bytes != 0 {
			t.Fatalf("idle, but %+v", s)
		}
		if r := join(t, b, "room:199", &last); !r.Recovered || r.Position != last {
			t.Fatalf("%+v after %v", r, last)
		}
		if s := b.Stats(); s.Channels != 1 || j.Stats().Loads != 1 {
			t.Fatalf("one is used, but %+v", s)
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

// A channel that is said to be in memory stays there for half a minute, and one that is not does not come by asking.
func TestReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j, b := open(t, Config{Dir: t.TempDir()})
		publisher := b.Publisher()
		if publisher.Ready("room:1") {
			t.Fatal("before there is one")
		}
		publish(t, b, "room:1", broker.Publication{Key: "a", Data: []byte("1")})
		time.Sleep(20 * time.Second)
		if !publisher.Ready("room:1") {
			t.Fatal("not in memory")
		}
		time.Sleep(29 * time.Second)
		if receipt, err := publisher.Submit("room:1", &broker.Publication{Key: "a", Data: []byte("2")}); err != nil || receipt.Position.Seq != 2 || receipt.Done == nil {
			t.Fatalf("%+v %v", receipt, err)
		} else if <-receipt.Done; j.Stats().Loads != 0 {
			t.Fatal("it was loaded")
		}
		time.Sleep(2 * time.Minute)
		if publisher.Ready("room:1") || j.Stats().Loads != 0 {
			t.Fatal("still in memory")
		}
		if err := b.Load("room:1"); err != nil || !publisher.Ready("room:1") {
			t.Fatal(err)
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

// A channel with nothing left in it keeps its position for a day; then it is forgotten.
func TestPositionOutlivesHistory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, b := open(t, Config{Dir: t.TempDir()})
		at := publish(t, b, "room:1", broker.Publication{Op: broker.Send, Data: []byte("1")})
		time.Sleep(20 * time.Hour)
		if r := join(t, b, "room:1", &at); !r.Recovered || r.Position != at {
			t.Fatalf("nothing was missed, but %+v", r)
		}
		time.Sleep(28 * time.Hour)
		synctest.Wait()
		if r := join(t, b, "room:1", &at); r.Recovered || r.Position.Epoch == at.Epoch {
			t.Fatalf("kept for ever: %+v", r)
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

// The sweep lets go of histories that are too old, in channels that nobody loads.
func TestSweep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		_, b := open(t, Config{Dir: dir, Policy: durably(broker.Policy{HistoryTTL: time.Hour})})
		for range 100 {
			publish(t, b, "room:1", broker.Publication{Op: broker.Send, Data: fmt.Appendf(nil, `"%0200d"`, 1)})
		}
		at := publish(t, b, "room:1", broker.Publication{Key: "a", Data: []byte("1")})
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		look(t, dir, func(tx *bolt.Tx) {
			h, ok, err := readHeader(tx.Bucket(bucketChannels), "room:1")
			if err != nil || !ok || h.first != h.seq+1 || h.seq != at.Seq || h.items != 1 {
				t.Errorf("%+v, %v, %v", h, ok, err)
			}
			if k, _ := tx.Bucket(bucketHistory).Cursor().First(); k != nil {
				t.Errorf("history is left at %q", k)
			}
		})
	})
}

func TestSecondProcess(t *testing.T) {
	dir := t.TempDir()
	_, b := open(t, Config{Dir: dir})
	if j, err := Open(Config{Dir: dir}); !errors.Is(err, ErrInUse) {
		t.Fatalf("%v, %v", j, err)
	}
	publish(t, b, "room:1", broker.Publication{Key: "a", Data: []byte("1")})
}

func TestOpenRefuses(t *testing.T) {
	tests := []struct {
		name string
		do   func(t *testing.T, dir string)
		want error
		text string
	}{
		{"a version of the future", func(t *testing.T, dir string) {
			alter(t, dir, func(tx *bolt.Tx) error { return tx.Bucket(bucketMeta).Put(keyFormat, []byte("4")) })
		}, ErrFormat, `version "4", this program knows "3" and takes over "2" and "1"`},
		{"a database of something else", func(t *testing.T, dir string) {
			alter(t, dir, func(tx *bolt.Tx) error {
				_, err := tx.CreateBucket([]byte("theirs"))
				return errors.Join(err, tx.DeleteBucket(bucketMeta))
			})
		}, ErrFormat, "not a database of weir"},
		{"a damaged state", func(t *testing.T, dir string) {
			alter(t, dir, func(tx *bolt.Tx) error { return tx.Bucket(bucketMeta).Put(keyState, []byte("nonsense")) })
		}, ErrCorrupt, "state of weir.db"},
		{"a database that is none", func(t *testing.T, dir string) {
			write(t, filepath.Join(dir, databaseName), []byte(strings.Repeat("nonsense", 4096)))
		}, ErrCorrupt, databaseName},
		{"a log without its database", func(t *testing.T, dir string) {
			if err := os.Remove(filepath.Join(dir, databaseName)); err != nil {
				t.Fatal(err)
			}
			write(t, filepath.Join(dir, logName, segmentName(1)), frames(1, entry{}, 1))
		}, ErrCorrupt, "no database"},
		{"a gap in the log", func(t *testing.T, dir string) {
			s := stateOf(t, dir)
			write(t, filepath.Join(dir, logName, segmentName(1)), frames(s.salt, entry{s.stored, s.seal}, 100))
		}, ErrCorrupt, "batch 100 follows"},
		{"a hole in the log", func(t *testing.T, dir string) {
			s := stateOf(t, dir)
			b := frames(s.salt, entry{s.stored, s.seal}, 2, 3)
			b[record.FrameHeader+1] ^= 1
			write(t, filepath.Join(dir, logName, segmentName(1)), b)
		}, ErrCorrupt, "at byte 0: batch 2 cannot be read; batches 2 to 2 were on disk: acknowledged changes are lost"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			_, b := open(t, Config{Dir: dir})
			publish(t, b, "room:1", broker.Publication{Key: "a", Data: []byte("1")})
			if err := b.Close(); err != nil {
				t.Fatal(err)
			}
			test.do(t, dir)
			j, err := Open(Config{Dir: dir})
			if err == nil {
				_ = j.Close()
			}
			if !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.text) {
				t.Fatalf("%v", err)
			}
		})
	}
}

// frames are batches with one change each, which continue one another and the one before.
func frames(salt uint32, before entry, numbers ...uint64) (all []byte) {
	for _, number := range numbers {
		b := record.AppendChange(make([]byte, record.FrameHeader), "room:1", broker.Position{Epoch: "e", Seq: number}, &broker.Entry{Op: broker.Send, Data: []byte("1")}, time.UnixMilli(1))
		before = entry{number, record.PutHeader(b, number, before.seal, salt)}
		all = append(all, b...)
	}
	return all
}

// stateOf is what the database of a directory that nobody uses says.
func stateOf(t *testing.T, dir string) (s state) {
	t.Helper()
	alter(t, dir, func(tx *bolt.Tx) (err error) {
		s, _, err = readState(tx)
		return err
	})
	return s
}

func write(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// alter changes the database of a directory that nobody uses.
func alter(t *testing.T, dir string, f func(tx *bolt.Tx) error) {
	t.Helper()
	db, err := openDatabase(dir, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(db.Update(f), db.Close()); err != nil {
		t.Fatal(err)
	}
}

// A channel that is damaged is refused, and tells why; the others go on. Deleting it makes room for a new one.
func TestDamagedChannel(t *testing.T) {
	for _, bucket := range [][]byte{bucketChannels, bucketHistory, bucketItems, bucketKeys} {
		t.Run(string(bucket), func(t *testing.T) {
			dir := t.TempDir()
			_, b := open(t, Config{Dir: dir})
			for _, name := range []string{"room:1", "room:2"} {
				publish(t, b, name, broker.Publication{Key: "a", Data: []byte("1"), IdempotencyKey: "k"})
			}
			if err := b.Close(); err != nil {
				t.Fatal(err)
			}
			alter(t, dir, func(tx *bolt.Tx) error {
				c := tx.Bucket(bucket).Cursor()
				k, v := c.Seek([]byte("room:1"))
				spoilt := append([]byte(nil), v...)
				spoilt[len(spoilt)-1] ^= 1
				return tx.Bucket(bucket).Put(append([]byte(nil), k...), spoilt)
			})
			j, b := open(t, Config{Dir: dir})
			if _, err := b.Publish("room:1", &broker.Publication{Op: broker.Send, Data: []byte("1")}); !errors.Is(err, ErrCorrupt) {
				t.Fatalf("published: %v", err)
			}
			if err := b.Load("room:1"); !errors.Is(err, ErrCorrupt) {
				t.Fatalf("readable: %v", err)
			}
			if j.Stats().Damaged == 0 {
				t.Fatal("not counted")
			}
			publish(t, b, "room:2", broker.Publication{Key: "b", Data: []byte("2")})
			if _, err := b.Drop("room:1"); err != nil {
				t.Fatal(err)
			}
			at := publish(t, b, "room:1", broker.Publication{Key: "c", Data: []byte("3")})
			if err := b.Close(); err != nil {
				t.Fatal(err)
			}
			_, b = open(t, Config{Dir: dir})
			if r := join(t, b, "room:1", nil); r.Position != at || string(r.State) != `{"items":{"c":3}}` {
				t.Fatalf("%+v", r)
			}
		})
	}
}
