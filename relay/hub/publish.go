package hub

import (
	"time"

	"weir/broker"
	"weir/internal/wire"
	"weir/relay/problem"
)

const (
	maxIdempotencyKey = 256
	maxTTL            = 366 * 24 * 3600 * 1000
)

// Submit checks what client and backend publications have in common and hands the change to the broker. The caller
// has checked that the publisher may. Idempotency keys are known by their owner: one user's are not another's.
//
// A publication has one of three verdicts, whichever way it comes. It is done: the receipt has its position and nothing to wait for. It is
// pending: the receipt is to be settled before it is acknowledged. Or it must wait before anything is done: MustWait(err), which the
// callers of Submit find out first; it is then tried again, once, where waiting holds up nothing else: beside the turn, at an event
// loop when the channel is loaded, in a request's own goroutine.
func (h *Hub) Submit(publisher *broker.Publisher, ns *Namespace, c *wire.Command, owner string) (broker.Receipt, error) {
	if h.Tracing != nil {
		return h.submitTraced(publisher, ns, c, owner)
	}
	return h.submit(publisher, ns, c, owner, "")
}

// submitTraced is Submit of a message that is followed, if it is sampled.
func (h *Hub) submitTraced(publisher *broker.Publisher, ns *Namespace, c *wire.Command, owner string) (broker.Receipt, error) {
	m := h.Tracing.Begin(c.Channel, c.Traceparent)
	trace := ""
	if m != nil && h.Cluster != nil {
		trace = m.Traceparent()
	}
	receipt, err := h.submit(publisher, ns, c, owner, trace)
	switch {
	case m == nil:
	case err != nil:
		m.Failed(err)
	default:
		wait := receipt.Wait
		m.Accepted(receipt.Position.Epoch, receipt.Position.Seq, wait != nil)
		if wait != nil {
			receipt.Wait = func() (broker.Position, error) {
				at, err := wait()
				m.Stored(at.Epoch, at.Seq, err)
				return at, err
			}
		}
		if then := receipt.Then; then != nil {
			receipt.Then = func(f func(broker.Position, error)) {
				then(func(at broker.Position, err error) {
					m.Stored(at.Epoch, at.Seq, err)
					f(at, err)
				})
			}
		}
	}
	return receipt, err
}

// submit is Submit. trace goes along to other nodes.
func (h *Hub) submit(publisher *broker.Publisher, ns *Namespace, c *wire.Command, owner, trace string) (broker.Receipt, error) {
	if len(c.Data) > ns.message {
		return broker.Receipt{}, problem.TooLarge
	}
	p := broker.Publication{Group: c.Group, Key: c.Key, Data: c.Data, TTL: time.Duration(c.TTL) * time.Millisecond, Exclude: c.Exclude,
		Offset: c.Offset, HasOffset: c.HasOffset, Trace: trace}
	if c.IdempotencyKey != "" {
		p.IdempotencyKey = owner + c.IdempotencyKey
	}
	switch {
	case c.Key != "" && !wire.ValidName(c.Key), c.Group != "" && !wire.ValidName(c.Group):
		return broker.Receipt{}, problem.BadName
	case len(c.IdempotencyKey) > maxIdempotencyKey:
		return broker.Receipt{}, problem.BadField.With("idempotencyKey must not exceed 256 bytes")
	case c.TTL > maxTTL:
		return broker.Receipt{}, problem.BadField.With("ttl must not exceed a year")
	}
	switch c.Ack {
	case "", "disk", "replicated": // which is what a durable namespace does anyway; disk is the older name of both
		switch {
		case c.Ack != "" && !ns.Log.Durable:
			return broker.Receipt{}, problem.BadField.With("ack " + c.Ack + " is for durable namespaces only")
		case c.Ack == "replicated" && h.Ledger == nil:
			return broker.Receipt{}, problem.BadField.With("ack replicated requires a cluster: expected memory or disk")
		}
	case "memory":
		p.Ack = broker.AckMemory
	default:
		return broker.Receipt{}, problem.BadField.With("ack must be memory, disk or replicated")
	}
	switch c.Op {
	case "":
		p.Op = broker.Send
		if c.Key != "" {
			p.Op = broker.Set
		}
	case "set":
		p.Op = broker.Set
	case "send":
		p.Op = broker.Send
	case "delete":
		p.Op = broker.Delete
	case "append":
		p.Op = broker.Append
	default:
		return broker.Receipt{}, problem.BadField.With("op must be set, append, delete or send")
	}
	if c.HasOffset && p.Op != broker.Append {
		return broker.Receipt{}, problem.BadField.With("offset is for append only")
	}
	if c.Data == nil && p.Op != broker.Delete {
		return broker.Receipt{}, problem.BadField.With("data is missing")
	}
	if err := h.admit(p.Op, len(p.Data)); err != nil {
		return broker.Receipt{}, err
	}
	if ns.carry != nil {
		carried := p // or every publication would be allocated
		receipt, err := ns.carry(c.Channel, &carried)
		if err == nil {
			ns.Counters.Published.Inc()
		}
		return receipt, err
	}
	receipt, err := publisher.Submit(c.Channel, &p)
	if err == nil {
		ns.Counters.Published.Inc()
		h.Traffic.Published(c.Channel, len(c.Data))
	}
	return receipt, err
}

// admit refuses new work before old work suffers: items when nine tenths of the memory are in use, everything when
// nearly all of it is, and when more is accepted than can be delivered, or than can be soon.
func (h *Hub) admit(op broker.Op, bytes int) error {
	var size int64
	if op == broker.Set || op == broker.Append {
		size = ItemCost(bytes)
	}
	switch {
	case !h.Memory.Admits(size):
		h.Counters.Shed.Of("memory").Inc()
		return problem.Overloaded
	case h.Full():
		h.Counters.Shed.Of("backlog").Inc()
		return problem.Overloaded
	case h.late():
		h.Counters.Shed.Of("late").Inc()
		return problem.Overloaded
	}
	return nil
}

// late reports whether delivering takes longer than readers may be kept waiting. It passes as soon as the loops have caught up.
func (h *Hub) late() bool {
	for _, b := range h.Batchers {
		if b.Late() {
			return true
		}
	}
	return false
}

// ItemCost is about what an item of some bytes takes, in the log and by itself.
func ItemCost(size int) int64 { return 2*int64(size) + 512 }

// Full reports whether more is accepted than can be delivered: then publishers are to be refused.
func (h *Hub) Full() bool {
	for _, b := range h.Batchers {
		if b.Full() {
			return true
		}
	}
	return h.Pool.Full()
}

// SubmitSystem makes a change of a system with submit. See relay.Channels.
func (h *Hub) SubmitSystem(channel string, p *broker.Publication, submit func(channel string, p *broker.Publication) (broker.Receipt, error)) (broker.Receipt, error) {
	if !wire.ValidChannel(channel) {
		return broker.Receipt{}, problem.BadChannel
	}
	if p.Group != "" && !wire.ValidName(p.Group) || p.Key != "" && !wire.ValidName(p.Key) {
		return broker.Receipt{}, problem.BadName
	}
	if err := h.admit(p.Op, len(p.Data)); err != nil {
		return broker.Receipt{}, err
	}
	t, err := submit(channel, p)
	if err == nil {
		h.Namespaces.Of(channel).Counters.Published.Inc()
		h.Traffic.Published(channel, len(p.Data))
	}
	return t, err
}
