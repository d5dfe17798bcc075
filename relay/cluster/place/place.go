package place

import (
	"strconv"
	"strings"

	"weir/internal/wire"
)

// Key returns what the partition of a channel is chosen by, in the place of its name; "": it is its name.
type Key func(channel string) string

// key is what a channel's partition is chosen by: the presence of a channel is where the channel is.
func key(channel string, by Key) string {
	for strings.HasPrefix(channel, wire.PresenceNamespace+":") {
		channel = channel[len(wire.PresenceNamespace)+1:]
	}
	if by != nil {
		if k := by(channel); k != "" {
			return k
		}
	}
	return channel
}

// Partition returns the partition of a channel, of so many: FNV-1a of its key, finalised, since names often differ only in their last bytes.
func Partition(channel string, of int, by Key) int { return int(hash(key(channel, by)) % uint64(of)) }

func hash(text string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(text) {
		h = (h ^ uint64(text[i])) * 1099511628211
	}
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	h *= 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}

// Weight returns how strongly a session is preferred as the owner of a partition: the highest one owns it.
func Weight(session string, p int) uint64 { return hash(session + "/" + strconv.Itoa(p)) }
