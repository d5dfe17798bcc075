package disk

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	bolt "go.etcd.io/bbolt"

	"weir/broker"
)

// pourIn publishes changes in turn to some channels and waits until the database has them and no channel is in memory.
func pourIn(t *testing.T, j *Journal, b *broker.Broker, changes, channels int) {
	t.Helper()
	data := fmt.Appendf(nil, `{"text":"%0288d"}`, 7)
	for n := range changes {
		p := broker.Publication{Op: broker.Send, Data: data, Ack: broker.AckMemory}
		for {
			_, err := b.Publish(fmt.Sprint("room:", n%channels), &p)
			if err == nil {
				break
			}
			if !errors.Is(err, broker.ErrFull) {
				t.Fatal(err)
			}
			time.Sleep(time.Millisecond)
		}
		if n%(channels*4) == 0 { // so that it takes many checkpoints
			time.Sleep(6 * time.Second)
		}
	}
	for range 2 { // with a small batch at the end: the next one is as large at first
		time.Sleep(2 * time.Minute)
		publish(t, b, "other:1", broker.Publication{Op: broker.Send, Data: []byte("1")})
	}
	time.Sleep(2 * time.Minute)
	synctest.Wait()
	if s := j.Stats(); s.Backlog != 0 || s.Queue != 0 {
		t.Fatalf("not everything is in the database: %+v", s)
	}
}

// What a process holds does not grow with what it stores, nor with what has been stored before it was started.
func TestMemoryStaysFlat(t *testing.T) {
	const channels, less, more, allowed = 500, 10_000, 100_000, 150 << 10
	var written, opened [2]float64
	for i, changes := range []int{less, more} {
		dir := t.TempDir()
		synctest.Test(t, func(t *testing.T) {
			before := heap()
			j, b := open(t, Config{Dir: dir, Policy: everything, renew: 2000})
			pourIn(t, j, b, changes, channels)
			written[i] = heap() - before
			runtime.KeepAlive(b)
			if err := b.Close(); err != nil {
				t.Fatal(err)
			}
		})
		synctest.Test(t, func(t *testing.T) {
			before := heap()
			j, b := open(t, Config{Dir: dir, Policy: everything})
			if c := join(t, b, "room:7", nil); c.Position.Seq != uint64(changes/channels) {
				t.Fatal(c.Position)
			}
			time.Sleep(5 * time.Minute) // the channel leaves memory, and the sweep has been everywhere
			opened[i] = heap() - before
			runtime.KeepAlive(j)
			runtime.KeepAlive(b)
		})
	}
	t.Logf("bytes in use with %d and %d changes: %.0f and %.0f who has written them, %.0f and %.0f who has opened them",
		less, more, written[0], written[1], opened[0], opened[1])
	for who, bytes := range map[string][2]float64{"who has written them": written, "who has opened them": opened} {
		if bytes[1]-bytes[0] > allowed {
			t.Errorf("%s holds %.0f bytes with %d changes and %.0f with %d", who, bytes[0], less, bytes[1], more)
		}
	}
}

// A list has an end, whatever is asked for and however little is stored.
func TestListEnds(t *testing.T) {
	dir := t.TempDir()
	_, b := open(t, Config{Dir: dir})
	for _, name := range []string{"a:1", "b:1", "b:2"} {
		publish(t, b, name, broker.Publication{Key: "k", Data: []byte("1")})
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	j, b := open(t, Config{Dir: dir})
	for _, test := range []struct {
		prefix, after string
		limit         int
		want          string
	}{
		{"", "", 100, "[a:1 b:1 b:2]"}, {"", "", 3, "[a:1 b:1 b:2]"}, {"", "", 2, "[a:1 b:1]"}, {"", "b:2", 9, "[]"},
		{"", "z", 9, "[]"}, {"b:", "", 9, "[b:1 b:2]"}, {"b:", "b:1", 9, "[b:2]"}, {"c", "", 9, "[]"}, {"\xff", "", 9, "[]"},
	} {
		infos, err := j.List(test.prefix, test.after, test.limit)
		names := []string{}
		for _, i := range infos {
			names = append(names, i.Name)
		}
		if fmt.Sprint(names) != test.want || err != nil {
			t.Errorf("%+v: %v, %v", test, names, err)
		}
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := j.List("", "", 1); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

// What walks over the database ends also where keys do not grow, as in a page that was altered.
func TestWalkEndsInADamagedDatabase(t *testing.T) {
	dir := t.TempDir()
	_, b := open(t, Config{Dir: dir})
	for _, name := range []string{"room:1", "room:2", "room:3"} {
		publish(t, b, name, broker.Publication{Key: "k", Data: []byte("1"), IdempotencyKey: "i"})
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, databaseName)
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	write(t, path, bytes.ReplaceAll(raw, []byte("room:2"), []byte("room:1"))) // every key of it stands twice
	db, err := openDatabase(dir, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	err = db.Update(func(tx *bolt.Tx) error {
		for _, name := range [][]byte{bucketChannels, bucketHistory, bucketItems, bucketKeys} {
			var err error
			for range entries(tx.Bucket(name), nil, nil, &err) { //nolint:revive // only the end counts
			}
			if !errors.Is(err, ErrCorrupt) {
				t.Errorf("%s: %v", name, err)
			}
			if err := purge(tx.Bucket(name), nil, func(_, _ []byte) bool { return false }); err != nil && !errors.Is(err, ErrCorrupt) {
				t.Errorf("purge %s: %v", name, err)
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// The database is opened anew under readers and the one who writes, and nobody notices.
func TestRenew(t *testing.T) {
	j, b := open(t, Config{Dir: t.TempDir(), Checkpoint: 4 << 10, renew: 1})
	for n := range 20 {
		publish(t, b, fmt.Sprint("room:", n), broker.Publication{Op: broker.Send, Data: []byte("1")})
	}
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() { // until stop is closed
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				if _, _, err := j.Load(fmt.Sprint("room:", n%20), "fresh"); err != nil {
					t.Error(err)
					return
				}
				if _, err := j.List("room:", "", 5); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for n := range 400 {
		publish(t, b, fmt.Sprint("room:", n%20), broker.Publication{Op: broker.Send, Data: fmt.Appendf(nil, `"%0400d"`, n)})
	}
	close(stop)
	readers.Wait()
	if n := j.Stats().Checkpoints; n < 3 {
		t.Errorf("%d checkpoints: that says nothing", n)
	}
	for n := range 20 {
		if r := join(t, b, fmt.Sprint("room:", n), nil); r.Position.Seq != 21 {
			t.Errorf("room:%d is at %d", n, r.Position.Seq)
		}
	}
}

// A database that cannot be opened anew says so until it can be; without a descriptor to spare the old one stays.
func TestRenewFails(t *testing.T) {
	dir := t.TempDir()
	d := &database{dir: dir}
	var err error
	if d.bolt, err = openDatabase(dir, false, nil); err != nil {
		t.Fatal(err)
	}
	look := func() error { return d.view(func(*bolt.Tx) error { return nil }) }
	path, away := filepath.Join(dir, databaseName), filepath.Join(dir, "away")
	if err := os.Rename(path, away); err != nil {
		t.Fatal(err)
	}
	if err := d.renew(0); err != nil || look() != nil {
		t.Errorf("without a file to open: %v, then %v", err, look())
	}
	if err := os.WriteFile(path, make([]byte, 64<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := d.renew(0); !errors.Is(err, ErrCorrupt) || !errors.Is(look(), ErrFailing) {
		t.Errorf("with a damaged file: %v, then %v", err, look())
	}
	if err := os.Rename(away, path); err != nil {
		t.Fatal(err)
	}
	if err := d.renew(1 << 40); err != nil || look() != nil {
		t.Errorf("once it is mended: %v, then %v", err, look())
	}
	if err := d.close(); err != nil || !errors.Is(look(), ErrClosed) {
		t.Errorf("closed: %v, then %v", err, look())
	}
	if err := d.renew(0); err != nil || !errors.Is(look(), ErrClosed) {
		t.Errorf("closed for good: %v, then %v", err, look())
	}
}
