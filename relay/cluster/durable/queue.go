package durable

import (
	"sync"

	"weir/broker"
	"weir/internal/contain"
)

// Queues does what may have to wait for the shelf, of each channel in the order in which it came. Each channel of which something is to be done has a goroutine, which ends
// with that.
type Queues struct {
	// Set once.
	hook contain.Hook
	done *sync.WaitGroup // of the goroutines

	mu   sync.Mutex
	list map[string][]func() // guarded by mu
	acks map[<-chan struct{}][]ack
}

// ack is who waits for a receipt.
type ack struct {
	receipt broker.Receipt
	then    func(at broker.Position, err error)
}

// do has f called when all that was given for the channel before is done.
func (q *Queues) do(channel string, f func()) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.list == nil {
		q.list = make(map[string][]func())
	}
	waits, busy := q.list[channel]
	q.list[channel] = append(waits, f)
	if !busy {
		q.hook.Go(q.done, "cluster call", func() { q.run(channel) }, func() { q.hook.Go(q.done, "cluster call", func() { q.run(channel) }, nil) }) // ends by itself
	}
}

func (q *Queues) run(channel string) {
	for {
		q.mu.Lock()
		waits := q.list[channel]
		if len(waits) == 0 {
			delete(q.list, channel)
			q.mu.Unlock()
			return
		}
		q.list[channel] = waits[1:]
		q.mu.Unlock()
		waits[0]()
	}
}

// settle calls then with what becomes of a receipt, on a goroutine that does so for all that wait for the same.
func (q *Queues) settle(receipt broker.Receipt, then func(at broker.Position, err error)) {
	if receipt.Wait == nil || receipt.Done == nil {
		then(receipt.Settle())
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.acks == nil {
		q.acks = make(map[<-chan struct{}][]ack)
	}
	waits, busy := q.acks[receipt.Done]
	q.acks[receipt.Done] = append(waits, ack{receipt, then})
	if busy {
		return
	}
	q.hook.Go(q.done, "cluster call", func() { // ends with the frame; closing the ledger ends that
		<-receipt.Done
		q.mu.Lock()
		waits := q.acks[receipt.Done]
		delete(q.acks, receipt.Done)
		q.mu.Unlock()
		for _, w := range waits {
			w.then(w.receipt.Settle())
		}
	}, nil)
}
