package broker

// Promise is what the publishers of a batch wait for in a store that gathers changes: that the batch is safe, or that it will not be
// for now. Make one with [NewPromise].
type Promise struct {
	done chan struct{}
	err  error // set before done is closed
}

// NewPromise returns a promise that is not settled.
func NewPromise() *Promise { return &Promise{done: make(chan struct{})} }

// Settle ends the waiting of all receipts of the promise: the batch is safe if err is nil. It is called once.
func (p *Promise) Settle(err error) {
	p.err = err
	close(p.done)
}

// Receipt is for a change of the batch, at a position; zero if the caller does not ask for one.
func (p *Promise) Receipt(at Position) Receipt {
	return Receipt{Position: at, Done: p.done, Wait: func() (Position, error) {
		<-p.done
		return at, p.err
	}}
}
