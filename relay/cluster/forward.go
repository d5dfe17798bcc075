package cluster

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"time"

	"weir/broker"
	"weir/internal/pause"
	"weir/relay/cluster/forward"
	"weir/relay/cluster/link"
)

// Publish implements broker.Cluster.
func (c *Cluster) Publish(channel string, p *broker.Publication) (broker.Receipt, error) {
	if c.ours(channel) { // which has just become so
		err := c.broker.Promote(channel) // it may have been loaded meanwhile, as another one's; while it is, who loads it finds out
		if err != nil && !errors.Is(err, broker.ErrNotLoaded) && c.kept.Keeps(channel) {
			return broker.Receipt{}, err
		}
		if c.ours(channel) {
			return c.broker.Submit(channel, p)
		}
		c.broker.Demote(channel)
	}
	q, err := c.forward(c.partition(channel), channel, p, false)
	if err != nil {
		return broker.Receipt{}, err
	}
	c.counts.forwarded.Add(1)
	return broker.Receipt{Done: q.Done(), Then: q.Then, Wait: func() (broker.Position, error) {
		err := q.Wait(c.context, answerLimit)
		return q.At, err
	}}, nil
}

// ours reports whether this process owns a channel, and serves it.
func (c *Cluster) ours(channel string) bool { return !c.Elsewhere(channel) }

// call has a member work on a body. Called with mu held.
func (c *Cluster) call(m *member, kind string, body []byte) *request {
	c.number++
	q := &request{id: c.number, to: m.session, until: time.Now().Add(answerLimit)}
	q.Begin()
	c.waiting[q.id] = q
	m.link.Append(link.Call, func(w *link.Writer) {
		w.Uint(q.id)
		w.Text(kind)
		w.Bytes(body)
	})
	return q
}

func finish(list []*request) {
	for _, q := range list {
		q.Finish()
	}
}

// answered ends the wait for an answer.
func (c *Cluster) answered(m *member, kind byte, r *link.Reader) {
	id := r.Uint()
	c.mu.Lock()
	q := c.waiting[id]
	if q == nil || q.to != m.session {
		c.mu.Unlock()
		return
	}
	if kind == link.Error && q.record != nil { // it was not made there: the partition has moved, or is about to
		before := *r
		if code := r.Uint(); code == link.CodeNoOwner && c.again(q) {
			c.settle(q)
			c.mu.Unlock()
			return
		}
		*r = before
	}
	c.settle(q)
	c.mu.Unlock()
	switch kind {
	case link.Answer:
		q.At = broker.Position{Epoch: strings.Clone(r.Text()), Seq: r.Uint()}
	case link.Reply:
		q.Body = bytes.Clone(r.Bytes())
	case link.Error:
		code, text := r.Uint(), r.Text()
		q.Err = link.CodedError(code, strings.Clone(text))
	}
	if r.Err != nil {
		q.Err = forward.ErrMaybe
	}
	q.Finish()
}

// published makes a publication that another process has handed on.
func (c *Cluster) published(m *member, r *link.Reader) {
	id, channel, p := r.Uint(), r.Text(), r.Publication()
	if r.Err != nil {
		return
	}
	told := c.config.Traced.Of(channel, p.Trace)
	answer := func(at broker.Position, err error) {
		told(at, err)
		if err != nil {
			m.fail(id, err)
			return
		}
		m.link.Append(link.Answer, func(w *link.Writer) {
			w.Uint(id)
			w.Text(at.Epoch)
			w.Uint(at.Seq)
		})
	}
	if c.kept.Keeps(channel) {
		c.kept.Publish(channel, p, answerLimit, c.submitOwned, answer)
		return
	}
	if c.waits(channel, &p, answer) {
		return
	}
	receipt, err := c.submitOwned(channel, &p)
	answer(receipt.Position, err)
}

// waits has a publication of another process wait if its channel is about to be owned here. It reports whether it does.
func (c *Cluster) waits(channel string, p *broker.Publication, answer func(broker.Position, error)) bool {
	partition := c.partition(channel)
	c.mu.Lock()
	comes := c.comes(partition)
	c.mu.Unlock()
	if !comes {
		return false
	}
	q, err := c.forward(partition, channel, p, true)
	if err != nil {
		answer(broker.Position{}, err)
		return true
	}
	q.Then(answer)
	return true
}

// forward sends a publication to the owner of its partition; foreign says that another process has sent it here.
func (c *Cluster) forward(partition int, channel string, p *broker.Publication, foreign bool) (*request, error) {
	size := len(channel) + len(p.Group) + len(p.Key) + len(p.Data) + len(p.IdempotencyKey) + len(p.Exclude) + len(p.Trace) + 64
	return c.request(partition, &request{kind: link.Publish, safe: p.IdempotencyKey != "", foreign: foreign}, size, func(w *link.Writer) {
		w.Text(channel)
		w.Publication(p, c.kept.Keeps(channel))
	})
}

// fail answers that something went wrong.
func (m *member) fail(id uint64, err error) {
	code, text := link.ErrorCode(err)
	m.link.Append(link.Error, func(w *link.Writer) {
		w.Uint(id)
		w.Uint(code)
		w.Text(text)
	})
}

// Call sends a body to the owner of a key, and returns what the owner's Handler of that kind returns. The caller asks Elsewhere first. A Handler that returns
// ErrNoOwner has done nothing: the next owner is asked. Errors: ErrNoOwner; another one if there is no answer within 2 seconds, when the call may
// have been worked on, and is not sent again; and the Handler's.
func (c *Cluster) Call(ctx context.Context, key, kind string, body []byte) ([]byte, error) {
	q, err := c.request(c.partition(key), &request{kind: link.Call}, len(kind)+len(body)+len(key)+16, func(w *link.Writer) {
		w.Text(kind)
		w.Bytes(body)
		w.Text(key)
	})
	if err != nil {
		return nil, err
	}
	err = q.Wait(ctx, answerLimit)
	return q.Body, err
}

// Node returns the name of this node.
func (c *Cluster) Node() string { return c.config.Node }

// CallNode sends a body to the named node, and returns its answer. Errors: ErrNoOwner if the node is not heard; otherwise those of Call.
func (c *Cluster) CallNode(ctx context.Context, node, kind string, body []byte) ([]byte, error) {
	return c.callMember(ctx, func(m *member) bool { return m.node == node }, kind, body, answerLimit)
}

// callMember is CallNode of the first member that is, and is heard, with a limit. is is called with mu held.
func (c *Cluster) callMember(ctx context.Context, is func(m *member) bool, kind string, body []byte, limit time.Duration) ([]byte, error) {
	var q *request
	now := time.Now()
	c.mu.Lock()
	for _, m := range c.members {
		if is(m) && c.alive(m.session, now) {
			q = c.call(m, kind, body)
			q.until = now.Add(limit)
			break
		}
	}
	c.mu.Unlock()
	if q == nil {
		return nil, ErrNoOwner
	}
	err := q.Wait(ctx, limit)
	return q.Body, err
}

// CallAll sends a body to all other nodes that are heard. It returns the answers by node, and the nodes that did not answer within 2 seconds.
func (c *Cluster) CallAll(ctx context.Context, kind string, body []byte) (answers map[string][]byte, silent []string) {
	asked := make(map[string]*request)
	now := time.Now()
	c.mu.Lock()
	for _, m := range c.members {
		if c.alive(m.session, now) {
			asked[m.node] = c.call(m, kind, body)
		}
	}
	c.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, answerLimit)
	defer cancel()
	answers = make(map[string][]byte)
	for node, q := range asked {
		if err := q.Wait(ctx, answerLimit); err != nil {
			silent = append(silent, node)
		} else {
			answers[node] = q.Body
		}
	}
	return answers, silent
}

// called has a call of another process worked on.
func (c *Cluster) called(m *member, r *link.Reader) {
	id := r.Uint()
	c.calls.Work(r, c.await, func(body []byte, err error) {
		if err != nil {
			m.fail(id, err)
			return
		}
		m.link.Append(link.Reply, func(w *link.Writer) {
			w.Uint(id)
			w.Bytes(body)
		})
	})
}

// await waits until this process serves a key, if it is about to. It returns ErrNoOwner if it does not.
func (c *Cluster) await(key string) error {
	if key == "" {
		return nil
	}
	p := c.partition(key)
	for end := time.Now().Add(answerLimit / 2); c.Elsewhere(key); {
		if o := c.owners[p].Load(); o == nil || o.Session != c.session || c.cut() || time.Now().After(end) || pause.For(c.context, time.Millisecond) != nil {
			return ErrNoOwner
		}
	}
	return nil
}
