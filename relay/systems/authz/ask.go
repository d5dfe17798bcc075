package authz

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/oklog/ulid/v2"

	"weir/internal/safedial"
	"weir/relay/auth"
	"weir/relay/systems/internal/post"
)

// maxAnswer bounds the body of an answer, in bytes.
const maxAnswer = 4 << 10

// question is the body of a request to the backend.
type question struct {
	Op      string   `json:"op"`
	Channel string   `json:"channel"`
	User    string   `json:"userId"` // "" for an anonymous client
	Name    string   `json:"name,omitempty"`
	Roles   []string `json:"roles,omitempty"`
}

// answer is the body of its response.
type answer struct {
	Allow *bool    `json:"allow"`
	TTL   *float64 `json:"ttl"` // seconds
}

// ask sends one request. Errors show neither the address nor what the backend has sent.
func (s *System) ask(ctx context.Context, about subject, id *auth.Identity) (*answer, error) {
	body, err := json.Marshal(question{about.op.String(), about.channel, id.User, id.Name, id.Roles})
	if err != nil {
		return nil, err
	}
	header := post.Signed(s.keys, "ask_"+ulid.Make().String(), s.core.Now(), body)
	resp, err := post.Send(ctx, s.client, s.config.URL, header, body, maxAnswer+1)
	switch {
	case err != nil:
		return nil, errors.New(safedial.Problem(err)) // without the address, which may hold a secret
	case resp.Status != http.StatusOK:
		return nil, fmt.Errorf("status %d: expected 200", resp.Status)
	case len(resp.Body) > maxAnswer:
		return nil, fmt.Errorf("the answer is over %d bytes", maxAnswer)
	}
	a := new(answer)
	if err := json.Unmarshal(resp.Body, a); err != nil {
		return nil, fmt.Errorf("unexpected answer: %w", err)
	}
	if a.Allow == nil || a.TTL != nil && !(*a.TTL >= 0) {
		return nil, errors.New(`unexpected answer: expected {"allow": true or false, "ttl": seconds}`)
	}
	return a, nil
}
