package batch

import "time"

// A panic in a sink costs the batch that it was looking at, and nothing else: Config.Panic and the sink are called, and
// the loop goes on with the next batch. The windows are sound, since what a window held was taken out of it before.

// contain ends a panic in sink, if there is one. Deferred. Without Config.Panic the panic goes on.
func (b *Batcher) contain(sink Sink, buf *buffer) {
	if b.panicked == nil {
		return
	}
	if v := recover(); v != nil {
		b.panicked(sink, v)
		b.miss(sink, buf.marks[buf.seals[b.at-1]-1].seq)
	}
}

// miss reports to a sink that it has missed the batch that ends at last. A panic over that is reported, and not to the
// sink.
func (b *Batcher) miss(sink Sink, last uint64) {
	defer func() {
		if v := recover(); v != nil {
			b.panicked(sink, v)
		}
	}()
	sink.Missed(last)
}

// waited is Config.Waited as busy is Config.Load.
func (b *Batcher) waited(publishes func() time.Duration) (d time.Duration) {
	defer func() {
		if v := recover(); v != nil {
			b.panicked(nil, v)
			b.load.waited = nil
		}
	}()
	return publishes()
}

// busy returns how busy the process is. A function that panics is not called again; what the shard itself spends still
// counts.
func (b *Batcher) busy(process func() float64) (share float64) {
	defer func() {
		if v := recover(); v != nil {
			b.panicked(nil, v)
			b.load.process = func() float64 { return 0 }
		}
	}()
	return process()
}
