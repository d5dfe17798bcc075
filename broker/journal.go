package broker

import (
	"bytes"
	"strings"
	"time"
)

// Entry is a change on its way through the journal: checked, without a position yet.
type Entry struct {
	Op             Op
	Expired        bool
	Group, Key     string
	Data           []byte
	Form           Form // see Publication.Form; Defer leaves it out
	TTL            time.Duration
	IdempotencyKey string
	Exclude        string
	Ack            Ack    // AckMemory: the publisher does not wait for the receipt
	Trace          string // of the publication; no journal keeps it
}

// Journal is where the order of changes and their durability come from. It works in one direction: a
// change is appended, and the journal hands it back, in order, to be applied; nothing else changes
// a channel's items, log or subscriber (clearing aside). There are two ways to hand it back:
//
//   - inline: Append calls [Log.Apply] before it returns. A journal on disk does so too, queues what
//     it has to write, and lets the receipt wait for the write.
//   - later: Append calls [Log.Defer], and a goroutine of the journal calls [Deferred.Apply] when the
//     change is safe. The receipt waits for that.
type Journal interface {
	// Append takes the next change of a channel. It is called with the channel's lock held, so that
	// the order of the calls is the order of the changes, and must not block or call the broker. The
	// entry's strings and data are valid during the call only. An error refuses the change.
	Append(log Log, e Entry) (Receipt, error)

	// Forget is called when the log of a channel is dropped: it was cleared, or nothing of it is needed any more. Same
	// rules as for Append.
	Forget(channel string)

	// Close ends the journal. What was under way in other goroutines may still come after it, and is
	// to be refused.
	Close() error
}

// Receipt is what became of an append: it is safe, or it is pending and Settle waits for that.
type Receipt struct {
	Position Position                 // where the change is; zero if only Wait knows
	Wait     func() (Position, error) // blocks until the change is as safe as the journal promises; nil: it is already
	Done     <-chan struct{}          // closed when Wait no longer blocks; nil: that is not known

	// Then calls f once with what Wait returns, on any goroutine, maybe at once; f must not block. nil: only Wait tells.
	Then func(f func(Position, error))
}

// Settle waits until the change is as safe as the journal promises, and returns where it is. One that is safe already it does not wait
// for.
func (r *Receipt) Settle() (Position, error) {
	if r.Wait == nil {
		return r.Position, nil
	}
	return r.Wait()
}

// Settled reports whether Settle is known to return at once.
func (r *Receipt) Settled() bool {
	if r.Wait == nil {
		return true
	}
	select {
	case <-r.Done:
		return true
	default:
		return false
	}
}

// Log is the end of a channel's log, as an inline journal sees it during Append.
type Log struct {
	channel *Channel
	now     int64
}

// Channel is the channel's name. It may be kept.
func (l Log) Channel() string { return l.channel.name }

// Next is the position that Apply or Defer will give to the change.
func (l Log) Next() Position {
	c := l.channel
	if c.ahead() {
		return Position{c.epoch, c.seq + c.durable.queued + 1}
	}
	return Position{c.epoch, c.seq + 1}
}

// At is the position of the last change.
func (l Log) At() Position { return l.channel.position() }

// Policy is the channel's policy.
func (l Log) Policy() *Policy { return l.channel.policy }

// Apply makes the entry the next change of the channel and returns its position.
func (l Log) Apply(e *Entry) Position { return l.channel.apply(l.now, e) }

// Deferred is a change of a Store's channel that has its position and is not applied yet.
type Deferred struct {
	channel *Channel
	at      Position
	came    int64 // from when on a time to live counts
	entry   Entry
}

// Defer gives the entry, which is copied, the next position of the channel. The store has it applied once it is safe.
// All later entries must be deferred too until then.
func (l Log) Defer(e *Entry) Deferred {
	c := l.channel
	d := Deferred{c, l.Next(), l.now, Entry{
		Op: e.Op, Expired: e.Expired, Group: strings.Clone(e.Group), Key: strings.Clone(e.Key), Data: bytes.Clone(e.Data),
		TTL: e.TTL, IdempotencyKey: strings.Clone(e.IdempotencyKey), Exclude: strings.Clone(e.Exclude), Ack: e.Ack, Trace: e.Trace,
	}}
	c.defers(&d.entry)
	c.durable.queued++
	seq := c.seq
	c.seq = d.at.Seq // what remember notes: the same key returns this position from now on
	c.remember(l.now, d.entry.IdempotencyKey)
	c.seq = seq
	return d
}

// Apply makes it a change. It is called without a lock, for one channel in the order of Defer. If the
// channel was cleared meanwhile, it does nothing.
func (d Deferred) Apply() {
	c := d.channel
	c.mu.Lock()
	defer c.unlock()
	if c.dead || c.broken || c.durable.queued == 0 || c.epoch != d.at.Epoch || c.seq+1 != d.at.Seq {
		return
	}
	c.durable.queued--
	if d.entry.Op != Send {
		c.durable.deferred(&d.entry)
	}
	now := c.shard.broker.now()
	if d.entry.TTL > 0 {
		d.entry.TTL = max(1, d.entry.TTL-time.Duration(now-d.came))
	}
	c.apply(now, &d.entry)
}

// ahead reports whether there are changes that were deferred and are not applied yet.
func (c *Channel) ahead() bool { return c.durable != nil && c.durable.queued > 0 }

// Memory is the journal that keeps nothing: changes live as long as the process. It is the default.
type Memory struct{}

// Append applies the change inline.
func (Memory) Append(log Log, e Entry) (Receipt, error) {
	return Receipt{Position: log.Apply(&e)}, nil
}

// Forget does nothing.
func (Memory) Forget(string) {}

// Close does nothing.
func (Memory) Close() error { return nil }
