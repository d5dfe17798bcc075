package session

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/valyala/fasthttp"

	"weir/relay/auth"
	"weir/relay/cluster"
	"weir/relay/ingress"
	"weir/relay/problem"
)

// callTicket has the node that made a ticket redeem it. The body is the ticket, the answer an auth.Identity, or nothing.
const callTicket = "ticket"

// shareTickets lets other nodes redeem tickets of this one.
func (m *Manager) shareTickets() {
	m.hub.Answer(callTicket, func(body []byte) ([]byte, error) {
		id, ok := m.tickets.Redeem(string(body))
		if !ok {
			return nil, nil
		}
		return json.Marshal(id)
	})
}

// IssueTicket makes a ticket that opens one connection within 30 seconds. In a cluster it names this node, and every node takes it. Errors:
// too many wait to be used.
func (m *Manager) IssueTicket(id *auth.Identity) (string, error) {
	t, err := m.tickets.Issue(id)
	if err == nil && m.hub.Cluster != nil {
		t += "." + m.hub.Cluster.Node()
	}
	return t, err
}

// redeem returns the identity of a ticket.
func (m *Manager) redeem(ctx *fasthttp.RequestCtx, t string) (*auth.Identity, *problem.Error) {
	id, err := m.redeemed(ctx, t)
	switch {
	case err != nil:
		return nil, problem.Of(err)
	case id == nil:
		return nil, m.gate.Explain(problem.Unauthorized, "ticket refused", ingress.ReasonTicket, "the ticket was used, is older than 30 s, or is from another process")
	}
	return id, nil
}

// redeemed is nil for a ticket that does not hold.
func (m *Manager) redeemed(ctx *fasthttp.RequestCtx, t string) (*auth.Identity, error) {
	t, node, _ := strings.Cut(t, ".")
	if node == "" || m.hub.Cluster == nil || node == m.hub.Cluster.Node() {
		id, _ := m.tickets.Redeem(t)
		return id, nil
	}
	if ingress.Elsewhere(ctx) {
		return nil, problem.Unauthorized // there it waits for the other node
	}
	b, err := m.hub.Cluster.CallNode(context.Background(), node, callTicket, []byte(t))
	if errors.Is(err, cluster.ErrNoOwner) { // its tickets are gone with it
		return nil, nil
	}
	if err != nil || len(b) == 0 {
		return nil, err
	}
	id := new(auth.Identity)
	if err := json.Unmarshal(b, id); err != nil {
		return nil, fmt.Errorf("ticket of %s: %w", node, err)
	}
	return id, nil
}
