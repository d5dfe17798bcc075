package authz

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"

	"github.com/oklog/ulid/v2"

	"weir/internal/safedial"
	"weir/internal/sign"
	"weir/relay/auth"
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
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.config.URL, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	name, now := "ask_"+ulid.Make().String(), s.core.Now()
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "weir")
	req.Header.Set(sign.HeaderID, name)
	req.Header.Set(sign.HeaderTimestamp, strconv.FormatInt(now.Unix(), 10))
	req.Header.Set(sign.HeaderSignature, sign.Sign(s.keys, name, now, body))
	resp, err := s.client.Do(req)
	if err != nil {
		return nil, errors.New(safedial.Problem(err)) // without the address, which may hold a secret
	}
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil:
		return nil, errors.New(safedial.Problem(err))
	case resp.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("status %d: expected 200", resp.StatusCode)
	case len(raw) > maxAnswer:
		return nil, fmt.Errorf("the answer is over %d bytes", maxAnswer)
	}
	a := new(answer)
	if err := json.Unmarshal(raw, a); err != nil {
		return nil, fmt.Errorf("unexpected answer: %w", err)
	}
	if a.Allow == nil || a.TTL != nil && !(*a.TTL >= 0) {
		return nil, errors.New(`unexpected answer: expected {"allow": true or false, "ttl": seconds}`)
	}
	return a, nil
}
