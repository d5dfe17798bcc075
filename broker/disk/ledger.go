package disk

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"strconv"
	"strings"
	"time"

	"weir/broker/record"
)

// A ledger is a small file beside the log with the number of the last batch that is on disk: what a crash tore off is
// behind that; what is missing before it was lost otherwise. Each process makes one, N.synced, and removes those
// before.
//
// It has three slots in different sectors. The volatile one is written after every batch and not synced: it is enough
// for a process that is killed. The other two are written in turn, and synced, when the log has been idle for
// ledgerDelay: they are for a machine that loses power, and a torn write spoils one of them at most.
const (
	ledgerSuffix   = ".synced"
	ledgerDelay    = 100 * time.Millisecond
	ledgerMagic    = "WRL1"
	ledgerSlot     = 512 // bytes from one slot to the next
	ledgerSlots    = 3
	ledgerVolatile = 2
	ledgerEntry    = 4 + 8 + 4 + 4
)

// entry is the contents of a slot: the number of a batch that is on disk with all before it, and its seal.
type entry struct {
	number uint64
	seal   uint32
}

func (e entry) encode(b []byte) []byte {
	b = append(b, ledgerMagic...)
	b = binary.LittleEndian.AppendUint64(b, e.number)
	b = binary.LittleEndian.AppendUint32(b, e.seal)
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, record.Castagnoli))
}

func decodeEntry(b []byte) (e entry, ok bool) {
	if len(b) < ledgerEntry || string(b[:4]) != ledgerMagic || crc32.Checksum(b[:16], record.Castagnoli) != binary.LittleEndian.Uint32(b[16:]) {
		return e, false
	}
	return entry{binary.LittleEndian.Uint64(b[4:]), binary.LittleEndian.Uint32(b[12:])}, true
}

// ledger belongs to the committer.
type ledger struct {
	file  File
	turn  int64  // which of the synced slots is next
	last  entry  // in the volatile slot
	safe  uint64 // number in a synced slot
	space [ledgerEntry]byte
}

// newLedger makes a ledger with e in all slots, synced. The number must be a new one.
func newLedger(fs FS, number uint64, e entry) (*ledger, error) {
	name := ledgerName(number)
	f, err := fs.Create(name)
	if err != nil {
		return nil, fmt.Errorf("create %s: %w", name, err)
	}
	l := &ledger{file: f}
	_, err = f.WriteAt(make([]byte, ledgerSlots*ledgerSlot), 0) // its room: later writes need none
	for range 2 {
		l.last = e
		err = errors.Join(err, l.settle())
	}
	if err = errors.Join(err, l.note(e), fs.Sync()); err != nil {
		return nil, errors.Join(fmt.Errorf("write %s: %w", name, err), f.Close(), fs.Remove(name))
	}
	return l, nil
}

// note records that a batch is on disk: in case the process ends at once, and in case the machine does when settle has
// returned.
func (l *ledger) note(e entry) error {
	l.last = e
	_, err := l.file.WriteAt(e.encode(l.space[:0]), ledgerVolatile*ledgerSlot)
	return err
}

// settled reports whether there is nothing to settle.
func (l *ledger) settled() bool { return l.safe == l.last.number }

// settle makes safe what was noted.
func (l *ledger) settle() error {
	if _, err := l.file.WriteAt(l.last.encode(l.space[:0]), l.turn*ledgerSlot); err != nil {
		return err
	}
	if err := l.file.Sync(); err != nil {
		return err
	}
	l.turn, l.safe = 1-l.turn, l.last.number
	return nil
}

func ledgerName(number uint64) string { return fmt.Sprintf("%016d%s", number, ledgerSuffix) }

// readLedgers returns the newest entry in the ledgers among some files; false if there is none.
func readLedgers(fs FS, names []string) (e entry, found bool, err error) {
	for _, name := range names {
		b, err := readSafe(fs, name)
		if err != nil {
			return e, found, fmt.Errorf("read %s: %w", name, err)
		}
		for at := range slices.Chunk(b, ledgerSlot) {
			if s, ok := decodeEntry(at); ok && (!found || s.number > e.number) {
				e, found = s, true
			}
		}
	}
	return e, found, nil
}

// numbered is the number of a file of the log.
func numbered(name, suffix string) (uint64, bool) {
	digits, ok := strings.CutSuffix(name, suffix)
	n, err := strconv.ParseUint(digits, 10, 64)
	return n, ok && err == nil
}
