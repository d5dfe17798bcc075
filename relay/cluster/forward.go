package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"weir/broker"
	"weir/relay/cluster/link"
	"weir/relay/problem"
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
	return broker.Receipt{Done: q.done, Then: q.then, Wait: func() (broker.Position, error) {
		err := q.wait(c.context, answerLimit)
		return q.at, err
	}}, nil
}

// ours reports whether this process owns a channel, and serves it.
func (c *Cluster) ours(channel string) bool { return !c.Elsewhere(channel) }

// demand sends what is to be answered to a member. Called with mu held.
func (c *Cluster) demand(m *member, kind byte, f func(w *link.Writer)) *request {
	c.number++
	q := &request{id: c.number, to: m.session, until: time.Now().Add(answerLimit), done: make(chan struct{})}
	c.waiting[q.id] = q
	m.link.Append(kind, func(w *link.Writer) {
		w.Uint(q.id)
		f(w)
	})
	return q
}

// call has a member work on a body. Called with mu held.
func (c *Cluster) call(m *member, kind string, body []byte) *request {
	return c.demand(m, link.Call, func(w *link.Writer) {
		w.Text(kind)
		w.Bytes(body)
	})
}

// wait waits for the answer.
func (q *request) wait(ctx context.Context, limit time.Duration) error {
	select {
	case <-q.done:
		return q.err
	default:
	}
	timer := time.NewTimer(2 * limit) // the clock is sooner
	defer timer.Stop()
	select {
	case <-q.done:
		return q.err
	case <-timer.C:
	case <-ctx.Done():
	}
	return errMaybe
}

// then has f called with the answer.
func (q *request) then(f func(broker.Position, error)) {
	q.told.Store(&f)
	select {
	case <-q.done:
		q.tell()
	default: // finish will see it
	}
}

// finish ends the wait for the answer.
func (q *request) finish() {
	close(q.done)
	q.tell()
}

func finish(list []*request) {
	for _, q := range list {
		q.finish()
	}
}

func (q *request) tell() {
	if f := q.told.Swap(nil); f != nil {
		(*f)(q.at, q.err)
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
		q.at = broker.Position{Epoch: strings.Clone(r.Text()), Seq: r.Uint()}
	case link.Reply:
		q.body = bytes.Clone(r.Bytes())
	case link.Error:
		code, text := r.Uint(), r.Text()
		q.err = link.CodedError(code, strings.Clone(text))
	}
	if r.Err != nil {
		q.err = errMaybe
	}
	q.finish()
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
	q.then(answer)
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

// Call sends a body to the owner of a key, and returns what the owner's Handler of that kind returns. The caller asks Elsewhere first. Errors:
// ErrNoOwner; another one if there is no answer within 2 seconds, when the call may have been worked on; and the Handler's.
func (c *Cluster) Call(ctx context.Context, key, kind string, body []byte) ([]byte, error) {
	q, err := c.request(c.partition(key), &request{kind: link.Call}, len(kind)+len(body)+16, func(w *link.Writer) {
		w.Text(kind)
		w.Bytes(body)
	})
	if err != nil {
		return nil, err
	}
	err = q.wait(ctx, answerLimit)
	return q.body, err
}

// Node returns the name of this node.
func (c *Cluster) Node() string { return c.config.Node }

// CallNode sends a body to the named node, and returns its answer. Errors: ErrNoOwner if the node is not heard; otherwise those of Call.
func (c *Cluster) CallNode(ctx context.Context, node, kind string, body []byte) ([]byte, error) {
	var q *request
	now := time.Now()
	c.mu.Lock()
	for _, m := range c.members {
		if m.node == node && c.alive(m.session, now) {
			q = c.call(m, kind, body)
			break
		}
	}
	c.mu.Unlock()
	if q == nil {
		return nil, ErrNoOwner
	}
	err := q.wait(ctx, answerLimit)
	return q.body, err
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
		if err := q.wait(ctx, answerLimit); err != nil {
			silent = append(silent, node)
		} else {
			answers[node] = q.body
		}
	}
	return answers, silent
}

// called has a call worked on.
func (c *Cluster) called(m *member, r *link.Reader) {
	id, kind, body := r.Uint(), r.Text(), bytes.Clone(r.Bytes())
	if r.Err != nil {
		return
	}
	h := c.handlers[kind]
	if h == nil {
		m.fail(id, fmt.Errorf("it does not know the call %q", kind))
		return
	}
	select {
	case c.calls <- struct{}{}:
	default:
		m.fail(id, problem.Overloaded)
		return
	}
	var answer []byte
	err := errors.New("internal error")
	c.config.Panic.Go(&c.done, "cluster call", func() { // ends with the call; Close waits for it
		defer func() {
			<-c.calls
			if err != nil {
				m.fail(id, err)
				return
			}
			m.link.Append(link.Reply, func(w *link.Writer) {
				w.Uint(id)
				w.Bytes(answer)
			})
		}()
		answer, err = h(body)
	}, nil)
}
