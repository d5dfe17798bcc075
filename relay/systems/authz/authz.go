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
	"strings"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/oklog/ulid/v2"

	"weir/internal/safedial"
	"weir/relay"
	"weir/relay/auth"
	"weir/relay/systems/webhook"
)

const (
	atOnce    = 64
	maxAnswer = 4 << 10         // bytes of a body
	maxTTL    = time.Hour       // of an answer
	denied    = 5 * time.Second // how long a refusal without a ttl holds: shorter, since somebody waits to be let in
)

// System is a relay.System and a relay.Decider. Make it with New.
type System struct {
	// Set once by Start.
	core     *relay.Core
	config   relay.AuthWebhook
	keys     [][]byte
	client   *http.Client
	outcomes map[string]*metrics.Counter // by outcome
	took     *metrics.PrometheusHistogram

	slots  chan struct{} // holds a value for each question under way; never closed
	memory memory
}

// The outcomes of a decision, as metrics name them.
const (
	outcomeAllowed    = "allowed"
	outcomeDenied     = "denied"
	outcomeRemembered = "remembered"
	outcomeFailed     = "failed"
)

// New makes the system; whom it asks stands in the configuration that it is started with.
func New() *System { return &System{slots: make(chan struct{}, atOnce)} }

// Name implements relay.System. It is switched on by auth.webhook.url.
func (s *System) Name() string { return "permit" }

// Start implements relay.System.
func (s *System) Start(core *relay.Core) error {
	s.core, s.config = core, core.Config().Auth.Webhook
	for _, secret := range s.config.Secrets {
		key, err := webhook.ParseSecret(secret)
		if err != nil {
			return fmt.Errorf("auth.webhook: %w", err)
		}
		s.keys = append(s.keys, key)
	}
	if len(s.keys) == 0 {
		return fmt.Errorf("auth.webhook: a secret is needed")
	}
	s.client = safedial.Client(s.config.Timeout)
	if s.config.AllowInsecure || core.Config().Dev {
		s.client = safedial.Insecure(s.config.Timeout)
	}
	s.outcomes = make(map[string]*metrics.Counter)
	for _, outcome := range []string{outcomeAllowed, outcomeDenied, outcomeRemembered, outcomeFailed} {
		s.outcomes[outcome] = core.Metrics().NewCounter(fmt.Sprintf("weir_permit_decisions_total{outcome=%q}", outcome))
	}
	s.took = core.Metrics().NewPrometheusHistogram("weir_permit_seconds")
	core.Decide(s)
	return nil
}

// Close implements relay.System.
func (s *System) Close() {
	for range atOnce {
		s.slots <- struct{}{} // whoever asks gives it back within the timeout
	}
	s.client.CloseIdleConnections()
}

// Known implements relay.Decider.
func (s *System) Known(id *auth.Identity, op auth.Ops, channel string) (err error, known bool) { //nolint:revive // it is a verdict
	allow, known := s.memory.recall(subjectOf(id, op, channel), s.core.Now())
	if !known {
		return nil, false
	}
	s.outcomes[outcomeRemembered].Inc()
	return verdict(allow), true
}

func subjectOf(id *auth.Identity, op auth.Ops, channel string) subject {
	return subject{id.User, channel, op, strings.Join(id.Roles, "\x00")}
}

// Decide implements relay.Decider.
func (s *System) Decide(id *auth.Identity, op auth.Ops, channel string) error {
	if err, known := s.Known(id, op, channel); known {
		return err
	}
	about := subjectOf(id, op, channel)
	q, fresh := s.memory.ask(about)
	if fresh {
		s.decide(q, about, id)
	}
	<-q.done // within the timeout
	switch {
	case q.taken:
		return relay.ErrDenied
	case q.err != nil:
		return q.err
	}
	return verdict(q.allow)
}

// Forget implements relay.Decider.
func (s *System) Forget(user, channel string) { s.memory.forget(user, channel) }

func verdict(allow bool) error {
	if allow {
		return nil
	}
	return relay.ErrDenied
}

// decide asks the backend, remembers what it says and ends the inquiry.
func (s *System) decide(q *inquiry, about subject, id *auth.Identity) {
	var ttl time.Duration
	var allow bool
	err := relay.ErrUnavailable
	defer func() { s.memory.end(q, about, allow, err, s.core.Now(), ttl) }()
	ctx, cancel := context.WithTimeout(context.Background(), s.config.Timeout)
	defer cancel()
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	case <-ctx.Done():
		s.outcomes[outcomeFailed].Inc()
		return
	}
	start := time.Now()
	a, problem := s.ask(ctx, about, id)
	s.took.Update(time.Since(start).Seconds())
	if problem != nil {
		s.outcomes[outcomeFailed].Inc()
		s.core.Log().Warn("nobody decides", "channel", about.channel, "op", about.op.String(), "error", problem.Error())
		return
	}
	outcome := outcomeAllowed
	ttl = s.config.Cache
	if !*a.Allow {
		outcome, ttl = outcomeDenied, min(ttl, denied)
	}
	if a.TTL != nil {
		ttl = min(time.Duration(*a.TTL*float64(time.Second)), maxTTL)
	}
	s.outcomes[outcome].Inc()
	allow, err = *a.Allow, nil
}

// question is what the backend is asked.
type question struct {
	Op      string   `json:"op"`
	Channel string   `json:"channel"`
	User    string   `json:"userId"` // "" for an anonymous client
	Name    string   `json:"name,omitempty"`
	Roles   []string `json:"roles,omitempty"`
}

// answer is what it says.
type answer struct {
	Allow *bool    `json:"allow"`
	TTL   *float64 `json:"ttl"` // seconds
}

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
	req.Header.Set(webhook.HeaderID, name)
	req.Header.Set(webhook.HeaderTimestamp, strconv.FormatInt(now.Unix(), 10))
	req.Header.Set(webhook.HeaderSignature, webhook.Sign(s.keys, name, now, body))
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
		return nil, fmt.Errorf("status %d where 200 was expected", resp.StatusCode)
	case len(raw) > maxAnswer:
		return nil, fmt.Errorf("an answer of more than %d bytes", maxAnswer)
	}
	a := new(answer)
	if err := json.Unmarshal(raw, a); err != nil {
		return nil, fmt.Errorf("the answer is not what was expected: %w", err)
	}
	if a.Allow == nil || a.TTL != nil && !(*a.TTL >= 0) {
		return nil, fmt.Errorf(`the answer is not what was expected: {"allow": true or false, "ttl": seconds}`)
	}
	return a, nil
}
