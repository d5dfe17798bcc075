package disk

import (
	"encoding/binary"
	"fmt"
	"io"

	bolt "go.etcd.io/bbolt"
)

// The parts of a page of the database that checkTrees reads (bbolt's format, version 2).
const (
	pageHeader = 16 // id, 8 bytes; flags, 2; count of entries, 2; how many pages more it covers, 4
	branchSize = 16 // of an entry of a branch: where its key lies, 4; length of the key, 4; id of the child, 8

	flagBranch = 1
	flagLeaf   = 2

	deepest = 32 // levels of a tree; anything deeper leads in a circle
)

// checkTrees returns an error if the pages that lead to others lead in a circle: the library follows them until the
// stack is full, which ends the process. It reads those pages alone, about one in a hundred.
func checkTrees(tx *bolt.Tx, file io.ReaderAt) error {
	t := trees{file: file, size: int64(tx.DB().Info().PageSize), branches: make(map[uint64]bool)}
	t.most = uint64(tx.Size() / t.size)
	for _, name := range [][]byte{bucketChannels, bucketHistory, bucketItems, bucketKeys} {
		bucket := tx.Bucket(name)
		if bucket == nil || bucket.Root() == 0 { // it is a part of the page that names it
			continue
		}
		if err := t.check(uint64(bucket.Root())); err != nil {
			return fmt.Errorf("%s: %s: %w: %w", databaseName, name, err, ErrCorrupt)
		}
	}
	for _, id := range t.lowest { // now that all branches are known
		children, err := t.branch(id)
		if err != nil {
			return err
		}
		for _, child := range children {
			if t.branches[child] {
				return fmt.Errorf("%s: page %d leads to page %d, which leads to others itself: %w", databaseName, id, child, ErrCorrupt)
			}
		}
	}
	return nil
}

// trees belongs to one goroutine.
type trees struct {
	file     io.ReaderAt
	size     int64  // of a page
	most     uint64 // pages of the file
	branches map[uint64]bool
	lowest   []uint64 // branches that lead to leaves
}

// check looks at the branches of one tree, level by level: all leaves of a tree are equally deep.
func (t *trees) check(root uint64) error {
	flags, _, err := t.head(root)
	if err != nil || flags == flagLeaf {
		return err
	}
	for level, depth := []uint64{root}, 0; ; depth++ {
		if depth > deepest {
			return fmt.Errorf("page %d leads in a circle", root)
		}
		var next []uint64
		for _, id := range level {
			if t.branches[id] {
				return fmt.Errorf("two pages lead to page %d", id)
			}
			t.branches[id] = true
			children, err := t.branch(id)
			if err != nil {
				return err
			}
			next = append(next, children...)
		}
		kind := uint16(0)
		for _, id := range []uint64{next[0], next[len(next)/2], next[len(next)-1]} {
			flags, _, err := t.head(id)
			if err != nil {
				return err
			}
			if kind != 0 && flags != kind {
				return fmt.Errorf("page %d has another type than its neighbours", id)
			}
			kind = flags
		}
		if kind == flagLeaf {
			t.lowest = append(t.lowest, level...)
			return nil
		}
		level = next
	}
}

// head reads the header of a page of a tree.
func (t *trees) head(id uint64) (flags, count uint16, err error) {
	if id < 2 || id >= t.most {
		return 0, 0, fmt.Errorf("there is no page %d", id)
	}
	head := make([]byte, pageHeader)
	if _, err := t.file.ReadAt(head, int64(id)*t.size); err != nil {
		return 0, 0, fmt.Errorf("page %d: %w", id, err)
	}
	flags, count = binary.NativeEndian.Uint16(head[8:]), binary.NativeEndian.Uint16(head[10:])
	if binary.NativeEndian.Uint64(head) != id || flags != flagBranch && flags != flagLeaf {
		return 0, 0, fmt.Errorf("page %d is not a page of a tree", id)
	}
	return flags, count, nil
}

// branch is where a page leads.
func (t *trees) branch(id uint64) (children []uint64, err error) {
	flags, count, err := t.head(id)
	if err == nil && (flags != flagBranch || count == 0) {
		err = fmt.Errorf("page %d leads to no other page", id)
	}
	if err != nil {
		return nil, err
	}
	entries := make([]byte, int(count)*branchSize)
	if _, err := t.file.ReadAt(entries, int64(id)*t.size+pageHeader); err != nil {
		return nil, fmt.Errorf("page %d: %w", id, err)
	}
	for ; len(entries) > 0; entries = entries[branchSize:] {
		children = append(children, binary.NativeEndian.Uint64(entries[8:]))
	}
	return children, nil
}
