package link

import (
	"encoding/binary"
	"hash/crc32"
	"sync"
	"time"
)

const (
	linkBytes    = 64 << 20  // of one link, that were not sent; beyond, it begins anew
	frameBytes   = 256 << 10 // records of one frame
	frameHead    = 1 + SessionBytes + 8 + 8
	frameVersion = 1
	SessionBytes = 26 // of rand.Text
	RestAfter    = 200 * time.Microsecond
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Link sends records to one process, in order. Any goroutine appends them, one sends them. Records that are appended while a frame is sent
// leave together in the next frame.
type Link struct {
	// Set once.
	from, to string
	Wake     chan struct{} // of capacity 1

	// Guarded by mu, the innermost lock.
	mu       sync.Mutex
	pending  []byte // records, each behind its length; those up to sent have left
	sent     int
	epoch    uint64 // grows when the link begins anew
	number   uint64 // of the last frame
	appended uint64 // bytes of all records
	overflow bool   // more was appended than may wait: the sender begins the link anew
}

// New returns the link from one session to another. Its numbers begin anew.
func New(from, to string) *Link {
	return &Link{from: from, to: to, Wake: make(chan struct{}, 1), epoch: uint64(time.Now().UnixNano())}
}

// Append appends a record. f is called with the lock held and must not block.
func (l *Link) Append(kind byte, f func(w *Writer)) {
	l.mu.Lock()
	if len(l.pending)-l.sent > linkBytes {
		l.overflow = true
	}
	if !l.overflow {
		start := len(l.pending)
		w := Writer(append(l.pending, 0, 0, 0, 0, kind))
		f(&w)
		binary.BigEndian.PutUint32(w[start:], uint32(len(w)-start-4))
		l.appended += uint64(len(w) - start)
		l.pending = w
	}
	l.mu.Unlock()
	l.ring()
}

// total returns the number of bytes of all records.
func (l *Link) total() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.appended
}

func (l *Link) ring() {
	select {
	case l.Wake <- struct{}{}:
	default: // it is about to look anyway
	}
}

// Next writes the next frame into buffer and returns it; nil if there is nothing to send. full: there is more to send.
func (l *Link) Next(buffer []byte) (frame []byte, full bool) {
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

// Restart drops what waits and begins anew, if the epoch is still the given one; 0: whatever it is. It reports whether it did.
func (l *Link) Restart(epoch uint64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if epoch != 0 && epoch != l.epoch {
		return false
	}
	l.pending, l.sent, l.number, l.overflow = nil, 0, 0, false
	l.epoch = max(l.epoch+1, uint64(time.Now().UnixNano()))
	return true
}

// Reset is Restart, and tells who gets the link, however little there is to be sent afterwards: what it follows by it has been forgotten.
func (l *Link) Reset() {
	l.Restart(0)
	l.Append(Unfollow, func(w *Writer) { w.Uint(0) }) // of nothing
}

// Overflowed reports whether more than 64 MiB waited. The link has to begin anew then.
func (l *Link) Overflowed() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.overflow
}

// Waiting returns the number of bytes that wait to be sent.
func (l *Link) Waiting() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.pending) - l.sent
}

// Last returns the epoch and the number of the last frame.
func (l *Link) Last() (epoch, number uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.epoch, l.number
}

// Frame is a frame as it came.
type Frame struct {
	From          string
	epoch, number uint64
	records       []byte
}

// ParseFrame reads a frame. ok is false if it is not a frame, or is damaged.
func ParseFrame(b []byte) (f Frame, ok bool) {
	if len(b) < frameHead+4 || b[0] != frameVersion {
		return f, false
	}
	body, sum := b[:len(b)-4], binary.BigEndian.Uint32(b[len(b)-4:])
	if crc32.Checksum(body, castagnoli) != sum {
		return f, false
	}
	f.From = string(body[1 : 1+SessionBytes])
	f.epoch = binary.BigEndian.Uint64(body[1+SessionBytes:])
	f.number = binary.BigEndian.Uint64(body[1+SessionBytes+8:])
	f.records = body[frameHead:]
	return f, true
}

// Inbound follows the frames that come from one process. It is owned by the goroutine of the mesh; what hellos read is guarded by Cluster.mu.
type Inbound struct {
	Epoch, Number uint64    // of the last frame
	Broken        bool      // a frame of the epoch is missing: the rest of it is of no use
	Late          time.Time // since when a hello names a frame that has not come; zero: none
	partial       []byte    // of a record of which the rest is to come
}

// Take returns the records of a frame. fresh: the link has begun anew. ok is false if the frame is not to be used.
func (in *Inbound) Take(f *Frame) (records []byte, fresh, ok bool) {
	switch {
	case f.epoch < in.Epoch, f.epoch == in.Epoch && (in.Broken || f.number <= in.Number):
		return nil, false, false
	case f.epoch > in.Epoch && f.number == 1:
		fresh = true
		in.Epoch, in.Number, in.Broken, in.partial = f.epoch, 0, false, nil
	case f.epoch > in.Epoch || f.number != in.Number+1:
		in.Epoch, in.Broken, in.partial = f.epoch, true, nil
		return nil, false, false
	}
	in.Number = f.number
	if len(in.partial) > 0 {
		in.partial = append(in.partial, f.records...)
		return in.partial, fresh, true
	}
	return f.records, fresh, true
}

// Each calls f with each complete record, and keeps an incomplete one at the end until the rest has come.
func (in *Inbound) Each(records []byte, f func(kind byte, r *Reader)) {
	rest := records
	for len(rest) >= 5 {
		n := int(binary.BigEndian.Uint32(rest))
		if n > len(rest)-4 || n < 1 {
			break
		}
		f(rest[4], &Reader{Rest: rest[5 : 4+n]})
		rest = rest[4+n:]
	}
	if len(rest) < len(records) || len(in.partial) == 0 { // or it is what is kept already, which may be large
		size := len(rest)
		if size >= 4 {
			size = max(size, min(4+int(binary.BigEndian.Uint32(rest)), linkBytes))
		}
		in.partial = append(make([]byte, 0, size), rest...)
	}
}
