package authz

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"

	"weir/internal/safedial"
	"weir/internal/sign"
	"weir/relay"
	"weir/relay/auth"
	"weir/relay/config"
	"weir/relay/hub"
	"weir/relay/systems/internal/answers"
	"weir/relay/systems/internal/post"
)

const (
	maxRequests = 64              // under way
	maxTTL      = time.Hour       // of an answer
	denialTTL   = 5 * time.Second // of a denial without a ttl: short, since the user waits to be let in
)

// system asks the backend. It implements relay.System and hub.Authorizer; newSystem creates it.
type system struct {
	// Set once by Start.
	host     relay.Host
	config   config.AuthWebhook
	keys     [][]byte
	client   *http.Client
	counters counters

	slots chan struct{} // holds a value for each request under way; never closed
	cache answers.Memory[subject, bool]
}

// newSystem creates the system; the backend that it asks is in the configuration that it is started with.
func newSystem() *system { return &system{slots: make(chan struct{}, maxRequests)} }

// Name implements relay.System. The system is on if auth.webhook.url is set.
func (s *system) Name() string { return Name }

func (s *system) Start(host relay.Host) error {
	s.host, s.config = host, host.Config().Auth.Webhook
	var err error
	if s.keys, err = sign.ParseSecrets(s.config.Secrets); err != nil {
		return fmt.Errorf("auth.webhook.secrets: %w", err)
	}
	s.client = safedial.Client(s.config.Timeout)
	if s.config.AllowInsecure || host.Config().Dev {
		s.client = safedial.Insecure(s.config.Timeout)
	}
	s.counters = newCounters(host.Metrics())
	host.UseAuthorizer(s)
	host.Log().Warn("auth.webhook is deprecated: use hooks.url, whose hooks subscribe and publish replace it")
	return nil
}

func (s *system) Close() {
	for range maxRequests {
		s.slots <- struct{}{} // every request gives its slot back within the timeout
	}
	s.client.CloseIdleConnections()
}

func (s *system) Cached(id *auth.Identity, op auth.Ops, channel string) (d hub.Decision, err error, known bool) { //nolint:revive // it is a verdict
	allow, known := s.cache.Get(subjectOf(id, op, channel), s.host.Now())
	if !known {
		return d, nil, false
	}
	s.counters.add(outcomeRemembered)
	return d, verdict(allow), true
}

func (s *system) Authorize(id *auth.Identity, op auth.Ops, channel string) (d hub.Decision, _ error) {
	if d, err, known := s.Cached(id, op, channel); known {
		return d, err
	}
	about := subjectOf(id, op, channel).clone()
	q, first := s.cache.Join(about, s.host.Now())
	if first {
		s.decide(q, about, id)
	}
	<-q.Done // within the timeout
	switch {
	case q.Dropped:
		return d, hub.ErrDenied
	case q.Err != nil:
		return d, q.Err
	}
	return d, verdict(q.Value)
}

func (s *system) Forget(user, channel string) {
	about := func(a subject) bool { return a.of(user, channel) }
	s.cache.Forget(func(a subject, _ bool) bool { return about(a) }, about)
}

func subjectOf(id *auth.Identity, op auth.Ops, channel string) subject {
	return subject{id.User, channel, op, strings.Join(id.Roles, "\x00")}
}

func verdict(allow bool) error {
	if allow {
		return nil
	}
	return hub.ErrDenied
}

// decide asks the backend, caches its answer and ends the request.
func (s *system) decide(q *answers.Question[bool], about subject, id *auth.Identity) {
	var ttl time.Duration
	var allow bool
	err := hub.ErrUnavailable
	defer func() {
		now := s.host.Now()
		s.cache.End(q, about, answers.Answer[bool]{Value: allow, Fresh: now.Add(ttl)}, err, now)
	}()
	ctx, cancel := context.WithTimeout(context.Background(), s.config.Timeout)
	defer cancel()
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	case <-ctx.Done():
		s.counters.add(outcomeFailed)
		return
	}
	start := time.Now()
	a, problem := s.ask(ctx, about, id)
	s.counters.took(time.Since(start))
	if problem != nil {
		s.counters.add(outcomeFailed)
		s.host.Log().Warn("no decision from the backend of auth.webhook", "channel", about.channel, "op", about.op.String(), "error", problem.Error())
		return
	}
	outcome := outcomeAllowed
	ttl = s.config.Cache
	if !*a.Allow {
		outcome, ttl = outcomeDenied, min(ttl, denialTTL)
	}
	if a.TTL != nil {
		ttl = min(time.Duration(*a.TTL*float64(time.Second)), maxTTL)
	}
	s.counters.add(outcome)
	allow, err = *a.Allow, nil
}

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
func (s *system) ask(ctx context.Context, about subject, id *auth.Identity) (*answer, error) {
	body, err := json.Marshal(question{about.op.String(), about.channel, id.User, id.Name, id.Roles})
	if err != nil {
		return nil, err
	}
	header := post.Signed(s.keys, "ask_"+ulid.Make().String(), s.host.Now(), body)
	resp, err := post.Send(ctx, s.client, s.config.URL, header, body, maxAnswer+1)
	switch {
	case err != nil:
		return nil, errors.New(safedial.Problem(err)) // without the address, which may hold a secret
	case resp.Status != http.StatusOK:
		return nil, fmt.Errorf("status %d: expected 200", resp.Status)
	case len(resp.Body) > maxAnswer:
		return nil, fmt.Errorf("the response is larger than %d bytes", maxAnswer)
	}
	a := new(answer)
	if err := json.Unmarshal(resp.Body, a); err != nil {
		return nil, fmt.Errorf("unexpected response: %w", err)
	}
	if a.Allow == nil || a.TTL != nil && !(*a.TTL >= 0) {
		return nil, errors.New(`unexpected response: expected {"allow": true or false, "ttl": seconds}`)
	}
	return a, nil
}
