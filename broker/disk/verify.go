package disk

import (
	"bytes"
	"fmt"

	bolt "go.etcd.io/bbolt"

	"weir/broker"
)

// Verify reads everything in the directory and calls report for each problem; progress is called after each channel. It
// returns the number of problems.
func (v *View) Verify(report func(what string), progress func()) (wrong int) {
	say := func(format string, args ...any) {
		wrong++
		report(fmt.Sprintf(format, args...))
	}
	if v.log.damage != nil {
		say("%v", v.log.damage)
	}
	err := v.db.view(func(tx *bolt.Tx) error {
		for err := range tx.Check() {
			say("%s: %v", databaseName, err)
		}
		return nil
	})
	if err != nil {
		say("%s: %v", databaseName, err)
		return wrong // what is in it makes no sense without it
	}
	err = v.Each("", func(name string, _ broker.Kept, err error) error {
		if err != nil {
			say("channel %s: %v", name, err)
		}
		progress()
		return nil
	})
	if err == nil {
		err = v.db.view(func(tx *bolt.Tx) error {
			orphans(tx, say)
			return nil
		})
	}
	if err != nil {
		say("%s: %v", databaseName, err)
	}
	return wrong
}

// orphans finds what belongs to no channel.
func orphans(tx *bolt.Tx, say func(format string, args ...any)) {
	channels := tx.Bucket(bucketChannels)
	for _, bucket := range [][]byte{bucketHistory, bucketItems, bucketKeys} {
		c := tx.Bucket(bucket).Cursor()
		var last []byte
		for k, _ := c.First(); k != nil; {
			if bytes.Compare(k, last) <= 0 && last != nil {
				say("%s of %s: key %q comes after %q", bucket, databaseName, k, last)
				break
			}
			last = k
			name, _, ok := bytes.Cut(k, []byte{0})
			if !ok || channels.Get(name) == nil {
				say("%s of channel %q, which does not exist", bucket, name)
			}
			k, _ = c.Seek(append(bytes.Clone(name), 1)) // the next channel's
		}
	}
}
