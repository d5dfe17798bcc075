package fake

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"time"

	"weir/internal/mesh"
)

// keptShelf is what the servers keep on the shelf. Guarded by Mesh.mu.
type keptShelf struct {
	made     bool
	revision uint64             // of the last write
	values   map[string][]value // by key, oldest first: what was there at some time
}

// value is what a key had from a time on; nothing with revision 0.
type value struct {
	since    time.Time
	data     []byte
	revision uint64
}

// mostValues is how many values of a key are remembered.
const mostValues = 16

// last returns what a key has.
func (k *keptShelf) last(key string) value {
	list := k.values[key]
	if len(list) == 0 {
		return value{}
	}
	return list[len(list)-1]
}

// at returns what a key had at a time.
func (k *keptShelf) at(key string, when time.Time) (v value) {
	for _, one := range k.values[key] {
		if one.since.After(when) {
			break
		}
		v = one
	}
	return v
}

// set gives a key a value; nil: none.
func (k *keptShelf) set(key string, data []byte) {
	v := value{since: time.Now(), data: data}
	if data != nil {
		k.revision++
		v.revision = k.revision
	}
	list := append(k.values[key], v)
	k.values[key] = slices.Clone(list[max(0, len(list)-mostValues):])
}

// shelf is a process's way to the shelf. It implements mesh.Shelf.
type shelf struct{ node *node }

// Shelf implements mesh.Node.
func (n *node) Shelf() mesh.Shelf { return shelf{n} }

func (s shelf) made() bool { return s.node.mesh.shelf.made }

// Make implements mesh.Shelf.
func (s shelf) Make(ctx context.Context) error {
	_, err := s.node.write(ctx, func() (uint64, error) {
		if k := &s.node.mesh.shelf; !k.made {
			k.made, k.values = true, make(map[string][]value)
		}
		return 0, nil
	})
	return err
}

// Get implements mesh.Shelf.
func (s shelf) Get(ctx context.Context, key string) (data []byte, revision uint64, err error) {
	before := s.node.before()
	if err := s.node.reach(ctx, s.made); err != nil {
		return nil, 0, err
	}
	defer s.node.mesh.mu.Unlock()
	v := s.node.mesh.shelf.at(key, before)
	return bytes.Clone(v.data), v.revision, nil
}

// Prove implements mesh.Shelf.
func (s shelf) Prove(ctx context.Context, key string, revision uint64) error {
	_, err := s.write(ctx, func(k *keptShelf) error {
		if k.last(key).revision != revision {
			return mesh.ErrConflict
		}
		return nil
	})
	return err
}

// write makes a write of the shelf, and returns its revision after that.
func (s shelf) write(ctx context.Context, f func(k *keptShelf) error) (revision uint64, err error) {
	return s.node.write(ctx, func() (uint64, error) {
		k := &s.node.mesh.shelf
		if !k.made {
			return 0, mesh.ErrAbsent
		}
		if err := f(k); err != nil {
			return 0, err
		}
		return k.revision, nil
	})
}

// Put implements mesh.Shelf.
func (s shelf) Put(ctx context.Context, expected uint64, values ...mesh.Value) (revision uint64, err error) {
	values = slices.Clone(values)
	for i, v := range values {
		values[i].Data = append([]byte{}, v.Data...)
	}
	return s.write(ctx, func(k *keptShelf) error {
		if k.last(values[len(values)-1].Key).revision != expected {
			return mesh.ErrConflict
		}
		for _, v := range values {
			k.set(v.Key, v.Data)
		}
		return nil
	})
}

// Drop implements mesh.Shelf.
func (s shelf) Drop(ctx context.Context, key string, revision uint64) error {
	_, err := s.write(ctx, func(k *keptShelf) error {
		if last := k.last(key).revision; last > 0 && last <= revision {
			k.set(key, nil)
		}
		return nil
	})
	return err
}

// Keys implements mesh.Shelf.
func (s shelf) Keys(ctx context.Context, prefix string, f func(key string) error) error {
	if err := s.node.reach(ctx, s.made); err != nil {
		return err
	}
	var keys []string
	for key := range s.node.mesh.shelf.values {
		if strings.HasPrefix(key, prefix+".") && s.node.mesh.shelf.last(key).revision > 0 {
			keys = append(keys, key)
		}
	}
	s.node.mesh.mu.Unlock()
	for _, key := range keys {
		if err := f(key); err != nil {
			return err
		}
	}
	return nil
}

// Limit implements mesh.Shelf.
func (shelf) Limit() int { return messageLimit }
