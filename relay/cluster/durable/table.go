package durable

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"weir/broker/ledger"
)

// table is what is known of the rows of this package. It may lag behind: what is written on the strength of it is written by compare-and-set.
type table struct {
	mu     sync.Mutex
	slots  map[int]slotRow
	refs   map[int]refsRow // by partition
	shelf  shelfRow
	seen   uint64 // revision up to which all rows are known
	unread string // key of a row that another version has written; "": none
}

// slotRow says whose a slot is.
type slotRow struct {
	Node     string `json:"node"`
	Session  string `json:"session"`
	Made     bool   `json:"made"` // its log is there, whatever servers say that have just started
	revision uint64
}

// shelfRow says whether the shelf was made, as slotRow does of a log.
type shelfRow struct {
	Made     bool `json:"made"`
	revision uint64
}

// refsRow is where to read what the shelf may lack of a partition.
type refsRow struct {
	Order      uint64       `json:"order"` // of the last ref ever
	Generation uint64       `json:"generation"`
	Refs       []ledger.Ref `json:"refs"`
	Seed       string       `json:"seed,omitempty"` // of this generation: see ledger.Claim
	revision   uint64
	unsure     bool // this process has tried to write another one since, which may be there
}

func newTable() table { return table{slots: make(map[int]slotRow), refs: make(map[int]refsRow)} }

// The keys of the rows, or what they begin with.
const (
	slotPrefix = "s."
	refsPrefix = "l."
	shelfKey   = "shelf"
)

// Row takes a row of the table, in the order in which they were written. It reports whether it is of this package.
func (d *Durable) Row(key string, value []byte, revision uint64) bool {
	if d == nil {
		return false
	}
	d.table.mu.Lock()
	defer d.table.mu.Unlock()
	d.table.seen = max(d.table.seen, revision)
	return d.table.take(key, value, revision)
}

// take takes a row, unless a later one is known. Called with mu held.
func (t *table) take(key string, value []byte, revision uint64) bool {
	var err error
	if n, ok := numbered(key, slotPrefix); ok {
		if r := (slotRow{revision: revision}); t.slots[n].revision < revision {
			if err = json.Unmarshal(value, &r); err == nil {
				t.slots[n] = r
			}
		}
	} else if p, ok := numbered(key, refsPrefix); ok {
		if r := (refsRow{revision: revision}); t.refs[p].revision < revision {
			if err = json.Unmarshal(value, &r); err == nil {
				t.refs[p] = r
			}
		}
	} else if key == shelfKey {
		if r := (shelfRow{revision: revision}); t.shelf.revision < revision {
			if err = json.Unmarshal(value, &r); err == nil {
				t.shelf = r
			}
		}
	} else {
		return false
	}
	if err != nil { // not as if it were not there
		t.unread = key
	} else if t.unread == key {
		t.unread = ""
	}
	return true
}

// trouble is why nothing can be done by the table; nil: nothing is. Called with mu held.
func (t *table) trouble() error {
	if t.unread != "" {
		return fmt.Errorf("row %q of the cluster's table: %w: run the same version on all nodes", t.unread, ledger.ErrFormat)
	}
	return nil
}

func numbered(key, prefix string) (int, bool) {
	text, ok := strings.CutPrefix(key, prefix)
	n, err := strconv.Atoi(text)
	return n, ok && err == nil && n >= 0
}

// row returns the refs of a partition.
func (t *table) row(p int) refsRow {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.refs[p]
}

// update writes a row, and knows of it at once.
func (d *Durable) update(ctx context.Context, key string, row any, revision uint64) error {
	value, err := json.Marshal(row)
	if err != nil {
		return err
	}
	written, err := d.mesh.Update(ctx, key, value, revision)
	if err != nil {
		return fmt.Errorf("write %s: %w", key, err)
	}
	d.table.mu.Lock()
	defer d.table.mu.Unlock()
	d.table.take(key, value, written)
	return nil
}

// updateRefs writes the refs of a partition.
func (d *Durable) updateRefs(ctx context.Context, p int, r refsRow) error {
	err := d.update(ctx, refsPrefix+strconv.Itoa(p), r, r.revision)
	if err != nil {
		d.table.mu.Lock()
		defer d.table.mu.Unlock()
		if known := d.table.refs[p]; known.revision == r.revision {
			known.unsure = true
			d.table.refs[p] = known
		}
	}
	return err
}

// reserved is the number of the first message of a log that others may have to read, or this process: of all its refs but those that it serves in this session, of which the ledger knows.
func (t *table) reserved(slot int, session string, serves func(p int) bool) uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.unread != "" {
		return 1
	}
	reserved := uint64(1<<63 - 1)
	for p, r := range t.refs {
		for i, ref := range r.Refs {
			if mine := i == len(r.Refs)-1 && ref.Session == session && ref.To == 0 && serves(p); ref.Slot == slot && !mine {
				reserved = min(reserved, ref.From)
			}
		}
	}
	return max(reserved, 1)
}
