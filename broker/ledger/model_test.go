package ledger_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"weir/broker"
	"weir/broker/ledger"
	"weir/broker/storetest"
	"weir/internal/mesh"
	"weir/internal/mesh/fake"
)

// TestModel holds a broker on logs and a shelf against what its channels should be, through processes that end in order or are killed and are
// followed by one at the same log or another one, while writes are refused, made without an answer or late, and the log is full.
func TestModel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storetest.Model(t, func(*rapid.T) storetest.Machine { return newMachine() })
	})
}

const partitions = 3

// shelf is the number of the shelf among logs.
const shelf = -1

// machine is servers, and processes one after the other. It implements storetest.Machine.
type machine struct {
	mesh  *fake.Mesh
	table table
	made  map[int]bool // logs that were made, and the shelf
	boots int
	node  mesh.Node
	l     *ledger.Ledger

	// Guarded by mu.
	mu      sync.Mutex
	rand    *rand.Rand
	mode    string
	current string // session of the process
}

// table is what there is of each partition in the table of owners.
type table [partitions]row

type row struct {
	order      uint64 // of the last ref ever
	generation uint64
	refs       []ledger.Ref
}

// claim has a session in the table that begins at a number of the log of a slot.
func (t *table) claim(p, slot int, session string, from uint64) ledger.Claim {
	r := &t[p]
	r.order++
	for _, ref := range r.refs {
		if ref.To == 0 {
			r.generation++
			break
		}
	}
	r.refs = append(r.refs, ledger.Ref{Order: r.order, Slot: slot, Session: session, Generation: r.generation, From: from})
	return ledger.Claim{Partition: p, Refs: r.refs}
}

// reserved is the first message of a log that others need.
func (t *table) reserved(slot int, session string) uint64 {
	reserved := uint64(1 << 40)
	for _, r := range t {
		for _, ref := range r.refs {
			if ref.Slot == slot && ref.Session != session {
				reserved = min(reserved, ref.From)
			}
		}
	}
	return reserved
}

func newMachine() *machine {
	m := &machine{mesh: &fake.Mesh{}, made: make(map[int]bool), rand: rand.New(rand.NewPCG(1, 1))}
	m.mesh.Lose = func(from, _ string, _ []byte) bool { return m.is(from, "", 0) }
	m.mesh.Unsure = func(session string) bool { return m.is(session, "unsure", 50) }
	m.mesh.Absent = func(session string) bool { return m.is(session, "started", 30) }
	m.mesh.Stale = func(session string) time.Duration {
		if !m.is(session, "started", 50) {
			return 0
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		return time.Duration(m.rand.IntN(30)) * time.Second
	}
	m.mesh.Late = func(session string) time.Duration {
		if !m.is(session, "late", 40) {
			return 0
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		return time.Duration(m.rand.IntN(3000)) * time.Millisecond
	}
	return m
}

// is reports whether a process finds the servers in a mode, which is so in some percent of the cases. One that was killed does not find them at all.
func (m *machine) is(session, mode string, percent int) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if session != m.current {
		return mode == ""
	}
	return m.mode == mode && m.rand.IntN(100) < percent
}

type nothing struct{}

func (nothing) Frame([]byte)               {}
func (nothing) Announced([]byte)           {}
func (nothing) Row(string, []byte, uint64) {}
func (nothing) Loaded()                    {}

func partition(channel string) int { return int(channel[len(channel)-1]) % partitions }

// Open implements storetest.Machine.
func (m *machine) Open(policy func(string) broker.Policy) (broker.Store, error) {
	if m.node != nil {
		_ = m.node.Close()
	}
	m.boots++
	session := fmt.Sprint("p", m.boots)
	m.mu.Lock()
	m.current = session
	m.mu.Unlock()
	var err error
	if m.node, err = m.mesh.Open(session, nothing{}); err != nil {
		return nil, err
	}
	m.l = ledger.New(ledger.Config{Partitions: partitions, Partition: partition, Policy: policy, Logs: m.node.Log, Shelf: m.node.Shelf(), Checkpoint: 4 << 10})
	slot := m.boots / 2 % 2 // its own, or that of another one
	return m.l, m.take(slot)
}

func (m *machine) take(slot int) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	own, from, err := m.l.Begin(ctx, slot, ledger.Made{Log: m.made[slot], Shelf: m.made[shelf]})
	if err != nil {
		return err
	}
	m.made[slot], m.made[shelf] = true, true
	var claims []ledger.Claim
	for p := range m.table {
		claims = append(claims, m.table.claim(p, slot, own, from))
	}
	if err := m.l.Take(ctx, claims); err != nil {
		return err
	}
	m.l.Purge(func() uint64 { return m.table.reserved(slot, own) })
	return nil
}

// Leave implements storetest.Machine.
func (m *machine) Leave(b *broker.Broker) (err error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	for p := range m.table {
		refs, failed := m.l.Give(ctx, p, m.table[p].refs)
		if failed != nil {
			err = failed
			continue
		}
		m.table[p].refs = refs
	}
	_ = b.Close()
	return err
}

// Cut implements storetest.Machine.
func (m *machine) Cut(*rapid.T) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.current = ""
}

// Modes implements storetest.Machine.
func (m *machine) Modes() []string { return []string{"away", "unsure", "late", "full", "started"} }

// Reads implements storetest.Machine.
func (m *machine) Reads(mode string) bool { return mode != "away" }

// Close implements storetest.Machine.
func (m *machine) Close() { _ = m.node.Close() }

// Failing implements storetest.Machine.
func (m *machine) Failing() error { return ledger.ErrFailing }

// Set implements storetest.Machine.
func (m *machine) Set(t *rapid.T, mode string) {
	m.mu.Lock()
	m.mode = mode
	m.mu.Unlock()
	m.mesh.Shut(mode == "away")
	room := 0
	if mode == "full" {
		room = rapid.IntRange(1, 4000).Draw(t, "room")
	}
	m.mesh.SetRoom(room)
}
