package batch

// A panic in a sink costs the batch that it was looking at, and nobody else anything: Config.Panic is told, the sink is
// told that it has missed the batch, and the loop goes on with the next one. The windows are sound then, since what a
// window held was taken out of it before.

// contain ends a panic in sink, if there is one. It is to be deferred. Without Config.Panic the panic goes on.
func (b *Batcher) contain(sink Sink, buf *buffer) {
	if b.panicked == nil {
		return
	}
	if v := recover(); v != nil {
		b.panicked(sink, v)
		b.miss(sink, buf.marks[buf.seals[b.at-1]-1].seq)
	}
}

// miss tells a sink that it has missed the batch that ends at last. It can not be told twice.
func (b *Batcher) miss(sink Sink, last uint64) {
	defer func() {
		if v := recover(); v != nil {
			b.panicked(sink, v)
		}
	}()
	sink.Missed(last)
}

// busy asks how busy the process is. One who panics over that is not asked again, and what the shard itself spends goes
// on counting.
func (b *Batcher) busy(process func() float64) (share float64) {
	defer func() {
		if v := recover(); v != nil {
			b.panicked(nil, v)
			b.load.process = func() float64 { return 0 }
		}
	}()
	return process()
}
