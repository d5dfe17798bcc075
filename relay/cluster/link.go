package cluster

import (
	"encoding/binary"
	"hash/crc32"
	"sync"
	"time"
)

const (
	linkBytes    = 64 << 20  // of one link, that were not sent; beyond, it begins anew
	frameBytes   = 256 << 10 // records of one frame
	frameHead    = 1 + sessionBytes + 8 + 8
	frameVersion = 1
	sessionBytes = 26 // of rand.Text
	restAfter    = 200 * time.Microsecond
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// link is the way to one process. Records are appended by any goroutine and sent by one, in order; what has come while a frame
// was handed over leaves together.
type link struct {
	// Set once.
	from, to string
	wake     chan struct{} // of capacity 1

	// Guarded by mu, the innermost lock.
	mu       sync.Mutex
	pending  []byte // records, each behind its length; those up to sent have left
	sent     int
	epoch    uint64 // grows when the link begins anew
	number   uint64 // of the last frame
	overflow bool   // more was appended than may wait: the sender begins the link anew
}

func newLink(from, to string) *link {
	return &link{from: from, to: to, wake: make(chan struct{}, 1), epoch: uint64(time.Now().UnixNano())}
}

// append appends a record. f is called with the lock held and must not block.
func (l *link) append(kind byte, f func(w *writer)) {
	l.mu.Lock()
	if len(l.pending)-l.sent > linkBytes {
		l.overflow = true
	}
	if !l.overflow {
		start := len(l.pending)
		w := writer(append(l.pending, 0, 0, 0, 0, kind))
		f(&w)
		binary.BigEndian.PutUint32(w[start:], uint32(len(w)-start-4))
		l.pending = w
	}
	l.mu.Unlock()
	l.ring()
}

func (l *link) ring() {
	select {
	case l.wake <- struct{}{}:
	default: // it is about to look anyway
	}
}

// next returns the next frame in buffer; nil: there is nothing to send. full: there is more.
func (l *link) next(buffer []byte) (frame []byte, full bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := min(len(l.pending)-l.sent, frameBytes)
	if n == 0 || l.overflow {
		return nil, false
	}
	l.number++
	b := append(buffer[:0], frameVersion)
	b = append(b, l.from...)
	b = binary.BigEndian.AppendUint64(b, l.epoch)
	b = binary.BigEndian.AppendUint64(b, l.number)
	b = append(b, l.pending[l.sent:l.sent+n]...)
	b = binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
	l.sent += n
	if full = l.sent < len(l.pending); !full {
		if cap(l.pending) > 1<<20 {
			l.pending = nil
		}
		l.pending, l.sent = l.pending[:0], 0
	}
	return b, full
}

// restart drops what waits and begins anew. It is done if the epoch is still the given one; 0: whatever it is.
func (l *link) restart(epoch uint64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if epoch != 0 && epoch != l.epoch {
		return false
	}
	l.pending, l.sent, l.number, l.overflow = nil, 0, 0, false
	l.epoch = max(l.epoch+1, uint64(time.Now().UnixNano()))
	return true
}

func (l *link) overflowed() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.overflow
}

// waiting is how many bytes wait to be sent.
func (l *link) waiting() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.pending) - l.sent
}

// last returns the epoch and the number of the last frame.
func (l *link) last() (epoch, number uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.epoch, l.number
}

// frame is a frame as it came.
type frame struct {
	from          string
	epoch, number uint64
	records       []byte
}

// parseFrame reads a frame; false if it is not one, or was damaged.
func parseFrame(b []byte) (f frame, ok bool) {
	if len(b) < frameHead+4 || b[0] != frameVersion {
		return f, false
	}
	body, sum := b[:len(b)-4], binary.BigEndian.Uint32(b[len(b)-4:])
	if crc32.Checksum(body, castagnoli) != sum {
		return f, false
	}
	f.from = string(body[1 : 1+sessionBytes])
	f.epoch = binary.BigEndian.Uint64(body[1+sessionBytes:])
	f.number = binary.BigEndian.Uint64(body[1+sessionBytes+8:])
	f.records = body[frameHead:]
	return f, true
}

// inbound is what has come from one process. Owned by the goroutine of the mesh, but for what hellos read, under Cluster.mu.
type inbound struct {
	epoch, number uint64    // of the last frame
	broken        bool      // a frame of the epoch is missing: the rest of it is of no use
	late          time.Time // since when a hello names a frame that has not come; zero: none
	partial       []byte    // of a record of which the rest is to come
}

// take returns what a frame brings: fresh says that the link has begun anew.
func (in *inbound) take(f *frame) (records []byte, fresh, ok bool) {
	switch {
	case f.epoch < in.epoch, f.epoch == in.epoch && (in.broken || f.number <= in.number):
		return nil, false, false
	case f.epoch > in.epoch && f.number == 1:
		fresh = true
		in.epoch, in.number, in.broken, in.partial = f.epoch, 0, false, nil
	case f.epoch > in.epoch || f.number != in.number+1:
		in.epoch, in.broken, in.partial = f.epoch, true, nil
		return nil, false, false
	}
	in.number = f.number
	if len(in.partial) > 0 {
		in.partial = append(in.partial, f.records...)
		return in.partial, fresh, true
	}
	return f.records, fresh, true
}

// each calls f with each whole record, and keeps the rest.
func (in *inbound) each(records []byte, f func(kind byte, r *reader)) {
	for len(records) >= 5 {
		n := int(binary.BigEndian.Uint32(records))
		if n > len(records)-4 || n < 1 {
			break
		}
		f(records[4], &reader{b: records[5 : 4+n]})
		records = records[4+n:]
	}
	in.partial = append([]byte(nil), records...)
}
