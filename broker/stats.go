package broker

// Stats are figures about all channels together.
type Stats struct {
	Channels int64
	Items    int64  // live items
	Changes  int64  // changes kept in logs
	Bytes    int64  // encoded bytes of both; what an item shares with the log counts twice
	Expired  uint64 // items whose time to live has ended since New
}

// Stats returns the current figures. It is cheap and takes no lock, so that figures which change
// together may differ by what is under way.
func (b *Broker) Stats() Stats {
	stats := Stats{Channels: b.channels.Load()}
	for i := range b.shards {
		s := &b.shards[i]
		stats.Items += s.items.Load()
		stats.Changes += s.changes.Load()
		stats.Bytes += s.bytes.Load()
		stats.Expired += s.expired.Load()
	}
	return stats
}

// count adds to the sums of the shard. Most changes of a channel with a full log leave all but the
// bytes as they were, and those too if messages are of one size.
func (s *shard) count(items, changes, bytes int) {
	if items != 0 {
		s.items.Add(int64(items))
	}
	if changes != 0 {
		s.changes.Add(int64(changes))
	}
	if bytes != 0 {
		s.bytes.Add(int64(bytes))
	}
}
