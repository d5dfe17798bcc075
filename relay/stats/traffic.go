package stats

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"math/bits"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"weir/internal/wire"
)

// Traffic notes the shape of what the relay does, while somebody records it: how large and how many publications are,
// and who joins; never what they say, nor what channels are called. While nobody does, an event costs one look at a
// pointer.
type Traffic struct{ recording atomic.Pointer[recording] }

// recordingChannels bounds how many channels are told apart; what comes beyond is not noted.
const recordingChannels = 100_000

// recordingSilence is how long a recording goes on when nobody asks for it.
const recordingSilence = 10 * time.Second

// recording is one recording, from its first request to its last.
type recording struct {
	id  string // which the recorder says
	key []byte // that channels' names are hashed with; thrown away with it

	mu       sync.Mutex
	asked    time.Time                  // when it was asked for last; guarded by mu
	channels map[string]*ChannelTraffic // by name; guarded by mu
}

// ChannelTraffic is what happened in a channel since it was asked for last.
type ChannelTraffic struct {
	ID          string         `json:"id"`              // hash of its name, with a key that nobody keeps
	Subscribers int            `json:"subscribers"`     // now
	Joins       int            `json:"joins,omitempty"` // subscriptions that began
	Sizes       map[int]uint64 `json:"sizes,omitempty"` // publications by their size, rounded up to a quarter of a power of two
}

// TrafficSample is what happened since the sample before.
type TrafficSample struct {
	Recording   string            `json:"recording"`
	Connections int               `json:"connections"` // now
	Slow        int               `json:"slow"`        // of them do not keep up
	Channels    []*ChannelTraffic `json:"channels"`    // that have subscribers, or in which something happened
}

// Published notes a publication.
func (t *Traffic) Published(channel string, size int) {
	if r := t.recording.Load(); r != nil {
		t.note(r, channel, size)
	}
}

// Recorded reports whether recordings tell of the subscriptions to a channel: the relay's own, of users and of who is present, are left out.
func Recorded(channel string) bool {
	ns := wire.Namespace(channel)
	return ns != wire.UserNamespace && ns != wire.PresenceNamespace
}

// Joined notes a subscription that has begun.
func (t *Traffic) Joined(channel string) {
	if r := t.recording.Load(); r != nil && Recorded(channel) {
		t.note(r, channel, joined)
	}
}

// joined is the size of what is no publication but a subscription.
const joined = -1

// note counts a publication of a size, or a subscription. A recording that nobody asks for any more ends here.
func (t *Traffic) note(r *recording, channel string, size int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if time.Since(r.asked) > recordingSilence {
		t.recording.CompareAndSwap(r, nil)
		return
	}
	c := r.of(channel)
	switch {
	case c == nil:
	case size == joined:
		c.Joins++
	case c.Sizes == nil:
		c.Sizes = map[int]uint64{rounded(size): 1}
	default:
		c.Sizes[rounded(size)]++
	}
}

// of is the tally of a channel; nil: there are too many. The caller holds mu.
func (r *recording) of(channel string) *ChannelTraffic {
	c := r.channels[channel]
	if c == nil && len(r.channels) < recordingChannels {
		mac := hmac.New(sha256.New, r.key)
		_, _ = mac.Write([]byte(channel)) // never fails
		c = &ChannelTraffic{ID: hex.EncodeToString(mac.Sum(nil)[:8])}
		r.channels[strings.Clone(channel)] = c
	}
	return c
}

// rounded is a size rounded up to a quarter of a power of two: enough to do the same work, and too coarse to tell
// messages by it.
func rounded(size int) int {
	if size <= 16 {
		return 16
	}
	step := 1 << (bits.Len(uint(size-1)) - 3)
	return (size + step - 1) / step * step
}

// Sample returns what has happened since the last sample of a recording, and begins one if id is empty. subscribers are
// those of each channel now. ok is false if another recording is under way, or this one no more.
func (t *Traffic) Sample(id string, subscribers map[string]int) (s TrafficSample, ok bool) {
	r := t.recording.Load()
	if r != nil {
		r.mu.Lock()
		over := time.Since(r.asked) > recordingSilence
		r.mu.Unlock()
		if over {
			t.recording.CompareAndSwap(r, nil)
			r = nil
		}
	}
	switch {
	case id == "" && r == nil:
		random := make([]byte, 40)
		_, _ = rand.Read(random) // never fails
		r = &recording{id: hex.EncodeToString(random[:8]), key: random[8:], channels: map[string]*ChannelTraffic{}, asked: time.Now()}
		if !t.recording.CompareAndSwap(nil, r) {
			return s, false
		}
	case r == nil || r.id != id:
		return s, false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked = time.Now()
	for channel, n := range subscribers {
		if c := r.of(channel); c != nil {
			c.Subscribers = n
		}
	}
	s = TrafficSample{Recording: r.id, Channels: make([]*ChannelTraffic, 0, len(r.channels))}
	for channel, c := range r.channels {
		if c.Subscribers > 0 || c.Joins > 0 || len(c.Sizes) > 0 {
			s.Channels = append(s.Channels, c)
			r.channels[channel] = &ChannelTraffic{ID: c.ID}
		}
	}
	slices.SortFunc(s.Channels, func(a, b *ChannelTraffic) int { return strings.Compare(a.ID, b.ID) })
	return s, true
}

// End ends a recording.
func (t *Traffic) End(id string) {
	if r := t.recording.Load(); r != nil && r.id == id {
		t.recording.CompareAndSwap(r, nil)
	}
}

// Append appends the sample as JSON.
func (s *TrafficSample) Append(b []byte) []byte {
	text, _ := json.Marshal(s) // numbers and texts never fail
	return append(b, text...)
}
