package disk

import (
	"bytes"
	"fmt"
	"iter"

	bolt "go.etcd.io/bbolt"
)

// entries are the entries of a bucket from a key on whose keys begin with prefix, in order. The loop has an end whatever
// the file holds: the library believes what a page says of its neighbours, so keys that do not grow end it, and err is
// ErrCorrupt then. What is yielded is valid within the transaction, and the bucket must not be changed meanwhile.
func entries(bucket *bolt.Bucket, from, prefix []byte, err *error) iter.Seq2[[]byte, []byte] {
	return func(yield func(k, v []byte) bool) {
		c := bucket.Cursor()
		var last []byte
		for k, v := c.Seek(from); k != nil && bytes.HasPrefix(k, prefix); k, v = c.Next() {
			if last != nil && bytes.Compare(k, last) <= 0 {
				*err = fmt.Errorf("%s: key %q stands behind %q: %w", databaseName, k, last, ErrCorrupt)
				return
			}
			if last = k; !yield(k, v) {
				return
			}
		}
	}
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
