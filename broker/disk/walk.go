package disk

import (
	"bytes"
	"fmt"
	"iter"

	bolt "go.etcd.io/bbolt"

	"weir/broker/record"
)

// entries iterates over the entries of a bucket from a key on whose keys begin with prefix, in order. The loop ends
// whatever the file holds: the library trusts the pages, so keys that do not grow end it, and err is ErrCorrupt then.
// What is yielded is valid within the transaction, and the bucket must not be changed meanwhile.
func entries(bucket *bolt.Bucket, from, prefix []byte, err *error) iter.Seq2[[]byte, []byte] {
	return func(yield func(k, v []byte) bool) {
		c := bucket.Cursor()
		var last []byte
		for k, v := c.Seek(from); k != nil && bytes.HasPrefix(k, prefix); k, v = c.Next() {
			if last != nil && bytes.Compare(k, last) <= 0 {
				*err = fmt.Errorf("%s: key %q comes after %q: %w", databaseName, k, last, ErrCorrupt)
				return
			}
			if last = k; !yield(k, v) {
				return
			}
		}
	}
}

// neighbours is how many entries on either side of where a name should stand are looked at before it is believed to be
// absent: about as many as a page holds.
const neighbours = 64

// absent returns nil if a channel that is not found does not exist. The library's pages have no checksums. If what
// stands around the channel's place is out of order, a page leads elsewhere than it did; next to the place, or under
// another name, may stand the channel's entry; and nothing else of a channel that does not exist is stored.
func absent(tx *bolt.Tx, channels *bolt.Bucket, channel string) error {
	prefix := prefixOf(channel)
	for _, bucket := range [][]byte{bucketHistory, bucketItems, bucketKeys} {
		if k, _ := tx.Bucket(bucket).Cursor().Seek(prefix); bytes.HasPrefix(k, prefix) {
			return fmt.Errorf("the header is missing, but there are entries in %s: %w", bucket, ErrCorrupt)
		}
	}
	name, c := []byte(channel), channels.Cursor()
	k, v := c.Seek(name)
	if err := around(name, k, v, 1, c.Next); err != nil {
		return err
	}
	back := c.Prev
	if k, _ := c.Seek(name); k == nil {
		back = c.Last
	}
	k, v = back()
	return around(name, k, v, -1, c.Prev)
}

// around is absent for one side of the place: order is 1 for what stands behind it.
func around(name, k, v []byte, order int, next func() (k, v []byte)) error {
	last := name
	for n := 0; k != nil && n < neighbours; n++ {
		_, whole := record.Unseal(k, v)
		_, ours := record.Unseal(name, v)
		switch {
		case bytes.Compare(k, last) != order:
			return fmt.Errorf("keys %q and %q are out of order: %w", last, k, ErrCorrupt)
		case !whole && (n == 0 || ours):
			return fmt.Errorf("the entry at %q may be the damaged header: %w", k, ErrCorrupt)
		}
		last = k
		k, v = next()
	}
	return nil
}

// purge deletes the entries of a bucket whose keys begin with prefix, in order, up to one that is to be kept. It looks
// anew after each: the library's cursor stops at leaves that the same transaction has emptied.
func purge(bucket *bolt.Bucket, prefix []byte, keep func(k, v []byte) bool) error {
	c := bucket.Cursor()
	var last []byte
	for k, v := c.Seek(prefix); k != nil && bytes.HasPrefix(k, prefix); k, v = c.Seek(prefix) {
		if keep(k, v) {
			return nil
		}
		if bytes.Equal(k, last) {
			return fmt.Errorf("%s: key %q cannot be deleted: %w", databaseName, k, ErrCorrupt)
		}
		last = append(last[:0], k...)
		if err := c.Delete(); err != nil {
			return err
		}
	}
	return nil
}
