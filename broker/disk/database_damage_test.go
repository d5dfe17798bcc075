package disk

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	bolt "go.etcd.io/bbolt"

	"weir/broker"
)

// Whatever bit of the database is flipped, what is in a channel is read as it was, or the damage is told: by the start, or
// when the channel is read. Nothing panics, and everything ends.
func TestNoFaultOfTheDatabaseIsSilent(t *testing.T) {
	dir := t.TempDir()
	_, b := open(t, Config{Dir: dir})
	const channels = 200 // so that there are pages that lead to others
	for n := range channels {
		name := fmt.Sprintf("room:%03d", n)
		publish(t, b, name, broker.Publication{Key: "k", Data: fmt.Append(nil, n), Ack: broker.AckMemory})
		publish(t, b, name, broker.Publication{Op: broker.Send, Data: fmt.Append(nil, n), IdempotencyKey: "once", Ack: broker.AckMemory})
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	whole := readAll(t, dir)
	if wrong, told := readChannels(dir, channels); wrong != nil || told != nil {
		t.Fatal(wrong, told)
	}
	path := filepath.Join(dir, databaseName)
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	step := 37
	if os.Getenv("WEIR_EVERY_BIT") != "" {
		step = 1
	}
	silent, told := 0, 0
	for at := 0; at < len(whole); at += step {
		if bytes.Count(whole[at&^63:min(len(whole), at|63)], []byte{0}) > 62 {
			continue // nothing is there
		}
		flipped := []byte{whole[at] ^ 1<<(at%8)}
		if _, err := f.WriteAt(flipped, int64(at)); err != nil {
			t.Fatal(err)
		}
		wrong, damage := readChannels(dir, channels)
		if damage != nil {
			told++
		}
		if wrong != nil && damage == nil {
			silent++
			t.Errorf("byte %d of page %d: %v", at%4096, at/4096, wrong)
		}
		if _, err := f.WriteAt(whole[at:at+1], int64(at)); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d flips told, %d silent", told, silent)
	if told == 0 {
		t.Error("no flip was told: that says nothing")
	}
}

func readAll(t *testing.T, dir string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, databaseName))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// readChannels reads all channels as a server would: wrong is what is not as it was, told is the first error.
func readChannels(dir string, channels int) (wrong, told error) {
	db, err := openDatabase(dir, true, nil)
	if err != nil {
		return nil, err
	}
	defer func() { _ = guard(nil, db.Close) }()
	// A head that is damaged has the library go back to the transaction before, which the log tells.
	var s state
	err = guard(nil, func() error {
		return db.View(func(tx *bolt.Tx) (err error) {
			s, _, err = readState(tx)
			return err
		})
	})
	if err != nil {
		return nil, err
	}
	r, err := replay(folder(filepath.Join(dir, logName)), &s)
	if err != nil || r.damage != nil {
		return nil, errors.Join(err, r.damage)
	}
	for n := range channels {
		var kept broker.Kept
		ok := false
		err := guard(nil, func() error {
			return db.View(func(tx *bolt.Tx) (err error) {
				kept, _, ok, err = load(tx, fmt.Sprintf("room:%03d", n))
				return err
			})
		})
		want := fmt.Sprint(n)
		switch {
		case err != nil && !errors.Is(err, ErrCorrupt):
			return err, nil
		case err != nil:
			told = errors.Join(told, err)
		case !ok:
			wrong = errors.Join(wrong, fmt.Errorf("room:%03d is not there", n))
		case kept.Position.Seq != 2 || len(kept.Items) != 1 || string(kept.Items[0].Data) != want || len(kept.Changes) != 2 || string(kept.Changes[1].Data) != want:
			wrong = errors.Join(wrong, fmt.Errorf("room:%03d is another: %+v", n, kept))
		}
	}
	return wrong, told
}
