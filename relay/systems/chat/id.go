package chat

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"regexp"
	"sort"
	"strconv"
	"time"
)

// Ids of rooms and messages are UUIDs of version 7 (RFC 9562, section 5.7): they sort by time. Those of a room's
// messages grow, so that the first one of each block says which block any of them is in. Messages from before have
// ids that begin with their position.

// newID is a UUID of a time, greater than another one.
func newID(now time.Time, than string) string {
	ms := now.UnixMilli()
	for {
		var b [16]byte
		_, _ = rand.Read(b[:]) // it never fails
		var at [8]byte
		binary.BigEndian.PutUint64(at[:], uint64(ms)<<16)
		copy(b[:6], at[:6])
		b[6], b[8] = b[6]&0x0f|0x70, b[8]&0x3f|0x80
		h := hex.EncodeToString(b[:])
		if id := h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]; id > than {
			return id
		}
		ms = max(ms, timeOf(than)+1) // the clock went back, or it is the same millisecond
	}
}

// timeOf is the time in a UUID of version 7, in ms; 0 if it is none.
func timeOf(id string) int64 {
	if !isUUID(id) {
		return 0
	}
	ms, _ := strconv.ParseInt(id[:8]+id[9:13], 16, 64)
	return ms
}

// uuid is the form of a UUID, in the letters that the chat writes.
var uuid = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

func isUUID(id string) bool { return uuid.MatchString(id) }

// start is the first message of a block whose id is a UUID.
type start struct {
	block uint64
	id    string
}

// begins notes that a block has a message of this id, the newest so far.
func (r *room) begins(block uint64, id string) {
	if n := len(r.starts); n == 0 || r.starts[n-1].block < block {
		r.starts = append(r.starts, start{block, id})
	}
	r.lastID = max(r.lastID, id)
}

// find is the block that a message of this id would be in; false if there is none.
func (r *room) find(message string) (block uint64, ok bool) {
	if !isUUID(message) {
		position, ok := positionOf(message)
		return blockOf(max(position, 1)), ok
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.search(message)
}

// search is find for a UUID. The caller holds mu.
func (r *room) search(message string) (block uint64, ok bool) {
	i := sort.Search(len(r.starts), func(i int) bool { return r.starts[i].id > message })
	if i == 0 {
		return 0, false
	}
	return r.starts[i-1].block, true
}
