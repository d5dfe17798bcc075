package hub

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"

	"weir/internal/wire"
	"weir/relay/auth"
	"weir/relay/cluster"
)

// callGuard is the call for what a guard decides where what it reads is owned.
const callGuard = "guard"

// guard is what a system says of the channels of its namespace. See Host.Guard.
type guard struct {
	verdict func(id *auth.Identity, op auth.Ops, channel string) Verdict
	reads   func(channel string) string // which channel it reads; nil: none
}

// guarded is the verdict of a guard. What it reads of another node's may be older than what a client knows that is not allowed: then the owner is asked.
func (p *Namespaces) guarded(w *guard, id *auth.Identity, op auth.Ops, channel string, how Wait) (Verdict, error) {
	if w.reads == nil {
		return w.verdict(id, op, channel), nil
	}
	reads := w.reads(channel)
	if err := p.loaded(reads, how); err != nil {
		return Unknown, err
	}
	v := w.verdict(id, op, channel)
	if v == Allowed || p.ask == nil {
		return v, nil
	}
	return p.ask(reads, guardQuestion{id, op, channel}, v, how)
}

// guardQuestion is what a guard is asked.
type guardQuestion struct {
	Identity *auth.Identity `json:"identity"`
	Op       auth.Ops       `json:"op"`
	Channel  string         `json:"channel"`
}

// askGuard asks the node that owns what a guard reads, if it is another one: v is what is decided here.
func (h *Hub) askGuard(reads string, q guardQuestion, v Verdict, how Wait) (Verdict, error) {
	switch {
	case !h.Elsewhere(reads):
		return v, nil
	case how != WaitForAll:
		return Unknown, ErrUndecided
	}
	who := *q.Identity
	who.Vouched = nil // of a system of this node
	q.Identity = &who
	body, err := json.Marshal(q)
	if err != nil {
		return Unknown, err
	}
	answer, err := h.Cluster.Call(context.Background(), reads, callGuard, body)
	if err != nil {
		return Unknown, err
	}
	n, err := strconv.Atoi(string(answer))
	return Verdict(n), err
}

// guardHere answers another node.
func (h *Hub) guardHere(body []byte) ([]byte, error) {
	var q guardQuestion
	if err := json.Unmarshal(body, &q); err != nil {
		return nil, fmt.Errorf("request for a decision: %w", err)
	}
	w, ok := h.Namespaces.guards[wire.Namespace(q.Channel)]
	if !ok || w.reads == nil || q.Identity == nil {
		return nil, fmt.Errorf("no system decides about %s", q.Channel)
	}
	reads := w.reads(q.Channel)
	if err := h.EnsureLoaded(reads, WaitForAll); err != nil {
		return nil, err
	}
	v := w.verdict(q.Identity, q.Op, q.Channel)
	if h.Elsewhere(reads) {
		return nil, cluster.ErrNoOwner
	}
	return strconv.AppendInt(nil, int64(v), 10), nil
}
