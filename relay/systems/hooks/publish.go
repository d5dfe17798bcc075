package hooks

import (
	"encoding/json"
	"errors"
	"net/http"

	"weir/internal/wire"
	"weir/relay/auth"
	"weir/relay/hub"
	"weir/relay/problem"
	"weir/relay/systems/internal/post"
)

// deniedFor is hub.ErrDenied with a reason.
func deniedFor(reason string) error { return problem.Forbidden.With(reason) }

// publication is the question whether one may pass.
type publication struct {
	Channel string          `json:"channel"`
	Op      string          `json:"op"` // set, append, delete or send
	Group   string          `json:"group,omitempty"`
	Key     string          `json:"key,omitempty"`
	Data    json.RawMessage `json:"data,omitempty"`
	TTL     int64           `json:"ttl,omitempty"`    // milliseconds
	Offset  *uint64         `json:"offset,omitempty"` // of an append
	client
}

// moderation is the answer to it.
type moderation struct {
	Allow  *bool           `json:"allow"`
	Reason string          `json:"reason"` // of a denial
	Drop   bool            `json:"drop"`
	Data   json.RawMessage `json:"data"` // what takes the place of what came; missing: it stays
	Group  *string         `json:"group"`
	Key    *string         `json:"key"`
	TTL    *int64          `json:"ttl"` // milliseconds
}

// Moderate implements hub.Moderator.
func (s *System) Moderate(id *auth.Identity, connection string, c *wire.Command) (drop bool, err error) {
	h := s.hooks[askPublish]
	op := c.Op
	if op == "" {
		op = "send"
		if c.Key != "" {
			op = "set"
		}
	}
	var offset *uint64
	if c.HasOffset {
		offset = &c.Offset
	}
	var a moderation
	err = s.ask(h, publication{c.Channel, op, c.Group, c.Key, c.Data, c.TTL, offset, clientOf(id, connection)}, post.Traced(c.Traceparent), func(r *post.Response) error {
		switch {
		case r.Status == http.StatusUnauthorized || r.Status == http.StatusForbidden:
			return refused(r)
		case r.Status != http.StatusOK:
			return unexpected(r, "200, 401 or 403")
		}
		if err := object(r.Body, &a); err != nil {
			return err
		}
		if a.Allow == nil {
			return errors.New(`unexpected response: expected {"allow": true or false}`)
		}
		if a.TTL != nil && *a.TTL < 0 {
			return errors.New("ttl must be milliseconds, 0 or more")
		}
		if a.Data, err = oneLine("data", a.Data, maxAnswer); err != nil {
			return err
		}
		return nil
	})
	var no *refusal
	switch {
	case errors.As(err, &no):
		h.counts.outcomes[outcomeRefused].Inc()
		return false, denial(no.reason)
	case err != nil:
		return false, hub.ErrUnavailable
	case !*a.Allow:
		h.counts.outcomes[outcomeRefused].Inc()
		return false, denial(readable(a.Reason))
	}
	h.counts.outcomes[outcomeAllowed].Inc()
	c.Op = op // a key that is added or taken away makes no other operation of it
	if a.Data != nil {
		c.Data = a.Data
	}
	if a.Group != nil {
		c.Group = *a.Group
	}
	if a.Key != nil {
		c.Key = *a.Key
		if c.Op == "set" || c.Op == "send" {
			c.Op = ""
		}
	}
	if a.TTL != nil {
		c.TTL = *a.TTL
	}
	return a.Drop, nil
}
