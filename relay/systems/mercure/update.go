package mercure

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"strconv"
	"strings"
	"time"
)

// update is a message of the hub. It is never changed.
type update struct {
	ID      string   `json:"id"`
	Topics  []string `json:"topics"` // the first one is canonical
	Private bool     `json:"private,omitempty"`
	Type    string   `json:"type,omitempty"`
	Retry   uint64   `json:"retry,omitempty"` // milliseconds; 0: it does not say
	Data    string   `json:"data"`

	event  []byte    // as subscribers get it
	number uint64    // its place in the order of the hub
	at     time.Time // when it came
}

// encode is the update as the log keeps it.
func (u *update) encode() []byte {
	b, _ := json.Marshal(u) // strings and numbers only
	return b
}

// appendEvent appends the update as a server-sent event. Its data may have line ends of all three kinds.
func (u *update) appendEvent(b []byte) []byte {
	if u.Type != "" && u.Type != "message" {
		b = append(append(append(b, "event: "...), u.Type...), '\n')
	}
	if u.Retry > 0 {
		b = append(strconv.AppendUint(append(b, "retry: "...), u.Retry, 10), '\n')
	}
	b = append(append(append(b, "id: "...), u.ID...), '\n')
	for rest := u.Data; ; {
		i := strings.IndexAny(rest, "\r\n")
		if i < 0 {
			return append(append(append(b, "data: "...), rest...), "\n\n"...)
		}
		b = append(append(append(b, "data: "...), rest[:i]...), '\n')
		if strings.HasPrefix(rest[i:], "\r\n") {
			i++
		}
		rest = rest[i+1:]
	}
}

// newID is "urn:uuid:" and a UUID of version 7 (RFC 9562, section 5.7).
func newID(now time.Time) string {
	var b [16]byte
	_, _ = rand.Read(b[:])
	ms := now.UnixMilli()
	for i := range 6 {
		b[i] = byte(ms >> (40 - 8*i))
	}
	b[6], b[8] = b[6]&0x0f|0x70, b[8]&0x3f|0x80
	h := hex.EncodeToString(b[:])
	return "urn:uuid:" + h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}
